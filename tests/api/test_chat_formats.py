"""Exports and context windows in the formats of providers and frameworks, and what an import makes of them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from annals.formats.lines import LINE_FORMATS
from tests.support.api import Api
from tests.support.conversations_made_up import conversations, openai_call
from tests.support.talk import SPACE, talk

pytestmark = pytest.mark.usefixtures("moto")

IMPORT = "/v1/conversations/import?memorySpaceId=space-1&userId=ada"
QUESTION = {"role": "user", "content": "Warm?"}
CALL = {"role": "assistant", "content": None, "tool_calls": [openai_call("c1", "weather", '{"city":"Oslo"}')]}
ANSWER = {"role": "tool", "content": "22 °C", "tool_call_id": "c1"}
REPLY = {"role": "assistant", "content": "Mild."}


def create(api: Api, conversation_id: str, *messages: dict[str, Any]) -> str:
    body = {"type": "user-agent", "participants": SPACE, "conversationId": conversation_id}
    assert api.post("/v1/conversations", body).status == 201
    path = f"/v1/conversations/{conversation_id}"
    for message in messages:
        answer = api.post(f"{path}/messages", message)
        assert answer.status == 201, answer.body
    return path


def export(api: Api, name: str) -> bytes:
    answer = api.get(f"/v1/conversations/export?format={name}")
    assert answer.status == 200
    return answer.body


def bring(api: Api, file: bytes) -> list[str]:
    answer = api.post(IMPORT, file, content_type="application/x-ndjson")
    assert answer.status == 200, answer.body
    return [each["conversationId"] for each in answer.json["conversations"]]


@pytest.mark.parametrize("name", LINE_FORMATS)
def test_an_export_that_is_imported_elsewhere_is_exported_there_as_it_was(api: Api, name: str) -> None:
    talk(api)
    create(api, "c", QUESTION, CALL, ANSWER, REPLY)
    create(api, "empty")
    file = export(api, name)
    assert len(file.splitlines()) == 2
    other = Api.of(f"{api.caller.tenant}-{name}")
    bring(other, file)
    assert sorted(export(other, name).splitlines()) == sorted(file.splitlines())


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(conversations)
def test_any_conversation_survives_the_way_through_every_format(api: Api, messages: list[dict[str, Any]]) -> None:
    tenants = [Api.of(f"{api.caller.tenant}-{number}-{uuid4()}") for number in range(6)]
    if not messages:
        return
    create(tenants[0], "c", *messages)
    for name, other in zip(LINE_FORMATS, tenants[1:], strict=True):
        if file := export(tenants[0], name):  # a system alone is in no line of some formats
            bring(other, file)
            assert export(other, name) == file


def test_an_empty_conversation_alone_is_an_empty_file(api: Api) -> None:
    path = create(api, "empty")
    for name in LINE_FORMATS:
        answer = api.get(f"{path}/export?format={name}")
        assert (answer.status, answer.body) == (200, b"")


def test_a_context_window_comes_in_the_shape_of_a_provider(api: Api) -> None:
    path = create(api, "c", QUESTION, CALL, ANSWER, REPLY)
    api.post(f"{path}/preamble", {"content": "Ada asks."})
    window = api.get(f"{path}/context?maxTokens=1000&includeSummary=true").json
    shaped = api.get(f"{path}/context?maxTokens=1000&includeSummary=true&format=anthropic").json
    assert shaped == {
        "messages": [
            QUESTION,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "22 °C"}]},
            REPLY,
        ],
        "system": "Ada asks.",
        **{name: value for name, value in window.items() if name != "messages"},
    }
    chat = api.get(f"{path}/context?maxTokens=1000&format=openai-chat").json
    assert chat["messages"] == [QUESTION, CALL, ANSWER, REPLY]
    assert "system" not in chat


@pytest.mark.parametrize("name", LINE_FORMATS)
def test_a_context_window_without_messages_is_empty_in_every_shape(api: Api, name: str) -> None:
    path = create(api, "c")
    assert api.get(f"{path}/context?maxTokens=10&format={name}").json["messages"] == []


def test_an_unknown_shape_of_a_context_window_is_refused(api: Api) -> None:
    path = create(api, "c", QUESTION)
    assert api.get(f"{path}/context?maxTokens=10&format=xml").problem == (422, "INVALID_FORMAT", "format")


def test_metadata_is_left_out_where_that_is_asked_for(api: Api) -> None:
    path = create(api, "c", {**QUESTION, "metadata": {"mood": "curious"}})
    assert b"curious" in api.get(f"{path}/export?format=ai-sdk").body
    assert b"curious" not in api.get(f"{path}/export?format=ai-sdk&includeMetadata=false").body


def test_other_fields_of_a_line_are_the_conversation_s_metadata(api: Api) -> None:
    line = {"system": [{"type": "text", "text": "Be brief."}], "messages": [QUESTION], "tools": [{"name": "weather"}]}
    [imported] = bring(api, json.dumps(line).encode())
    found = api.get(f"/v1/conversations/{imported}").json
    assert found["metadata"] == {"tools": [{"name": "weather"}]}
    assert found["messageCount"] == 2


FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("openai-chat", {"tools": [FUNCTION], "parallel_tool_calls": False}),
        ("anthropic", {"tools": [{"name": "weather", "input_schema": {"type": "object"}}]}),
        ("bedrock", {"toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {}}}}]}}),
        ("sharegpt", {"tools": json.dumps([{"name": "weather"}])}),
    ],
)
def test_a_line_keeps_the_tools_that_it_says_there_are(api: Api, name: str, more: dict[str, Any]) -> None:
    create(api, "c", QUESTION, REPLY)
    line = {**json.loads(export(api, name)), **more}
    other = Api.of(f"{api.caller.tenant}-{name}")
    bring(other, json.dumps(line).encode())
    assert json.loads(export(other, name)) == line
    for another in {*LINE_FORMATS} - {name}:
        assert not json.loads(export(other, another)).keys() & more.keys()


def test_metadata_that_only_sounds_like_tools_is_in_no_line(api: Api) -> None:
    create(api, "c", QUESTION)
    patch = {"metadata": {"tools": ["weather"], "topic": "x"}}
    assert api.patch("/v1/conversations/c", patch).status == 200
    for name in LINE_FORMATS:
        assert not json.loads(export(api, name)).keys() & {"tools", "topic"}


@pytest.mark.parametrize(
    "line",
    [
        {"conversations": [{"from": "human"}]},
        {"conversations": ["Hi"]},
        {"conversations": [{"from": "narrator", "value": "Once"}]},
        {"messages": [{"role": "user"}]},
        {"messages": ["Hi"], "system": "Be brief."},
        {"messages": [QUESTION], "system": {"text": "Be brief."}},
        {"messages": {}},
        {"conversations": []},
    ],
)
def test_a_line_that_is_broken_is_refused_by_its_place_and_nothing_is_stored(api: Api, line: Any) -> None:
    file = "\n".join([json.dumps({"messages": [QUESTION]}), json.dumps(line)])
    status, _, field = api.post(IMPORT, file, content_type="application/x-ndjson").problem
    assert (status, field.startswith(("line 2", "conversation "))) == (422, True)
    assert api.get("/v1/conversations/count").json == {"count": 0}
