"""Messages, sessions and threads of Microsoft Agent Framework, as it writes them down."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from annals.formats.agent_framework import from_annals
from annals.formats.files.conversation import Broken
from annals.formats.files.reading import read_file
from annals.formats.messages import to_annals

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'}
RESULT = {"type": "function_result", "call_id": "c1", "result": "Snow."}
MESSAGES: list[dict[str, Any]] = [
    {
        "type": "message",
        "role": "user",
        "contents": [{"type": "text", "text": "Oslo?", "additional_properties": {}}],
        "additional_properties": {},
    },
    {"type": "message", "role": "assistant", "contents": [CALL], "message_id": "m-1", "author_name": "helper"},
    {"type": "message", "role": "tool", "contents": [RESULT]},
]
PREVIEWS = [
    {**message, "type": "chat_message", "role": {"type": "role", "value": message["role"]}} for message in MESSAGES
]
SESSION = {
    "type": "session",
    "session_id": "chat/7",
    "service_session_id": None,
    "state": {"other": {"n": 1}, "in_memory": {"messages": MESSAGES}},
}


def lines_of(text: str) -> list[Any]:
    items = list(read_file(io.BytesIO(text.encode())))
    assert not [item for item in items if isinstance(item, Broken)]
    return [item.value for item in items if not isinstance(item, Broken)]


@pytest.mark.parametrize("messages", [MESSAGES, PREVIEWS], ids=["version 1", "previews"])
def test_a_message_is_taken_with_its_text_and_what_else_it_holds(messages: list[dict[str, Any]]) -> None:
    asked, called, answered = map(to_annals, messages)
    assert asked == {"role": "user", "content": "Oslo?"}
    parts = {"framework": "agent-framework", "message_id": "m-1", "content": [CALL]}
    assert called == {"role": "assistant", "content": "", "name": "helper", "parts": parts}
    assert (answered["role"], answered["content"]) == ("tool", "Snow.")


def test_annals_own_fields_stand_beside_it() -> None:
    taken = to_annals({**MESSAGES[0], "externalId": "x-1", "metadata": {"a": 1}})
    assert taken == {"role": "user", "content": "Oslo?", "externalId": "x-1", "metadata": {"a": 1}}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back(message: dict[str, Any]) -> None:
    back = from_annals(to_annals(message))
    wanted = {name: value for name, value in message.items() if name != "type" and value}
    assert json.loads(json.dumps(back).replace(', "additional_properties": {}', "")) == json.loads(
        json.dumps(wanted).replace(', "additional_properties": {}', "")
    )


@pytest.mark.parametrize("session", [SESSION, {**SESSION, "padding": "x" * 3_000_000}], ids=["small", "large"])
def test_a_session_is_read_with_its_id(session: dict[str, Any]) -> None:
    conversation, *messages = lines_of(json.dumps(session))
    assert (conversation["type"], conversation["sessionId"]) == ("conversation", "chat/7")
    assert conversation["metadata"]["source"] == {"app": "agent-framework", "id": "chat/7"}
    assert [message["content"] for message in messages] == ["Oslo?", "", "Snow."]


def test_a_thread_is_read() -> None:
    thread = {"service_thread_id": None, "chat_message_store_state": {"messages": PREVIEWS}}
    conversation, *messages = lines_of(json.dumps(thread))
    assert "sessionId" not in conversation
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]


def test_several_sessions_are_read_from_one_file() -> None:
    others = [{**SESSION, "session_id": f"chat/{number}"} for number in range(3)]
    lines = lines_of(json.dumps(others))
    assert [line["sessionId"] for line in lines if line["type"] == "conversation"] == ["chat/0", "chat/1", "chat/2"]


def test_a_history_file_is_one_chat() -> None:
    (chat,) = lines_of("\n".join(map(json.dumps, MESSAGES)))
    assert chat == {"messages": MESSAGES}


@pytest.mark.parametrize("contents", [None, "text", [1], {"a": 1}])
def test_what_has_no_contents_is_no_message_of_it(contents: Any) -> None:
    message = {"role": "user", "content": "Hello.", "contents": contents}
    assert to_annals(message) == message
