"""Messages of providers become Annals', and theirs again."""

from __future__ import annotations

from typing import Any

import pytest

from annals.formats.messages import from_annals, to_annals

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}

EXACT: dict[str, dict[str, Any]] = {
    "text": {"role": "user", "content": "hello", "name": "Ada"},
    "empty assistant": {"role": "assistant", "content": ""},
    "null assistant": {"role": "assistant", "content": None},
    "bare assistant": {"role": "assistant"},
    "parts": {"role": "user", "content": [{"type": "text", "text": "zebra"}, {"type": "text", "text": "quokka"}]},
    "no parts": {"role": "assistant", "content": []},
    "calls, null": {"role": "assistant", "content": None, "tool_calls": [CALL]},
    "calls, empty": {"role": "assistant", "content": "", "tool_calls": [CALL]},
    "calls, missing": {"role": "assistant", "tool_calls": [CALL]},
    "calls and text": {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]},
    "calls and parts": {"role": "assistant", "content": [{"type": "text", "text": "hm"}], "tool_calls": [CALL]},
    "result": {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
    "empty result": {"role": "tool", "tool_call_id": "call_1", "content": ""},
    "legacy call": {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    "legacy result": {"role": "function", "name": "f", "content": "12"},
    "refusal": {"role": "assistant", "content": None, "refusal": "I can't say."},
    "refusal alone": {"role": "assistant", "refusal": "I can't say."},
    "refusal twice": {"role": "assistant", "content": "I can't say.", "refusal": "I can't say."},
    "dumped by the SDK": {
        "role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None,
        "function_call": None, "tool_calls": None,
    },
    "reasoning": {"role": "assistant", "content": "4", "reasoning_content": "2 + 2", "unheard_of": [1]},
    "no name": {"role": "user", "content": "x", "name": None, "additional_kwargs": {}},
    "developer": {"role": "developer", "content": "Be kind."},
    "responses message": {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "hi", "annotations": []}],
    },
    "responses call": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
    "responses result": {"type": "function_call_output", "call_id": "c", "output": "12", "status": "incomplete"},
    "responses reasoning": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
    "anthropic": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 1},
    },
    "bedrock": {"role": "assistant", "content": [{"text": "hi"}, {"toolUse": {"toolUseId": "t", "name": "f"}}]},
    "langchain": {"type": "human", "content": "hi", "additional_kwargs": {}, "name": None, "id": "1"},
    "langchain envelope": {"type": "ai", "data": {"type": "ai", "content": "hi", "tool_calls": []}},
    "langchain tool": {"type": "tool", "content": "no", "tool_call_id": "c", "status": "error", "artifact": None},
    "langchain chat": {"type": "chat", "role": "human", "content": "hi", "additional_kwargs": {}},
    "mistral": {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                                                 {"type": "text", "text": "hi"}], "prefix": False, "tool_calls": None},
}  # fmt: skip


@pytest.mark.parametrize("message", EXACT.values(), ids=EXACT)
def test_a_providers_message_comes_back_exactly(message: dict[str, Any]) -> None:
    assert from_annals(to_annals(message)) == message


@pytest.mark.parametrize("message", EXACT.values(), ids=EXACT)
def test_a_stored_message_stays_as_it_is(message: dict[str, Any]) -> None:
    stored = to_annals(message)
    assert to_annals({"messageId": "msg-007", "seq": 7, **stored}) == stored


@pytest.mark.parametrize(
    ("said", "role"),
    [("human", "user"), ("ai", "assistant"), ("agent", "assistant"), ("model", "assistant"), ("developer", "system")],
)
def test_a_role_is_canonical_beside_the_word_that_was_said(said: str, role: str) -> None:
    assert to_annals({"role": said, "content": "x"}) == {"role": role, "originalRole": said, "content": "x"}


def test_a_canonical_role_has_no_other_word() -> None:
    assert to_annals({"role": "user", "content": "x"}) == {"role": "user", "content": "x"}


def test_content_parts_alone_are_a_list() -> None:
    parts = [{"type": "text", "text": "hi"}]
    assert to_annals({"role": "user", "content": parts}) == {"role": "user", "content": "hi", "parts": parts}


def test_the_fields_of_a_call_stand_beside_its_text() -> None:
    stored = to_annals({"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]})
    assert stored == {"role": "assistant", "content": "Let me look.", "parts": {"tool_calls": [CALL]}}


def test_a_message_between_agents_needs_no_role() -> None:
    stored = to_annals({"from": "a", "to": "b", "text": "hi"})
    assert stored == {"role": "assistant", "content": "hi", "from": "a", "to": "b"}


def test_own_fields_stay_beside_a_providers() -> None:
    stored = to_annals({"type": "function_call", "call_id": "c", "name": "f", "threadId": "t", "metadata": {"a": 1}})
    assert stored["threadId"] == "t"
    assert stored["metadata"] == {"a": 1}
    assert stored["parts"] == {"type": "function_call", "call_id": "c", "name": "f"}


def test_gemini_parts_give_the_content() -> None:
    parts = [{"text": "hi", "thought": None}, {"text": "hm", "thought": True}]
    stored = to_annals({"role": "model", "parts": parts})
    assert stored == {"role": "assistant", "originalRole": "model", "content": "hi", "parts": parts}


def test_an_ai_sdk_message_keeps_its_id_with_its_parts() -> None:
    parts = [{"type": "text", "text": "hi"}]
    stored = to_annals({"id": "u1", "role": "user", "metadata": {"a": 1}, "parts": parts})
    assert stored == {
        "role": "user",
        "content": "hi",
        "metadata": {"a": 1},
        "parts": {"id": "u1", "parts": parts},
    }


def test_a_field_of_nobodys_stays_where_it_is() -> None:
    message = {"role": "user", "content": "hi", "threadID": "t"}
    assert to_annals(message) == message


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "user", "content": None}])
def test_a_user_who_says_nothing_has_no_content(message: dict[str, Any]) -> None:
    assert to_annals(message) == {"role": "user"}


@pytest.mark.parametrize("place", [{"messageId": "mine"}, {"messageId": "msg-007", "seq": 8}, {"seq": 7}])
def test_an_id_that_history_did_not_give_stays_to_be_refused(place: dict[str, Any]) -> None:
    assert to_annals({"role": "user", "content": "x", **place}) == {"role": "user", "content": "x", **place}
