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
class RecordPosition:
    """An entry of a conversation, and a record in it."""

    items: list[Values]
    entry: int
    record: int

    @property
    def values(self) -> Values:
        return self.items[self.entry]

    @property
    def stored_record(self) -> Values:
        record: Values = self.values["records"][self.record]
        return record

    @property
    def seq(self) -> int:
        return int(self.values["sk"].removeprefix("E#"))


def _verify(items: list[Values], checkpoint: Checkpoint | None = None, pk: str = PK) -> Verification:
    return verify([check_ledger_item(to_item(values)) for values in items], pk, checkpoint)


def _draw_position(data: Draw, items: list[Values], least_records: int = 1) -> RecordPosition:
    fitting = [position for position, values in enumerate(items) if len(values["records"]) >= least_records]
    entry = data.draw(st.sampled_from(fitting))
    return RecordPosition(items, entry, data.draw(st.integers(0, len(items[entry]["records"]) - 1)))


def _items(bodies: list[list[bytes]]) -> list[Values]:
    return [to_values(entry) for entry in chain(bodies)]


def _body(position: RecordPosition) -> bytes | None:
    return from_values(position.values).records[position.record].body


def _other_bytes(data: Draw, value: bytes) -> bytes:
    at = data.draw(st.integers(0, len(value) - 1))
    return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]


def _other_body(data: Draw, body: str | bytes) -> str | bytes:
    if isinstance(body, bytes):
        return _other_bytes(data, body)
    at = data.draw(st.integers(0, len(body)))
    return body[:at] + data.draw(st.sampled_from("x😀\0 ")) + body[at:]


@given(batches)
def test_a_chain_as_it_was_appended_is_valid(bodies: list[list[bytes]]) -> None:
    items = _items(bodies)
    result = _verify(items, Checkpoint(sum(map(len, bodies)), items[-1]["hash"]))
    assert result == Verification(sum(map(len, bodies)), len(bodies) + 1, items[-1]["hash"])
    assert result.valid


RECORD_CHANGES: dict[str, Callable[[Draw, Values], Values]] = {
    "body": lambda data, record: {**record, "body": _other_body(data, record["body"])},
    "salt": lambda data, record: {**record, "salt": _other_bytes(data, record["salt"])},
    "digest": lambda data, record: {**record, "digest": _other_bytes(data, record["digest"])},
    "body gone": lambda _, record: {name: value for name, value in record.items() if name != "body"},
    "salt gone": lambda _, record: {name: value for name, value in record.items() if name != "salt"},
    "salt lengthened by the body": lambda _, record: {
        **record,
        "salt": record["salt"] + b"{",
        "body": record["body"][1:],
    },
}


@pytest.mark.parametrize("change", RECORD_CHANGES)
@settings(max_examples=20)
@given(batches, st.data())
def test_a_changed_record_is_named(change: str, bodies: list[list[bytes]], data: Draw) -> None:
    position = _draw_position(data, _items(bodies))
    before = _body(position)
    position.values["records"][position.record] = RECORD_CHANGES[change](data, position.stored_record)
    # A deflated body may end in a few bits that say nothing: it still is what was appended.
    assume(change != "body" or _body(position) != before)
    assert _verify(position.items).first_bad_seq == position.seq + position.record


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
    "rewind": lambda data, _: data.draw(st.integers(1, 100)),
}


@pytest.mark.parametrize("attribute", ENTRY_CHANGES)
@settings(max_examples=20)
@given(batches, st.data())
def test_a_changed_attribute_is_found_in_its_entry(attribute: str, bodies: list[list[bytes]], data: Draw) -> None:
    position = _draw_position(data, _items(bodies))
    position.values[attribute] = ENTRY_CHANGES[attribute](data, position.values)
    assert _verify(position.items).first_bad_seq == position.seq


@given(batches, st.data())
def test_a_changed_kind_is_found_in_its_entry(bodies: list[list[bytes]], data: Draw) -> None:
    position = _draw_position(data, _items(bodies))
    position.stored_record["kind"] = data.draw(st.sampled_from(["seal", "redaction", "genesi", "messag", "Message"]))
    assert _verify(position.items).first_bad_seq == position.seq


@given(batches, st.data())
def test_a_missing_entry_is_found_where_it_is_missed(bodies: list[list[bytes]], data: Draw) -> None:
    items = _items(bodies)
    gone = items.pop(data.draw(st.integers(0, len(items) - 2)))
    assert _verify(items).first_bad_seq == int(gone["sk"][2:])


@given(batches, st.data())
def test_a_tail_cut_off_is_found_by_a_checkpoint(bodies: list[list[bytes]], data: Draw) -> None:
    items = _items(bodies)
    checkpoint = Checkpoint(sum(map(len, bodies)), items[-1]["hash"])
    left = data.draw(st.integers(0, len(items) - 1))
    assert _verify(items[:left], checkpoint).first_bad_seq == int(items[left]["sk"][2:])


