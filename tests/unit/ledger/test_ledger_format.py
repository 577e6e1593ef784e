"""The ledger's format as ``docs/ledger-format.md`` describes it.

The verifier here is written from the document alone and shares no code with Annals.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import to_item
from annals.errors import DamagedEntry
from annals.ledger.dictionary import DICTIONARY
from annals.ledger.entry import Entry
from annals.ledger.entry_items import check_ledger_item, from_ledger_item, to_ledger_item
from annals.ledger.verify import Checkpoint, verify
from tests.support.ledgers import chain, to_values, withdrawal_after

DOCUMENT = (Path(__file__).parents[3] / "docs/ledger-format.md").read_text()
EXAMPLE = json.loads(re.search(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[1])  # type: ignore[index]

Item = dict[str, Any]


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _plain(body: str | bytes) -> bytes:
    if isinstance(body, str):
        return body.encode()
    inflater = zlib.decompressobj(-15, zdict=DICTIONARY)
    return inflater.decompress(body) + inflater.flush()


def first_bad_seq(pk: str, items: list[Item], checkpoint: tuple[int, bytes] | None = None) -> int | None:
    """Verify a conversation by the document. None means that it is what was appended."""
    count, last, prev, at, preamble, archived, rewind, said, state = 0, -1, bytes(32), 0, 0, 0, 0, None, "open"
    bare: set[int] = set()
    withdrawn: dict[int, int] = {}
    for item in items:
        seq = int(item["sk"][2:])
        if seq != last + 1:
            return last + 1
        lines = [
            "annals-entry-1",
            item["prev"].hex(),
            _sha256(item["pk"].encode()).hex(),
            item["entryId"],
            str(item["count"]),
            item["state"],
            str(item["at"]),
        ]
        kinds = []
        up_to = [archived]
        for position, record in enumerate(item["records"], start=seq):
            kind = record.get("kind", "message")
            if not kind.isalpha() or ("salt" in record) != ("body" in record):
                return position
            if "body" in record:
                digest = _sha256(record["salt"], _plain(record["body"]))
                if len(record["salt"]) != 16 or digest != record["digest"]:
                    return position
            else:
                bare.add(position)
            if kind == "redaction" and "body" in record:
                withdrawn[json.loads(_plain(record["body"]))["seq"]] = position
            if kind == "archive":
                up_to.append(json.loads(_plain(record["body"]))["upTo"])
            lines.append(f"{position} {kind} {record['digest'].hex()}")
            kinds.append(kind)
            preamble = position if kind == "preamble" else preamble
            rewind = position if kind == "rewind" else rewind
        count += kinds.count("message")
        marked = item.get("archived", 0)
        was, state = state, "erased" if "erasure" in kinds else "sealed" if "seal" in kinds else state
        holds = [
            item["pk"] == pk,
            item["prev"] == prev,
            item["at"] >= at,
            item["count"] == count,
            item["hash"] == _sha256("".join(f"{line}\n" for line in lines).encode()),
            item["n"] == len(kinds),
            item.get("preamble", 0) == preamble,
            item.get("rewind", 0) == rewind,
            marked == max(up_to),
            item["state"] == state,
            (kinds == ["genesis"]) if seq == 0 else ("genesis" not in kinds and was != "erased"),
            was != "sealed" or not {"message", "rewind"} & {*kinds},
            _says_when(item, said),
        ]
        last, prev, at, archived = seq + len(kinds) - 1, item["hash"], item["at"], marked
        said = _said(item) if all("body" in record for record in item["records"]) else None
        if not all(holds):
            return seq
        if checkpoint and seq <= checkpoint[0] <= last and (last, prev) != checkpoint:
            return seq
    if last < 0 or (checkpoint and last < checkpoint[0]):
        return last + 1
    wrong = bare.symmetric_difference(withdrawn) if state != "erased" else set()
    return min(wrong, default=None)


def _said(item: Item) -> int | None:
    return item.get("said", item["at"] if item["records"][0].get("kind", "message") == "message" else None)


def _says_when(item: Item, before: int | None) -> bool:
    if "said" not in item:
        return True
    if not all("body" in record for record in item["records"]):
        return (before or 0) <= item["said"] <= item["at"]
    times = [] if before is None else [before]
    for record in item["records"]:
        if record.get("kind", "message") == "message":
            own = json.loads(_plain(record["body"])).get("timestamp")
            own_ms = round(datetime.fromisoformat(own).timestamp() * 1000) if own else item["at"]
            times.append(min(own_ms, item["at"]))
    return not times or item["said"] == max(times)


def _example_items() -> list[Item]:
    def binary(values: Item, *names: str) -> Item:
        return {name: bytes.fromhex(value) if name in names else value for name, value in values.items()}

    return [
        {
            **binary(entry, "prev", "hash"),
            "pk": EXAMPLE["pk"],
            "records": [binary(record, "salt", "digest") for record in entry["records"]],
        }
        for entry in EXAMPLE["entries"]
    ]


def _read(items: list[Item]) -> list[Entry]:
    return [from_ledger_item(to_item(item)) for item in items]


def _check(items: list[Item]) -> list[Entry | DamagedEntry]:
    return [check_ledger_item(to_item(item)) for item in items]


def test_the_example_is_what_was_appended_by_the_document() -> None:
    assert first_bad_seq(EXAMPLE["pk"], _example_items()) is None


def test_the_example_is_what_was_appended_by_annals() -> None:
    entries = _read(_example_items())
    result = verify(entries, EXAMPLE["pk"])
    assert (result.valid, result.entries, result.message_count) == (True, 3, 2)
    assert result.head_hash.hex() == EXAMPLE["entries"][-1]["hash"]


def test_annals_stores_the_example_as_the_document_shows_it() -> None:
    assert [to_values(entry) for entry in _read(_example_items())] == _example_items()


def test_the_document_s_lines_are_those_of_the_example() -> None:
    (lines,) = re.findall(r"```\n(annals-entry-1\n[0-9a-f].*?)```", DOCUMENT, re.DOTALL)
    assert _sha256(lines.encode()).hex() == EXAMPLE["entries"][1]["hash"]


def test_the_dictionary_is_the_one_that_the_document_names() -> None:
    assert f"{len(DICTIONARY)} bytes" in DOCUMENT
    assert _sha256(DICTIONARY).hex() in DOCUMENT


def test_the_deflated_example_inflates_to_its_body_for_both() -> None:
    stored = bytes.fromhex(EXAMPLE["deflated"]["stored"])
    assert _plain(stored).decode() == EXAMPLE["deflated"]["body"]
    items = _example_items()
    items[1]["records"][1]["body"] = stored
    assert first_bad_seq(EXAMPLE["pk"], items) is None
    assert verify(_read(items), EXAMPLE["pk"]).valid


def test_the_document_s_verifier_takes_what_annals_stores() -> None:
    long = b'{"content":"' + b"the same again " * 100 + b'"}'
    entries = chain([[b'{"content":"1"}', b'{"content":"2"}'], [long, long], [b'{"content":"3"}']])
    items = [to_values(entry) for entry in entries]
    assert "B" in to_ledger_item(entries[2])["records"]["L"][0]["M"]["body"]
    assert first_bad_seq(entries[0].pk, items, (5, entries[-1].hash)) is None


def test_both_take_what_a_redaction_withdrew_and_not_what_is_still_there() -> None:
    entries = chain([[b'{"content":"1"}', b'{"content":"2"}']])
    items = [to_values(entry) for entry in (*entries, withdrawal_after(entries[-1], 2))]
    assert first_bad_seq(entries[0].pk, items) == verify(_check(items), entries[0].pk).first_bad_seq == 2
    del items[1]["records"][1]["body"], items[1]["records"][1]["salt"]
    assert first_bad_seq(entries[0].pk, items) is None
    assert verify(_check(items), entries[0].pk).valid


CHANGES: dict[str, Callable[[list[Item]], Any]] = {
    "a body": lambda items: items[1]["records"][1].update(body="{}"),
    "a body that nothing withdrew": lambda items: [items[1]["records"][0].pop(name) for name in ("body", "salt")],
    "a body without its salt": lambda items: items[1]["records"][0].pop("salt"),
    "a salt of another length": lambda items: items[1]["records"][1].update(
        body=items[1]["records"][1]["body"][1:], salt=items[1]["records"][1]["salt"] + b"{"
    ),
    "a kind": lambda items: items[2]["records"][0].update(kind="preamble"),
    "a kind that is no word": lambda items: items[2]["records"][0].update(kind="seal \n"),
    "the time": lambda items: items[1].update(at=1),
    "the count": lambda items: items[1].update(count=3),
    "the number of records": lambda items: items[1].update(n=1),
    "the archive mark": lambda items: items[2].update(archived=2),
    "the preamble": lambda items: items[2].update(preamble=1),
    "the rewind": lambda items: items[2].update(rewind=1),
    "when the last message was said": lambda items: items[1].update(said=1),
    "a missing entry": lambda items: items.pop(1),
    "a missing genesis": lambda items: items.pop(0),
    "a tail cut off": lambda items: items.pop(),
    "nothing left": lambda items: items.clear(),
    "no change": lambda items: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_annals_and_the_document_agree_on_what_is_wrong(change: str) -> None:
    items = _example_items()
    checkpoint = (3, items[-1]["hash"])
    CHANGES[change](items)
    result = first_bad_seq(EXAMPLE["pk"], items, checkpoint)
    assert verify(_check(items), EXAMPLE["pk"], Checkpoint(*checkpoint)).first_bad_seq == result
    assert (result is None) == (change == "no change")
