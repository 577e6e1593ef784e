"""Whose chunks these are, and what within an envelope the chunk is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from . import ai_sdk, bedrock, cohere, gemini, langchain, mistral, openai_responses
from .ai_sdk import AISDKReply
from .anthropic import AnthropicReply
from .bedrock import BedrockReply
from .cohere import CohereReply
from .failures import UnknownChunk
from .gemini import GeminiReply
from .growing import Json
from .langchain import LangChainReply
from .mistral import MistralReply
from .ollama import OllamaReply
from .openai_chat import OpenAIChatReply
from .openai_responses import OpenAIResponsesReply
from .plain import field, to_plain
from .provider import ProviderReply

Kind = Callable[[], ProviderReply]

ANTHROPIC = ("message_", "content_block_")
ANTHROPIC_HELPERS = frozenset({"text", "thinking", "signature", "input_json", "citation", "ping"})
OPENAI_HELPERS = ("content.", "refusal.", "tool_calls.function.", "logprobs.")
"""How the types of the events begin that OpenAI's SDK adds to the chunks of a chat completion."""


def open_envelope(value: Any) -> Any:
    """The chunk within an event of a framework or an SDK; a chunk that stands by itself, as it is.

    It is opened before it is made plain: some of these events hold a whole agent, or all that was streamed so far.
    """
    kind = field(value, "type")
    if kind == "raw_response_event":
        return field(value, "data")
    if kind == openai_responses.RUN_ITEM:
        item = field(field(value, "item"), "raw_item") if field(value, "name") == "tool_output" else None
        return {"type": kind, "item": item}
    if kind in openai_responses.OF_AGENTS:
        return {"type": kind}
    if kind == "chunk" and field(value, "chunk") is not None:
        return field(value, "chunk")
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        return value[0]  # LangGraph's messages, each with what is known of it
    if isinstance(event := field(value, "event"), str) and event.startswith("on_"):
        return field(field(value, "data"), "chunk") if event == "on_chat_model_stream" else None
    data = field(value, "data")
    if kind is None and (isinstance(field(data, "type"), str) or field(data, "choices") is not None):
        return data  # an event of Mistral's
    return _from_bytes(value)


def _from_bytes(value: Any) -> Any:
    """The chunk in an event of Bedrock's InvokeModelWithResponseStream, which has the model's own as bytes of JSON."""
    chunk = field(value, "chunk") if isinstance(value, Mapping) else None
    if not isinstance(chunk, Mapping) or not isinstance(chunk.get("bytes"), bytes):
        return value
    try:
        return json.loads(chunk["bytes"])
    except ValueError:
        raise UnknownChunk(value) from None


def to_chunk(value: Any) -> Json | None:
    """A chunk as JSON; None for an event that holds none. Raises UnknownChunk."""
    opened = open_envelope(value)
    if opened is None and value is not None:
        return None
    if isinstance(opened, list | tuple | set | str | int | float | None):
        raise UnknownChunk(value)
    chunk = to_plain(opened)
    if not isinstance(chunk, Mapping):
        raise UnknownChunk(value)
    return chunk


def find_kind(chunk: Json) -> Kind | None:
    """Whose chunk this is; None where nobody's is known to look like this."""
    kind = chunk.get("type")
    if isinstance(kind, str) and (found := _kind_of_type(kind)):
        return found
    if "choices" in chunk or chunk.get("object") == "error":
        return OpenAIChatReply
    if chunk.keys() & gemini.NAMES:
        return GeminiReply
    if isinstance(chunk.get("message"), Mapping) or ("response" in chunk and chunk.keys() & {"done", "model"}):
        return OllamaReply
    if chunk.keys() & bedrock.EVENTS or any(name.endswith("Exception") for name in chunk):
        return BedrockReply
    if chunk.get("error"):
        return OpenAIChatReply
    return None


def _kind_of_type(kind: str) -> Kind | None:
    if kind.startswith("response.") or kind in openai_responses.OF_AGENTS:
        return OpenAIResponsesReply
    if kind.startswith(ANTHROPIC) or kind in ANTHROPIC_HELPERS:
        return AnthropicReply
    if kind.startswith(mistral.TYPES):
        return MistralReply
    if kind in langchain.TYPES:
        return LangChainReply
    if kind in cohere.TYPES:
        return CohereReply
    if kind in ai_sdk.TYPES or kind.startswith("data-"):
        return AISDKReply
    return OpenAIChatReply if kind.startswith(OPENAI_HELPERS) else None
