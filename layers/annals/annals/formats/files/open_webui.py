"""Open WebUI's export of chats: a list of chats, each with the history of its messages as a tree."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..messages import to_annals
from .conversation import AppConversation, messages_along
from .tree import Node, shown_branch
from .values import (
    call_block,
    file_part,
    get_label,
    get_list,
    get_object,
    get_objects,
    get_text,
    image_part,
    result_block,
    without_blanks,
)

APP = "open-webui"

ROLES = {"user", "assistant", "system", "tool"}

DETAILS = ("reasoning", "tool_calls", "code_interpreter")
"""The types of HTML's details in which a message's text holds what is not said."""

_ATTRIBUTE = re.compile(r"(?<![a-z_])([a-z_]{1,40})=\"([^\"]*)\"")
_QUOTE = re.compile(r"^> ?", re.MULTILINE)


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a chat of Open WebUI's."""
    history = get_object(get_object(value, "chat") or value, "history")
    return isinstance(history.get("messages"), Mapping) or (
        isinstance(value.get("chat"), Mapping) and isinstance(value["chat"].get("messages"), list)
    )


def read(value: Mapping[str, Any]) -> AppConversation:
    """A chat: the branch that ends with its current message."""
    chat = get_object(value, "chat") or value
    history = get_object(chat, "history")
    numbered = {f"{number}": message for number, message in enumerate(get_list(chat, "messages"))}
    found = get_object(history, "messages") or numbered
    nodes = {
        id_: Node(message, message.get("parentId") if isinstance(message.get("parentId"), str) else None)
        for id_, message in found.items()
        if isinstance(message, Mapping)
    }
    if not history:
        ids = list(nodes)
        nodes = {id_: Node(nodes[id_].value, above) for id_, above in zip(ids, [None, *ids[:-1]], strict=True)}
    branch = shown_branch(nodes, history.get("currentId"))

    def read_nodes(ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {id_: message for id_ in ids if (message := _read_message(nodes[id_].value, id_))}

    messages = messages_along(branch, read_nodes(branch.ids), lambda ids: read_nodes(ids).values())
    metadata = {
        "model": next((each for each in get_list(chat, "models") if isinstance(each, str)), "")[:256],
        "tags": [tag for tag in get_list(chat, "tags") or get_list(value.get("meta"), "tags") if _is_tag(tag)][:50],
        "archived": True if value.get("archived") is True else None,
    }
    return AppConversation(
        APP,
        get_text(value, "id") or get_text(chat, "id"),
        messages,
        get_label(value, "title") or get_label(chat, "title"),
        value.get("created_at", chat.get("timestamp")),
        without_blanks(metadata),
    )


def _is_tag(tag: Any) -> bool:
    return isinstance(tag, str) and len(tag) <= 128


def _read_message(message: Mapping[str, Any], id_: str) -> dict[str, Any] | None:
    role = get_text(message, "role")
    role = role if role in ROLES else "assistant"
    parts = [*_text_parts(get_text(message, "content")), *_files(message)]
    error = get_text(message.get("error"), "content") or get_text(message, "error")
    if not parts and error:
        parts = [{"type": "text", "text": error}]
    if not parts:
        return None
    content: Any = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    read_message = {
        **to_annals({"role": role, "content": content}),
        "timestamp": message.get("timestamp"),
        "externalId": id_,
    }
    if model := get_label(message, "model"):
        read_message["metadata"] = {"model": model}
    if message.get("done") is False or error:
        read_message["status"] = "incomplete"
    return read_message


def _text_parts(text: str) -> Iterator[dict[str, Any]]:
    """The parts of a message's text, into which thinking and calls of tools are written as HTML."""
    words = ""
    for before, attributes, inner in _cut_details(text):
        words += before
        if attributes.get("type") in DETAILS:
            if words.strip():
                yield {"type": "text", "text": words.strip()}
            words = ""
            yield from _details(attributes, inner)
        else:
            words += inner
    if words.strip():
        yield {"type": "text", "text": words if words == text else words.strip()}


def _cut_details(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """The details in a text: what is before each, its attributes, and what is in it; the rest of the text comes last.

    Of details of another kind, all is given as what is in them. The text is gone through once, whatever is in it.
    """
    at = 0
    while (begin := text.find("<details ", at)) >= 0:
        inner = text.find(">", begin) + 1
        end = text.find("</details>", inner) if inner else -1
        if end < 0:
            break
        attributes, after = dict(_ATTRIBUTE.findall(text[begin:inner])), end + len("</details>")
        is_known = attributes.get("type") in DETAILS
        yield text[at:begin], attributes, text[inner:end] if is_known else text[begin:after]
        at = after
    yield text[at:], {}, ""


def _without_summary(inner: str) -> str:
    """What is in details, without their heading."""
    before, begin, rest = inner.partition("<summary>")
    _, end, after = rest.partition("</summary>")
    return f"{before.strip()}{after}".strip() if begin and end else inner.strip()


def _details(attributes: Mapping[str, str], inner: str) -> Iterator[dict[str, Any]]:
    if attributes["type"] == "tool_calls":
        id_ = html.unescape(attributes.get("id", ""))
        yield call_block(id_, html.unescape(attributes.get("name", "")), _json(attributes.get("arguments", "")))
        result = _json(attributes.get("result", "")) or html.unescape(_without_summary(inner))
        yield result_block(id_, result if isinstance(result, str) else json.dumps(result, ensure_ascii=False))
    elif thinking := _QUOTE.sub("", html.unescape(_without_summary(inner))).strip():
        yield {"type": "thinking", "thinking": thinking}


def _json(attribute: str) -> Any:
    """What an attribute says, which is JSON within HTML, and sometimes JSON within that."""
    value: Any = html.unescape(attribute)
    for _ in range(2):
        try:
            value = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            break
    return value


def _files(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for file in get_objects(message, "files"):
        name = get_label(file, "name") or get_label(file.get("file"), "filename", "name")
        if get_text(file, "type") == "image" and (address := get_text(file, "url")):
            yield image_part(address, name)
        else:
            yield file_part(name, get_label(file, "id") or get_label(file.get("file"), "id"), get_label(file, "type"))
