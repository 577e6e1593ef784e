"""Messages of providers become Annals', and theirs again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annals.conversations.message_models import NewMessage
from annals.formats.messages import OWN_FIELDS, from_annals, from_provider, to_annals
from annals_client.shapes import OWN_NAMES
from tests.support.provider_messages import PROVIDER_MESSAGES, TOOL_CALL


@pytest.mark.parametrize("message", PROVIDER_MESSAGES.values(), ids=PROVIDER_MESSAGES)
def test_a_providers_message_comes_back_exactly(message: dict[str, Any]) -> None:
    assert from_annals(to_annals(message)) == message


@pytest.mark.parametrize("message", PROVIDER_MESSAGES.values(), ids=PROVIDER_MESSAGES)
def test_a_stored_message_stays_as_it_is(message: dict[str, Any]) -> None:
    stored = to_annals(message)
    place = {"messageId": "msg-007", "seq": 7, "supersededBy": "msg-009"}
    assert to_annals({**place, **stored}) == stored
    assert to_annals({**place, **stored, "status": "archived"}) == {
        name: value for name, value in stored.items() if name != "status"
    }


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
    stored = to_annals({"role": "assistant", "content": "Let me look.", "tool_calls": [TOOL_CALL]})
    assert stored == {"role": "assistant", "content": "Let me look.", "parts": {"tool_calls": [TOOL_CALL]}}


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


def test_parts_say_nothing_of_who_said_it() -> None:
    stored = {"role": "user", "name": "Ada", "content": "hi", "parts": {"role": "system", "name": "Bob", "refusal": ""}}
    assert from_annals(stored) == {"role": "user", "name": "Ada", "content": "hi", "refusal": ""}


@pytest.mark.parametrize(
    "place",
    [
        {"messageId": "msg-" + "7" * 5000, "seq": 7},
        {"messageId": "mine"},
        {"messageId": "msg-007", "seq": 8},
        {"seq": 7},
    ],
)
def test_an_id_that_history_did_not_give_stays_to_be_refused(place: dict[str, Any]) -> None:
    assert to_annals({"role": "user", "content": "x", **place}) == {"role": "user", "content": "x", **place}


def test_all_that_a_providers_message_has_is_the_providers_where_that_is_known() -> None:
    message = {"role": "user", "content": "hi", "metadata": {"a": 1}, "timestamp": "soon", "status": "incomplete"}
    stored = from_provider(message)
    assert stored == {
        "role": "user",
        "content": "hi",
        "parts": {"metadata": {"a": 1}, "timestamp": "soon", "status": "incomplete"},
    }
    assert from_annals(stored) == message


@pytest.mark.parametrize("message", PROVIDER_MESSAGES.values(), ids=PROVIDER_MESSAGES)
def test_a_message_known_as_a_providers_comes_back_exactly(message: dict[str, Any]) -> None:
    assert from_annals(from_provider(message)) == message


def test_every_field_of_a_message_is_annals_own_and_no_providers() -> None:
    fields = {field.alias for field in NewMessage.model_fields.values()}
    assert fields == OWN_FIELDS
    assert fields - {"role", "content", "parts", "name"} == set(OWN_NAMES)


FIXTURES = Path(__file__).parents[2] / "support/fixtures"
UI_MESSAGES = [each["message"] for each in json.loads((FIXTURES / "ai_sdk_streams/streams.json").read_text()).values()]
MODEL_MESSAGES = [
    message
    for conversation in json.loads((FIXTURES / "ai_sdk/exported.json").read_text())
    for message in conversation["converted"]
]


@pytest.mark.parametrize("message", UI_MESSAGES + MODEL_MESSAGES)
def test_messages_that_the_ai_sdk_wrote_come_back_exactly(message: dict[str, Any]) -> None:
    stored = to_annals(message)
    assert from_annals(stored) == message
    assert "Hm." not in stored["content"]


def test_what_the_ai_sdk_wrote_is_found_by_its_words_and_its_tools_answers() -> None:
    [with_tool] = [each for each in UI_MESSAGES if any(part["type"] == "tool-weather" for part in each["parts"])]
    assert to_annals(with_tool)["content"] == 'Let me look.\n{"sky": "clear"}\nIt is sunny.'


@pytest.mark.parametrize("role", ["system", "user", "developer", "assistant"])
def test_a_providers_message_may_be_an_empty_text_whoever_says_it(role: str) -> None:
    message = {"role": role, "content": ""}
    stored = from_provider(message)
    assert from_annals(stored) == message
    assert NewMessage.model_validate(stored).stored_fields() == stored
