"""Messages of providers' SDKs are appended as they are, and what is stored makes the same message again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from agents import Agent
from agents.items import MessageOutputItem
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock, Usage
from botocore.validate import ParamValidator
from cohere import AssistantMessageResponse
from google.genai import types as genai
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from mistralai.client import models as mistral
from ollama import Message as OllamaMessage
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
)
from pydantic import BaseModel, TypeAdapter

from annals.conversations.message_models import NewMessage
from annals.formats.messages import from_annals
from annals.formats.tools import calls_of
from annals_client import Annals, InvalidArgument
from annals_client.models import Message
from annals_client.resources.memory import Remembering
from annals_client.resources.messages import Messages
from tests.client.asking import Ask
from tests.client.scripted import Answer, scripted

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
OSLO = {"city": "Oslo"}


def stored(message: object) -> dict[str, Any]:
    """What the server stores of a message that the client appends."""
    body = Messages.append.call("c", message).body
    return NewMessage.model_validate(body).stored_fields()


def openai_message() -> ChatCompletionMessage:
    return ChatCompletionMessage.model_validate(
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL], "reasoning_content": "hm"}
    )


def anthropic_message() -> AnthropicMessage:
    return AnthropicMessage(
        id="msg_1",
        type="message",
        role="assistant",
        model="claude",
        content=[
            ThinkingBlock(type="thinking", thinking="hm", signature="s"),
            RedactedThinkingBlock(type="redacted_thinking", data="Eg=="),
            TextBlock(type="text", text="Let me look."),
            ToolUseBlock(type="tool_use", id="c1", name="weather", input=dict(OSLO)),
        ],
        stop_reason="tool_use",
        stop_sequence=None,
        usage=Usage(input_tokens=1, output_tokens=2),
    )


def gemini_content() -> genai.Content:
    return genai.Content(
        role="model",
        parts=[
            genai.Part(text="hm", thought=True, thought_signature=b"\x00\xff"),
            genai.Part(text="Let me look."),
            genai.Part(function_call=genai.FunctionCall(id="c1", name="weather", args=dict(OSLO))),
            genai.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"),
        ],
    )


def mistral_message() -> mistral.AssistantMessage:
    return mistral.AssistantMessage(
        content=[mistral.ThinkChunk(thinking=[mistral.TextChunk(text="hm")]), mistral.TextChunk(text="Let me look.")],
        tool_calls=[mistral.ToolCall(id="c1", function=mistral.FunctionCall(name="weather", arguments=dict(OSLO)))],
    )


def ai_message() -> AIMessage:
    calls: list[Any] = [{"name": "weather", "args": dict(OSLO), "id": "c1", "type": "tool_call"}]
    return AIMessage(content="Let me look.", tool_calls=calls, response_metadata={"model": "m"}, id="run-1")


def cohere_message() -> AssistantMessageResponse:
    return AssistantMessageResponse.model_validate({"role": "assistant", "tool_calls": [CALL], "tool_plan": "hm"})


def ollama_message() -> OllamaMessage:
    return OllamaMessage.model_validate(
        {"role": "assistant", "content": "Let me look.", "thinking": "hm",
         "tool_calls": [{"function": {"name": "weather", "arguments": dict(OSLO)}}]}
    )  # fmt: skip


WITH_CALLS: list[BaseModel] = [
    openai_message(), anthropic_message(), gemini_content(), mistral_message(), ai_message(), cohere_message(),
    ollama_message(),
]  # fmt: skip


@pytest.mark.parametrize("message", WITH_CALLS, ids=lambda message: type(message).__module__.partition(".")[0])
def test_what_is_stored_of_an_sdks_message_makes_the_same_again(message: BaseModel) -> None:
    kept = stored(message)
    original = from_annals(kept)
    if isinstance(message, genai.Content):
        original["parts"] = original.pop("content")
    assert type(message).model_validate(original) == message
    [call] = calls_of(kept)
    assert (call.name, call.arguments) == ("weather", OSLO)
    assert "hm" not in kept["content"]


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi", name="Ada", id="1"),
        SystemMessage("Be kind."),
        ToolMessage([{"type": "text", "text": "12"}], tool_call_id="c1", status="error", artifact={"a": 1}),
        ChatMessage("hi", role="human"),
        AIMessageChunk(content="hi"),
        HumanMessage(["a", {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_of_langchain_make_the_same_again_dumped_either_way(message: Any) -> None:
    original = from_annals(stored(message))
    assert TypeAdapter(AnyMessage).validate_python(original) == message
    [dumped] = messages_to_dict([message])
    assert messages_from_dict([from_annals(stored(dumped))]) == [message]


def test_the_items_of_a_response_are_appended_one_by_one() -> None:
    output = [
        ResponseReasoningItem(id="rs_1", type="reasoning", summary=[], encrypted_content="Eg=="),
        ResponseFunctionToolCall(type="function_call", call_id="c1", name="weather", arguments='{"city": "Oslo"}'),
        ResponseOutputMessage(
            id="msg_1",
            type="message",
            role="assistant",
            status="completed",
            content=[
                ResponseOutputText(type="output_text", text="Mild.", annotations=[]),
                ResponseOutputRefusal(type="refusal", refusal="No more."),
            ],
        ),
    ]
    body = Messages.append_many.call("c", output).body
    assert body is not None
    kept = [NewMessage.model_validate(message).stored_fields() for message in body["messages"]]
    assert [message["content"] for message in kept] == ["", "", "Mild.\nNo more."]
    again = [type(item).model_validate(from_annals(message)) for item, message in zip(output, kept, strict=True)]
    assert again == output


def test_an_item_of_the_agents_sdk_is_the_item_that_it_stands_for() -> None:
    raw = ResponseOutputMessage.model_validate(
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Mild.", "annotations": []}]}
    )  # fmt: skip
    agent: Any = Agent(name="Forecaster")
    kept = stored(MessageOutputItem(agent=agent, raw_item=raw))
    assert (kept["content"], from_annals(kept)) == ("Mild.", raw.to_dict())


def test_a_message_of_bedrock_is_one_again_with_its_bytes_as_base64() -> None:
    message = {
        "role": "user",
        "content": [
            {"text": "Look."},
            {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
            {"toolResult": {"toolUseId": "c1", "content": [{"json": {"degrees": 12}}], "status": "success"}},
        ],
    }
    kept = stored(message)
    assert kept["content"] == 'Look.\n{"degrees": 12}'
    original = from_annals(kept)
    assert original["content"][1] == {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}
    converse = boto3.client("bedrock-runtime", region_name="eu-west-1").meta.service_model.operation_model("Converse")
    report = ParamValidator().validate({"modelId": "m", "messages": [original]}, converse.input_shape)
    assert report.generate_report() == ""


def test_the_blocks_of_an_answer_may_stand_in_a_message_of_ones_own() -> None:
    answer = anthropic_message()
    kept = stored({"role": "assistant", "content": answer.content, "thread_id": "t", "metadata": {"a": 1}})
    assert kept["content"] == "Let me look."
    assert (kept["threadId"], kept["metadata"]) == ("t", {"a": 1})
    assert TypeAdapter(list[Any]).validate_python(kept["parts"])[3] == answer.content[3].model_dump(exclude_none=True)


def test_fields_beside_a_message_are_annals() -> None:
    body = Messages.append.call("c", ai_message(), thread_id="t", external_id="mine", name="Bot").body
    assert body is not None
    assert (body["threadId"], body["externalId"], body["name"]) == ("t", "mine", "Bot")
    assert (body["role"], body["originalRole"], body["content"]) == ("assistant", "ai", "Let me look.")


def test_what_history_returned_is_appended_again_as_it_was() -> None:
    message = Message.model_validate(
        {"messageId": "msg-007", "seq": 7, "role": "assistant", "originalRole": "ai", "content": "", "userId": "ada",
         "parts": {"content": None, "tool_calls": [CALL]}, "timestamp": "2026-01-01T00:00:00.000Z"}
    )  # fmt: skip
    assert stored(message) == {
        "role": "assistant",
        "originalRole": "ai",
        "content": "",
        "userId": "ada",
        "parts": {"content": None, "tool_calls": [CALL]},
        "timestamp": "2026-01-01T00:00:00.000Z",
    }


def test_a_providers_dict_keeps_its_nulls_and_its_names() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "user_id": None}
    assert Messages.append.call("c", message).body == {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
        "refusal": None,
    }


def test_the_fields_of_a_message_may_be_a_providers() -> None:
    call = Messages.append.call("c", role="tool", content="12", tool_call_id="c1", name=None)
    assert call.body == {"role": "tool", "content": "12", "tool_call_id": "c1"}


@dataclasses.dataclass
class OwnMessage:
    """A message of somebody's own class."""

    role: str
    content: str
    id: str