@given(batches, st.data())
def test_history_written_anew_is_found_by_a_checkpoint(bodies: list[list[bytes]], data: Draw) -> None:
    entries = chain(bodies)
    checkpoint = Checkpoint(entries[-1].last_seq, entries[-1].hash)
    at = data.draw(st.integers(1, len(entries) - 1))
    forged = entries[:at]
    for entry in entries[at:]:
        forged.append(entry_after(forged[-1], [b'{"content":"never said"}'] * len(entry.records)))
    assert verify(forged, PK).valid
    assert verify(forged, PK, checkpoint).first_bad_seq == entries[-1].seq


@given(batches)
def test_a_checkpoint_in_the_middle_holds_as_the_conversation_grows(bodies: list[list[bytes]]) -> None:
    entries = chain(bodies)
    assert all(verify(entries, PK, Checkpoint(entry.last_seq, entry.hash)).valid for entry in entries)


@given(batches)
def test_a_foreign_entry_at_the_end_is_found(bodies: list[list[bytes]]) -> None:
    entries, others = chain(bodies), chain(bodies)
    foreign = entry_after(others[-1], [b'{"content":"from elsewhere"}'])
    assert verify([*entries, foreign], PK).first_bad_seq == foreign.seq


@given(batches, st.data())
def test_two_entries_that_changed_places_are_found(bodies: list[list[bytes]], data: Draw) -> None:
    items = _items([*bodies, [b"{}"]])
    first, second = sorted(data.draw(st.lists(st.integers(1, len(items) - 1), min_size=2, max_size=2, unique=True)))
    keys = items[first]["sk"], items[second]["sk"]
    items[first], items[second] = {**items[second], "sk": keys[0]}, {**items[first], "sk": keys[1]}
    assert _verify(items).first_bad_seq == int(keys[0][2:])


@given(batches, st.data())
def test_two_records_that_changed_places_are_found(bodies: list[list[bytes]], data: Draw) -> None:
    items = _items([*bodies, [b'{"content":"1"}', b'{"content":"2"}']])
    position = _draw_position(data, items, least_records=2)
    records = position.values["records"]
    records.insert(0, records.pop())
    assert _verify(items).first_bad_seq == position.seq


@given(batches, st.data())
def test_a_record_taken_out_of_its_entry_is_found(bodies: list[list[bytes]], data: Draw) -> None:
    items = _items([*bodies, [b'{"content":"1"}', b'{"content":"2"}']])
    position = _draw_position(data, items, least_records=2)
    del position.values["records"][position.record]
    position.values["n"] -= 1
    assert _verify(items).first_bad_seq == position.seq


@given(batches, st.data())
def test_a_record_put_into_an_entry_is_found(bodies: list[list[bytes]], data: Draw) -> None:
    position = _draw_position(data, _items(bodies))
    position.values["records"].insert(position.record, to_values(entry_after(chain([])[0], [b"{}"]))["records"][0])
    position.values["n"] += 1
    assert _verify(position.items).first_bad_seq == position.seq


@given(batches)
def test_another_conversation_s_entries_are_not_this_one_s(bodies: list[list[bytes]]) -> None:
    elsewhere = conversation_pk("acme", "conv-2")
    assert _verify(_items(bodies), pk=elsewhere).first_bad_seq == 0
    moved = [{**values, "pk": elsewhere} for values in _items(bodies)]
    assert _verify(moved, pk=elsewhere).first_bad_seq == 0


def test_an_empty_ledger_is_not_valid() -> None:
    assert _verify([]) == Verification(0, 0, bytes(32), 0)


@given(batches, st.data())
def test_a_redacted_record_leaves_the_chain_valid(bodies: list[list[bytes]], data: Draw) -> None:
    entries = chain([*bodies, [b'{"content":"1"}']])
    items = [to_values(entry) for entry in entries]
    position = _draw_position(data, items[1:])
    withdrawal = withdrawal_after(entries[-1], position.seq + position.record)
    del position.stored_record["body"], position.stored_record["salt"]
    assert _verify(items).first_bad_seq == position.seq + position.record
    assert _verify([*items, to_values(withdrawal)]).valid


@given(batches, st.data())
def test_a_redaction_of_what_is_still_there_is_found(bodies: list[list[bytes]], data: Draw) -> None:
    entries = chain([*bodies, [b'{"content":"1"}']])
    items = [to_values(entry) for entry in entries]
    position = _draw_position(data, items[1:])
    withdrawal = to_values(withdrawal_after(entries[-1], position.seq + position.record))
    assert _verify([*items, withdrawal]).first_bad_seq == position.seq + position.record


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
