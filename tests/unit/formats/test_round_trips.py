"""Whatever a provider's message holds, it comes back; and nothing that a message may hold stops its readers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from annals.conversations.message_models import NewMessage
from annals.errors import InvalidInput
from annals.formats.messages import from_annals, from_provider, to_annals
from annals.formats.text import text_of
from annals.formats.tools import calls_of, results_of
from annals.json_text import dump, parse
from tests.support.provider_strategies import PROVIDERS, anything
from tests.support.strategies import json_values

FEW = settings(max_examples=40, deadline=None)


def _stored(message: dict[str, Any]) -> dict[str, Any]:
    """What a message is after it was appended and read."""
    stored: dict[str, Any] = parse(dump(NewMessage.model_validate(message).stored_fields()))
    return stored


def _given(message: dict[str, Any], original: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The message that was given, as its provider names its fields."""
    if "parts" in message and "parts" not in original:
        original["parts"] = original.pop("content")
    return original | ({"metadata": stored["metadata"]} if "metadata" in stored else {})


@pytest.mark.parametrize("provider", PROVIDERS)
@FEW
@given(data=st.data())
def test_a_message_of_any_provider_is_stored_and_comes_back(provider: str, data: st.DataObject) -> None:
    message = data.draw(PROVIDERS[provider])
    stored = _stored(message)
    assert _given(message, from_annals(stored), stored) == message
    assert _stored(stored) == stored
    assert from_annals(from_provider(message)).keys() <= message.keys() | {"content"}


@settings(max_examples=300, deadline=None)
@given(message=anything)
def test_nothing_that_a_message_holds_stops_its_readers(message: dict[str, Any]) -> None:
    for stored in (to_annals(message), from_provider(message), {"role": "tool", "content": "", "parts": message}):
        from_annals(stored)
        calls_of(stored)
        results_of(stored)
        assert isinstance(text_of(stored.get("parts")), str)


@settings(max_examples=200, deadline=None)
@given(message=anything)
def test_what_is_no_message_is_refused_as_bad_input(message: dict[str, Any]) -> None:
    try:
        stored = _stored(message)
    except (ValidationError, InvalidInput):
        return
    assert _stored(stored) == stored


@FEW
@given(parts=json_values)
def test_any_parts_have_a_text(parts: Any) -> None:
    assert isinstance(text_of(parts), str)
