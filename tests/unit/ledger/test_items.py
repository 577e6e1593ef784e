"""Entries as items: they come back byte for byte, and weigh what DynamoDB says."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.database.dynamodb import to_item
from annals.database.item_size import MAX_ENTRY_BYTES, item_size
from annals.errors import EntryTooLarge
from annals.json_text import dump, parse
from annals.ledger.entry import Entry, Idempotency
from annals.ledger.entry_items import from_ledger_item, to_ledger_item
from annals.ledger.messages import new_message
from tests.support.ledgers import PK, chain, entry_after, from_values, to_values
from tests.support.strategies import json_objects, texts

DYNAMODB_LIMIT = 400 * 1024
GENESIS = chain([])[0]

seqs = st.integers(0, 10**9)
bodies = json_objects.map(lambda body: dump(body).encode())


def _stored(entry: Entry) -> Entry:
    return from_ledger_item(to_ledger_item(entry))


@given(st.lists(bodies, min_size=1, max_size=4))
def test_any_bodies_come_back_byte_for_byte(stored: list[bytes]) -> None:
    entry = entry_after(GENESIS, stored)
    assert _stored(entry) == replace(entry, n=len(stored))


@given(json_objects)
def test_what_was_said_comes_back_as_it_was(body: dict[str, Any]) -> None:
    entry = entry_after(GENESIS, [dump(body).encode()])
    assert parse(_stored(entry).records[0].body or b"") == body


@given(texts, st.integers(1, 60), st.integers(0, 200))
def test_large_bodies_come_back_byte_for_byte(text: str, repeated: int, noise: int) -> None:
    content = (text or "what was said ") * repeated * 10 + b64encode(os.urandom(noise)).decode()
    entry = entry_after(GENESIS, [new_message({"role": "user", "content": content}).body] * 2)
    assert _stored(entry) == replace(entry, n=2)


@given(digest=st.sampled_from([b"", b"d" * 16]), thread_id=texts.filter(bool), marks=st.tuples(seqs, seqs, seqs))
def test_everything_else_of_an_entry_comes_back(digest: bytes, thread_id: str, marks: tuple[int, int, int]) -> None:
    preamble, archived, rewind = marks
    idem = Idempotency(os.urandom(16), digest)
    values = {"idem": idem, "thread_id": thread_id, "preamble": preamble, "archived": archived, "rewind": rewind}
    entry = replace(entry_after(GENESIS, [b"{}"]), **values)
    assert _stored(entry) == replace(entry, n=1)


def test_an_entry_that_keeps_its_request_in_the_first_form_is_read_as_one_that_no_request_finds() -> None:
    values = to_values(entry_after(GENESIS, [b"{}"])) | {"idem": {"key": "turn-1", "digest": b"d" * 32}}
    assert from_values(values).idem == Idempotency(b"", b"d" * 32)


def test_a_body_that_deflates_is_stored_smaller() -> None:
    item = to_ledger_item(entry_after(GENESIS, [b'{"content":"' + b"the same again " * 200 + b'"}']))
    assert "B" in item["records"]["L"][0]["M"]["body"]
    assert item_size(to_values(from_ledger_item(item))) < 1024


def test_a_body_is_left_as_it_is_where_deflating_saves_no_write_unit() -> None:
    small = b'{"content":"' + b"the same again " * 20 + b'"}'
    noise = b'{"content":"' + b64encode(os.urandom(1200)) + b'"}'
    for body in (small, noise):
        item = to_ledger_item(entry_after(GENESIS, [body]))
        assert item["records"]["L"][0]["M"]["body"] == {"S": body.decode()}


def _entry_of_size(size: int) -> Entry:
    spare = size - item_size(to_values(entry_after(GENESIS, [b""])))
    return entry_after(GENESIS, [os.urandom(spare // 2).hex().encode().ljust(spare, b"x")])


def test_an_entry_holds_up_to_its_limit_and_not_a_byte_more() -> None:
    largest = _entry_of_size(MAX_ENTRY_BYTES)
    assert _stored(largest) == replace(largest, n=1)
    with pytest.raises(EntryTooLarge):
        to_ledger_item(_entry_of_size(MAX_ENTRY_BYTES + 1))


def test_the_limit_of_an_entry_leaves_room_below_the_database_s_own() -> None:
    assert MAX_ENTRY_BYTES < DYNAMODB_LIMIT


def test_the_limit_is_on_what_was_said_however_well_it_deflates() -> None:
    with pytest.raises(EntryTooLarge):
        to_ledger_item(entry_after(GENESIS, [b"a" * MAX_ENTRY_BYTES]))


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({"name": "text"}, 4 + 4),
        ({"é": "😀"}, 2 + 4),
        ({"b": b"\0\1\2"}, 1 + 3),
        ({"n": 5}, 1 + 2),
        ({"n": 12}, 1 + 2),
        ({"n": 123}, 1 + 3),
        ({"n": 1_750_000_000_123}, 1 + 8),
        ({"l": ["ab", "c"]}, 1 + 3 + (1 + 2) + (1 + 1)),
        ({"m": {"k": "v"}}, 1 + 3 + (1 + 1 + 1)),
        ({"l": [{"k": "v"}]}, 1 + 3 + 1 + 3 + (1 + 1 + 1)),
    ],
)
def test_an_item_weighs_its_names_values_and_the_overhead_of_its_nesting(values: dict[str, Any], size: int) -> None:
    assert item_size(values) == size


@given(st.data())
def test_a_deflated_body_with_one_byte_changed_is_read_as_not_what_was_appended(data: st.DataObject) -> None:
    values = to_values(entry_after(GENESIS, [b'{"content":"' + b"the same again " * 200 + b'"}']))
    stored = bytearray(values["records"][0]["body"])
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    before = from_values(values).records[0].body
    values["records"][0]["body"] = bytes(stored)
    changed = from_values(values).records[0]
    assert changed.matches_digest() == (changed.body == before)


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"\0", lambda _: b""])
def test_a_deflated_body_cut_short_or_drawn_out_is_read_as_not_what_was_appended(change: Any) -> None:
    values = to_values(entry_after(GENESIS, [b'{"content":"' + b"the same again " * 200 + b'"}']))
    values["records"][0]["body"] = change(values["records"][0]["body"])
    assert not from_values(values).records[0].matches_digest()


def test_the_key_of_an_item_is_its_conversation_and_its_first_seq() -> None:
    first, second = chain([[b"1", b"2"], [b"3"]])[1:]
    keys = [{"pk": PK, "sk": "E#000000000001"}, {"pk": PK, "sk": "E#000000000003"}]
    assert [{name: to_ledger_item(entry)[name] for name in ("pk", "sk")} for entry in (first, second)] == [
        to_item(key) for key in keys
    ]
