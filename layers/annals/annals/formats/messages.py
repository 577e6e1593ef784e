"""Messages of providers and frameworks, from and to Annals' own shape.

A provider's message is kept exactly. Its words are Annals' ``content``, and whatever else it has is in ``parts``:

- a list: the provider's content parts, where the message has nothing else beside role and name;
- an object: the fields that it has beside role and name. ``content`` is among them where it was a list, null or "";
  an empty object stands for a message that had nothing else.

``role`` is user, assistant, system or tool; where the message said another word for it, that is ``originalRole``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import agent_framework
from .text import LANGCHAIN_TYPES, text_of

ROLES = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "agent": "assistant",
    "ai": "assistant",
    "developer": "system",
    "function": "tool",
    "human": "user",
    "model": "assistant",
}
"""The role that is stored for each word that is said for it."""

OWN_FIELDS = frozenset(
    {"role", "originalRole", "content", "contentPart", "parts", "name"}
    | {"userId", "participantId", "from", "to", "threadId", "runId"}
    | {"metadata", "timestamp", "localTime", "status", "importance", "tags", "externalId", "finishReason", "supersedes"}
    | {"embedding"}
)
"""The fields of Annals' messages."""

COMMON_FIELDS = frozenset({"role", "content", "name", "parts"})
"""Those of them that providers' messages have, too."""

ITEM_FIELDS = frozenset({"role", "originalRole", "content", "parts", "name", "status"})
"""Those of them that an item without a role may have in another meaning."""

PROVIDER_FIELDS = frozenset(
    # OpenAI, and who has its shape: Mistral, DeepSeek, OpenRouter, vLLM, LiteLLM
    {"tool_calls", "tool_call_id", "function_call", "refusal", "audio", "annotations", "weight", "prefix"}
    | {"reasoning_content", "reasoning", "reasoning_details", "provider_specific_fields"}
    # Anthropic
    | {"stop_reason", "stop_sequence"}
    # LangChain
    | {"additional_kwargs", "response_metadata", "invalid_tool_calls", "usage_metadata"}
    # Ollama, Cohere
    | {"thinking", "images", "tool_name", "tool_plan", "citations"}
    # AI SDK
    | {"toolInvocations", "experimental_attachments", "providerOptions", "providerMetadata"}
)
"""The fields by which a message is known to be a provider's: one of them is enough."""

ITEM_TOOLS = (
    "function custom_tool computer local_shell shell apply_patch mcp web_search file_search code_interpreter "
    "image_generation tool_search"
).split()

ITEM_TYPES = frozenset(
    {f"{tool}_call" for tool in ITEM_TOOLS}
    | {f"{tool}_call_output" for tool in ITEM_TOOLS}
    | {"tool_search_output", "program", "program_output", "reasoning", "item_reference", "compaction"}
    | {"compaction_trigger", "configuration_update", "additional_tools"}
    | {"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"}
)
"""The types of OpenAI's items that are no messages. Of others, those with a ``call_id`` are calls and outputs, too."""

MESSAGE_ID = re.compile(r"msg-([0-9]{3,12})")


def to_annals(message: Mapping[str, Any], own_fields: frozenset[str] = OWN_FIELDS) -> dict[str, Any]:
    """A message of any provider as Annals'. One that is Annals' already stays as it is, without its id and seq.

    Fields that are neither Annals' nor those of a message known as a provider's stay where they are, for the caller to
    refuse; so does what cannot be understood, such as a role that is no role.

    Parameters
    ----------
    own_fields : the fields that are Annals', and not the provider's
    """
    return _convert(_without_place(message), own_fields, is_known=False)