def test_a_dataclass_is_a_message_of_its_fields() -> None:
    assert stored(OwnMessage("human", "hi", "1")) == {
        "role": "user",
        "originalRole": "human",
        "content": "hi",
        "parts": {"id": "1"},
    }


def _whole_answer() -> ChatCompletion:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    return ChatCompletion.model_validate(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (_whole_answer(), r"choices\[0\]\.message"),
        (genai.GenerateContentResponse(candidates=[genai.Candidate(content=gemini_content())]), "candidates"),
        ({"output": {"message": {"role": "assistant", "content": []}}, "usage": {}}, "message"),
        ("hello", "str"),
        (object(), "object"),
        ([{"type": "text", "text": "x"}], "list"),
        (OwnMessage("user", "hi", {1, 2}), "set"),  # type: ignore[arg-type]
    ],
    ids=["openai", "gemini", "bedrock", "text", "object", "list", "set"],
)
def test_what_is_no_message_is_refused_with_a_hint(message: object, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=hint) as refused:
        Messages.append.call("c", message)
    assert (refused.value.field or "").startswith("message")


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("hi", "hi"),
        ([{"type": "text", "text": "hi"}], [{"type": "text", "text": "hi"}]),
        ([TextBlock(type="text", text="hi")], [{"type": "text", "text": "hi"}]),
        ({"role": "human", "content": "hi"}, {"role": "human", "content": "hi"}),
        (
            genai.Content(role="user", parts=[genai.Part(text="hi")]),
            {"role": "user", "content": "hi", "parts": [{"text": "hi"}]},
        ),
    ],
)
def test_a_turn_takes_what_an_append_takes(said: object, sent: Any) -> None:
    call = Remembering.remember.call(memory_space_id="s", user_id="ada", user_message=said, agent_response="Yes.")
    assert call.body == {"memorySpaceId": "s", "userId": "ada", "userMessage": sent, "agentResponse": "Yes."}


APPENDED = {
    "conversationId": "c",
    "messages": [{"messageId": "msg-001", "seq": 1, "role": "assistant", "timestamp": "2026-01-01T00:00:00.000Z"}],
    "messageCount": 1,
    "headHash": "00",
}


def test_a_message_of_an_sdk_is_sent_by_either_client(ask: Ask) -> None:
    with scripted(Answer(201, APPENDED)) as server:
        send: Callable[[Annals], Any] = lambda client: client.messages.append("c", openai_message())  # noqa: E731
        ask(server.url, send)
    sent = server.requests[0].json
    assert sent["role"] == "assistant"
    assert sent["parts"]["tool_calls"] == [CALL]
