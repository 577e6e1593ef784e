"""The chain: whatever is changed of what is stored, verify finds it and names the first record that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annals.database.dynamodb import to_item
from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record
from annals.ledger.entry_items import check_ledger_item
from annals.ledger.keys import conversation_pk
from annals.ledger.verify import Checkpoint, Verification, verify
from tests.support.ledgers import PK, chain, entry_after, from_values, to_values, withdrawal_after

Values = dict[str, Any]
Draw = st.DataObject

small = st.binary(min_size=0, max_size=20).map(lambda noise: b'{"content":"' + noise.hex().encode() + b'"}')
large = small.map(lambda body: body + b"again and again " * 150)
batches = st.lists(st.lists(small | large, min_size=1, max_size=3), min_size=1, max_size=5)


@dataclass(frozen=True)
class Place:
    """An entry of a conversation, and a record in it."""

    items: list[Values]
    entry: int
    record: int

    @property
    def values(self) -> Values:
        return self.items[self.entry]

    @property
    def said(self) -> Values:
        found: Values = self.values["records"][self.record]
        return found

    @property
    def seq(self) -> int:
        return int(self.values["sk"].removeprefix("E#"))


def _verify(items: list[Values], checkpoint: Checkpoint | None = None, pk: str = PK) -> Verification:
    return verify([check_ledger_item(to_item(values)) for values in items], pk, checkpoint)


def _draw_place(data: Draw, items: list[Values], least_records: int = 1) -> Place:
    fitting = [place for place, values in enumerate(items) if len(values["records"]) >= least_records]
    entry = data.draw(st.sampled_from(fitting))
    return Place(items, entry, data.draw(st.integers(0, len(items[entry]["records"]) - 1)))


def _items(said: list[list[bytes]]) -> list[Values]:
    return [to_values(entry) for entry in chain(said)]


def _body(place: Place) -> bytes | None:
    return from_values(place.values).records[place.record].body


def _other_bytes(data: Draw, value: bytes) -> bytes:
    at = data.draw(st.integers(0, len(value) - 1))
    return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]


def _other_body(data: Draw, body: str | bytes) -> str | bytes:
    if isinstance(body, bytes):
        return _other_bytes(data, body)
    at = data.draw(st.integers(0, len(body)))
    return body[:at] + data.draw(st.sampled_from("x😀\0 ")) + body[at:]


@given(batches)
def test_a_chain_as_it_was_appended_is_valid(said: list[list[bytes]]) -> None:
    items = _items(said)
    found = _verify(items, Checkpoint(sum(map(len, said)), items[-1]["hash"]))
    assert found == Verification(sum(map(len, said)), len(said) + 1, items[-1]["hash"])
    assert found.valid


RECORD_CHANGES: dict[str, Callable[[Draw, Values], Values]] = {
    "body": lambda data, said: {**said, "body": _other_body(data, said["body"])},
    "salt": lambda data, said: {**said, "salt": _other_bytes(data, said["salt"])},
    "digest": lambda data, said: {**said, "digest": _other_bytes(data, said["digest"])},
    "body gone": lambda _, said: {name: value for name, value in said.items() if name != "body"},
    "salt gone": lambda _, said: {name: value for name, value in said.items() if name != "salt"},
    "salt lengthened by the body": lambda _, said: {**said, "salt": said["salt"] + b"{", "body": said["body"][1:]},
}


@pytest.mark.parametrize("change", RECORD_CHANGES)
@settings(max_examples=20)
@given(batches, st.data())
def test_a_changed_record_is_named(change: str, said: list[list[bytes]], data: Draw) -> None:
    place = _draw_place(data, _items(said))
    before = _body(place)
    place.values["records"][place.record] = RECORD_CHANGES[change](data, place.said)
    # A deflated body may end in a few bits that say nothing: it still is what was appended.
    assume(change != "body" or _body(place) != before)
    assert _verify(place.items).first_bad_seq == place.seq + place.record


ENTRY_CHANGES: dict[str, Callable[[Draw, Values], Any]] = {
    "entryId": lambda data, values: data.draw(st.text("0123456789abcdef", min_size=1).filter(values["entryId"].__ne__)),
    "count": lambda data, values: values["count"] + data.draw(st.integers(1, 10**6)),
    "state": lambda data, _: data.draw(st.sampled_from(["sealed", "erased", "", "open\n"])),
    "at": lambda data, values: values["at"] + data.draw(st.integers(1, 10**6)) * data.draw(st.sampled_from([-1, 1])),
    "prev": lambda data, values: _other_bytes(data, values["prev"]),
    "hash": lambda data, values: _other_bytes(data, values["hash"]),
    "n": lambda data, values: values["n"] + data.draw(st.integers(1, 10)) * data.draw(st.sampled_from([-1, 1])),
    "preamble": lambda data, _: data.draw(st.integers(1, 100)),
    "archived": lambda data, _: data.draw(st.integers(1, 100)),
}


@pytest.mark.parametrize("attribute", ENTRY_CHANGES)
@settings(max_examples=20)
@given(batches, st.data())
def test_a_changed_attribute_is_found_in_its_entry(attribute: str, said: list[list[bytes]], data: Draw) -> None:
    place = _draw_place(data, _items(said))
    place.values[attribute] = ENTRY_CHANGES[attribute](data, place.values)
    assert _verify(place.items).first_bad_seq == place.seq


@given(batches, st.data())
def test_a_changed_kind_is_found_in_its_entry(said: list[list[bytes]], data: Draw) -> None:
    place = _draw_place(data, _items(said))
    place.said["kind"] = data.draw(st.sampled_from(["seal", "redaction", "genesi", "messag", "Message"]))
    assert _verify(place.items).first_bad_seq == place.seq


@given(batches, st.data())
def test_a_missing_entry_is_found_where_it_is_missed(said: list[list[bytes]], data: Draw) -> None:
    items = _items(said)
    gone = items.pop(data.draw(st.integers(0, len(items) - 2)))
    assert _verify(items).first_bad_seq == int(gone["sk"][2:])


@given(batches, st.data())
def test_a_tail_cut_off_is_found_by_a_checkpoint(said: list[list[bytes]], data: Draw) -> None:
    items = _items(said)
    checkpoint = Checkpoint(sum(map(len, said)), items[-1]["hash"])
    left = data.draw(st.integers(0, len(items) - 1))
    assert _verify(items[:left], checkpoint).first_bad_seq == int(items[left]["sk"][2:])


@given(batches, st.data())
def test_history_written_anew_is_found_by_a_checkpoint(said: list[list[bytes]], data: Draw) -> None:
    entries = chain(said)
    checkpoint = Checkpoint(entries[-1].last_seq, entries[-1].hash)
    at = data.draw(st.integers(1, len(entries) - 1))
    forged = entries[:at]
    for entry in entries[at:]:
        forged.append(entry_after(forged[-1], [b'{"content":"never said"}'] * len(entry.records)))
    assert verify(forged, PK).valid
    assert verify(forged, PK, checkpoint).first_bad_seq == entries[-1].seq


@given(batches)
def test_a_checkpoint_in_the_middle_holds_as_the_conversation_grows(said: list[list[bytes]]) -> None:
    entries = chain(said)
    assert all(verify(entries, PK, Checkpoint(entry.last_seq, entry.hash)).valid for entry in entries)


@given(batches)
def test_a_foreign_entry_at_the_end_is_found(said: list[list[bytes]]) -> None:
    entries, others = chain(said), chain(said)
    foreign = entry_after(others[-1], [b'{"content":"from elsewhere"}'])
    assert verify([*entries, foreign], PK).first_bad_seq == foreign.seq


@given(batches, st.data())
def test_two_entries_that_changed_places_are_found(said: list[list[bytes]], data: Draw) -> None:
    items = _items([*said, [b"{}"]])
    first, second = sorted(data.draw(st.lists(st.integers(1, len(items) - 1), min_size=2, max_size=2, unique=True)))
    keys = items[first]["sk"], items[second]["sk"]
    items[first], items[second] = {**items[second], "sk": keys[0]}, {**items[first], "sk": keys[1]}
    assert _verify(items).first_bad_seq == int(keys[0][2:])


@given(batches, st.data())
def test_two_records_that_changed_places_are_found(said: list[list[bytes]], data: Draw) -> None:
    items = _items([*said, [b'{"content":"1"}', b'{"content":"2"}']])
    place = _draw_place(data, items, least_records=2)
    records = place.values["records"]
    records.insert(0, records.pop())
    assert _verify(items).first_bad_seq == place.seq


@given(batches, st.data())
def test_a_record_taken_out_of_its_entry_is_found(said: list[list[bytes]], data: Draw) -> None:
    items = _items([*said, [b'{"content":"1"}', b'{"content":"2"}']])
    place = _draw_place(data, items, least_records=2)
    del place.values["records"][place.record]
    place.values["n"] -= 1
    assert _verify(items).first_bad_seq == place.seq


@given(batches, st.data())
def test_a_record_put_into_an_entry_is_found(said: list[list[bytes]], data: Draw) -> None:
    place = _draw_place(data, _items(said))
    place.values["records"].insert(place.record, to_values(entry_after(chain([])[0], [b"{}"]))["records"][0])
    place.values["n"] += 1
    assert _verify(place.items).first_bad_seq == place.seq


@given(batches)
def test_another_conversation_s_entries_are_not_this_one_s(said: list[list[bytes]]) -> None:
    elsewhere = conversation_pk("acme", "conv-2")
    assert _verify(_items(said), pk=elsewhere).first_bad_seq == 0
    moved = [{**values, "pk": elsewhere} for values in _items(said)]
    assert _verify(moved, pk=elsewhere).first_bad_seq == 0


def test_an_empty_ledger_is_not_valid() -> None:
    assert _verify([]) == Verification(0, 0, bytes(32), 0)


@given(batches, st.data())
def test_a_redacted_record_leaves_the_chain_valid(said: list[list[bytes]], data: Draw) -> None:
    entries = chain([*said, [b'{"content":"1"}']])
    items = [to_values(entry) for entry in entries]
    place = _draw_place(data, items[1:])
    withdrawal = withdrawal_after(entries[-1], place.seq + place.record)
    del place.said["body"], place.said["salt"]
    assert _verify(items).first_bad_seq == place.seq + place.record
    assert _verify([*items, to_values(withdrawal)]).valid


@given(batches, st.data())
def test_a_redaction_of_what_is_still_there_is_found(said: list[list[bytes]], data: Draw) -> None:
    entries = chain([*said, [b'{"content":"1"}']])
    items = [to_values(entry) for entry in entries]
    place = _draw_place(data, items[1:])
    withdrawal = to_values(withdrawal_after(entries[-1], place.seq + place.record))
    assert _verify([*items, withdrawal]).first_bad_seq == place.seq + place.record


def test_equal_bodies_have_different_digests() -> None:
    first, second = (Record.new(1, MESSAGE, b'{"content":"yes"}') for _ in range(2))
    assert first.digest != second.digest


def test_two_records_do_not_pass_for_one_whose_kind_holds_the_other() -> None:
    genesis = chain([])[0]
    two = replace(
        entry_after(genesis, [b"1", b"2"]),
        records=(Record.new(1, PREAMBLE, b"1"), Record.new(2, PREAMBLE, b"2")),
        count=0,
        preamble=2,
    ).chained()
    assert verify([genesis, two], PK).valid
    first, second = two.records
    forged_kind = f"{PREAMBLE} {first.digest.hex()}\n2 {PREAMBLE}"
    one: Entry = replace(two, records=(replace(second, seq=1, kind=forged_kind),), preamble=0)
    assert one.chained().hash == two.hash
    assert verify([genesis, one], PK).first_bad_seq == 1