def from_provider(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message that is known to be a provider's as Annals'; all that it has beside role and name is the provider's.

    Anybody may say "" there, such as a system whose prompt was left empty.
    """
    stored = _convert(dict(message), COMMON_FIELDS, is_known=True)
    is_empty = stored.get("content") == "" and "parts" not in stored
    return {**stored, "parts": {"content": ""}} if is_empty and stored.get("role") != "assistant" else stored


def from_annals(message: Mapping[str, Any]) -> dict[str, Any]:
    """The provider's message that a stored one was: its role as it was said, its name, its content and other fields."""
    parts = message.get("parts")
    fields = dict(parts) if isinstance(parts, Mapping) else {}
    if is_item(fields) or is_langchain_dump(fields):
        return fields
    original: dict[str, Any] = {"role": message.get("originalRole", message.get("role"))}
    if fields.get("type") != "chat" and langchain_role({"content": None, **fields}) is not None:
        original = {}
    if "name" in message:
        original["name"] = message["name"]
    if isinstance(parts, list):
        return {**original, "content": parts}
    content = message.get("content", "")
    if "content" not in fields and (not isinstance(parts, Mapping) or (content and content != text_of(parts))):
        original["content"] = content
    return {**original, **{name: value for name, value in fields.items() if name not in ("role", *original)}}


def is_item(message: Mapping[str, Any]) -> bool:
    """Whether this is an item of OpenAI's responses that has no role, such as a call of a function or its output."""
    kind = message.get("type")
    if "role" in message or not isinstance(kind, str):
        return False
    return kind in ITEM_TYPES or (kind.endswith(("_call", "_output")) and "call_id" in message)


def is_langchain_dump(message: Mapping[str, Any]) -> bool:
    """Whether this is a LangChain message within an envelope: ``{"type", "data"}``, or one of a constructor."""
    return "role" not in message and langchain_role(langchain_fields(message)) is not None and _is_envelope(message)


def is_between_agents(message: Mapping[str, Any]) -> bool:
    """Whether this is a message of one agent to another, ``{"from", "to", "text"}``, which is given without a role."""
    texts = [message.get(name) for name in ("from", "to", "text")]
    return all(isinstance(text, str) for text in texts) and not message.keys() & {"role", "content", "parts"}


def is_of_provider(message: Mapping[str, Any]) -> bool:
    """Whether a message with a role is known as a provider's, so that it may have any field."""
    kind = message.get("type")
    if message.keys() & PROVIDER_FIELDS or "message" in (kind, message.get("kind")):
        return True
    if isinstance(kind, str) and kind in ITEM_TYPES:
        return True
    has_parts = isinstance(message.get("parts"), list) or isinstance(message.get("content"), list)
    return langchain_role(message) is not None or ("id" in message and has_parts)


def langchain_role(fields: Mapping[str, Any]) -> str | None:
    """The role that a LangChain message says, by its type; None if it is no such message."""
    kind = fields.get("type")
    if not isinstance(kind, str) or "content" not in fields:
        return None
    kind = kind.removesuffix("MessageChunk").lower()
    if kind == "chat":
        return role if isinstance(role := fields.get("role"), str) else None
    return kind if kind in LANGCHAIN_TYPES and "role" not in fields else None


def langchain_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a LangChain message that stands in an envelope; without one, those of the message itself."""
    if not _is_envelope(message):
        return dict(message)
    if message["type"] != "constructor":
        return {"type": message["type"], **message["data"]}
    path = message.get("id")
    name = path[-1] if isinstance(path, list) and path else ""
    return {"type": str(name).removesuffix("Chunk").removesuffix("Message").lower(), **message["kwargs"]}


def _is_envelope(message: Mapping[str, Any]) -> bool:
    within = message.get("kwargs" if message.get("type") == "constructor" else "data")
    return isinstance(message.get("type"), str) and isinstance(within, Mapping)


def _without_place(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without its place in the conversation from which it was read: its id, its seq, and its marks."""
    given = dict(message)
    match = MESSAGE_ID.fullmatch(message_id) if isinstance(message_id := given.get("messageId"), str) else None
    if match and given.get("seq") == int(match[1]):
        del given["messageId"], given["seq"]
        given.pop("supersededBy", None)
        if given.get("status") == "archived":
            del given["status"]
    return given


def _convert(given: dict[str, Any], own_fields: frozenset[str], *, is_known: bool) -> dict[str, Any]:
    if is_item(given):
        return _from_item(given, own_fields)
    if is_langchain_dump(given):
        return _from_dump(given, own_fields)
    if agent_framework.is_message(given):
        own, message = _split(given, own_fields - {"role"})
        return {**agent_framework.to_annals(message), **own}
    if is_between_agents(given):
        given = {"role": "assistant", "content": given.pop("text"), **given}
    return _with_role(_from_fields(given, own_fields, is_known=is_known))


def _split(given: Mapping[str, Any], own_fields: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a message that are Annals', and the others."""
    own = {name: value for name, value in given.items() if name in own_fields}
    return own, {name: value for name, value in given.items() if name not in own}


def _from_item(given: Mapping[str, Any], own_fields: frozenset[str]) -> dict[str, Any]:
    own, item = _split(given, own_fields - ITEM_FIELDS)
    role = "tool" if item["type"].endswith("_output") else "assistant"
    if item["type"] == "mcp_approval_response":
        role = "user"
    is_cut = item.get("status") == "incomplete" and "status" in own_fields
    incomplete = {"status": "incomplete"} if is_cut else {}
    return {"role": role, "content": text_of(item), **own, **incomplete, "parts": item}


def _from_dump(given: Mapping[str, Any], own_fields: frozenset[str]) -> dict[str, Any]:
    own, dump = _split(given, own_fields)
    fields = langchain_fields(dump)
    name = {"name": fields["name"]} if isinstance(fields.get("name"), str) else {}
    content = fields.get("content")
    text = content if isinstance(content, str) else text_of(fields)
    return _with_role({"role": langchain_role(fields), **own, **name, "content": text, "parts": dump})


def _from_fields(given: Mapping[str, Any], own_fields: frozenset[str], *, is_known: bool = False) -> dict[str, Any]:
    """A message with Annals' fields, and with a provider's in its parts, where it is known as a provider's."""
    message, others = _split(given, own_fields)
    if others and not (is_known or is_of_provider(given)):
        return {**_from_fields(message, own_fields), **others}
    if not others and not isinstance(message.get("content"), list):
        return _with_content(message)
    if "role" not in message and (role := langchain_role(given)) is not None:
        message["role"] = role
    fields = others | {name: value for name, value in message.items() if _is_field(name, value, given)}
    message = {name: value for name, value in message.items() if name not in fields}
    if given.get("status") == "incomplete" and "status" in own_fields:
        message["status"] = "incomplete"
    return message | _content_and_parts(given, fields)


def _is_field(name: str, value: Any, given: Mapping[str, Any]) -> bool:
    """Whether a field goes into the parts of a message that is known as a provider's, and not into one of Annals'."""
    if name == "name":
        return not isinstance(value, str)
    if name == "metadata":
        return not isinstance(value, Mapping)
    if name == "status":
        return value != "incomplete" or given.get("type") == "message"
    return name == "parts"


def _content_and_parts(given: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The content of a provider's message, and its parts: its other fields, with its content where that is no text.

    A text that its other fields have, too (such as a refusal) is among them, so that none and this one stay apart.
    """
    content = given.get("content")
    if isinstance(content, list) and not fields:
        return {"content": text_of(content), "parts": content}
    is_said = isinstance(content, str) and content
    if "content" in given and not (is_said and content != text_of(fields)):
        fields = {**fields, "content": content}
    return {"content": content if is_said else text_of(fields), "parts": fields}


def _with_content(message: dict[str, Any]) -> dict[str, Any]:
    """A message of Annals' shape, whose content is the text of its parts where it is not said.

    An assistant may say nothing at all, as providers have it.
    """
    content, parts = message.get("content"), message.get("parts")
    if content is not None:
        return message
    if parts is not None:
        return {**message, "content": text_of(parts)}
    if ROLES.get(str(message.get("role"))) == "assistant":
        return {**message, "content": "", "parts": {"content": None} if "content" in message else {}}
    return {name: value for name, value in message.items() if name != "content"}


def _with_role(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its canonical role, and the word that was said for it where that is another one."""
    said = message.get("role")
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        return message
    if role != said:
        return {"originalRole": said, **message, "role": role}
    return {name: value for name, value in message.items() if (name, value) != ("originalRole", role)}
