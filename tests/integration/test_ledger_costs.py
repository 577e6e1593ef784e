"""What entries weigh, as a database counts it that bills by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annals.database.dynamodb import client, to_item
from annals.database.item_size import MAX_ENTRY_BYTES, WRITE_UNIT_BYTES, item_size
from annals.ledger.entry import Idempotency
from annals.ledger.entry_items import to_ledger_item
from annals.settings import settings
from tests.support.ledgers import chain, entry_after, new_conversation, to_values

pytestmark = pytest.mark.usefixtures("ministack")


def _write_units(item: dict[str, object]) -> float:
    answer = client().put_item(TableName=settings().ledger_table, Item=item, ReturnConsumedCapacity="INDEXES")
    return answer["ConsumedCapacity"]["Table"]["CapacityUnits"]


@pytest.mark.parametrize("units", [1, 2, 5])
@pytest.mark.parametrize("has_idem", [False, True])
def test_an_item_weighs_what_the_database_counts(tenant: str, units: int, has_idem: bool) -> None:
    entry = entry_after(chain([], pk=f"T#{tenant}#C#conv-1")[0], [b"", b""])
    entry = replace(entry, idem=Idempotency(bytes(16), bytes(16))) if has_idem else entry
    spare = units * WRITE_UNIT_BYTES - item_size(to_values(entry))
    for more, counted in [(0, units), (1, units + 1)]:
        values = {**to_values(entry), "sk": f"E#{more:012d}"}
        values["records"][0]["body"] = "x" * (spare + more)
        assert item_size(values) == units * WRITE_UNIT_BYTES + more
        assert _write_units(to_item(values)) == counted


def test_the_largest_entry_fits_into_the_table(tenant: str) -> None:
    entry = entry_after(chain([], pk=new_conversation(tenant))[0], [b""])
    spare = MAX_ENTRY_BYTES - item_size(to_values(entry))
    values = {**to_values(entry), "records": [{**to_values(entry)["records"][0], "body": "x" * spare}]}
    assert _write_units(to_item(values)) == MAX_ENTRY_BYTES / WRITE_UNIT_BYTES


def test_an_ordinary_turn_costs_one_write_unit_and_stays_at_one_as_the_conversation_grows() -> None:
    user = "Could you look up when the blue line runs on Sunday evening, and whether I can take my bicycle along? " * 2
    agent = (
        "On Sunday evening the blue line runs every twenty minutes until half past eleven, and then every hour until "
        "two in the morning. You may take your bicycle along in the last carriage, except between four and six in the "
        "afternoon, and you need a ticket for it that costs two euros and is valid for the whole day. "
    )
    bodies = [
        f'{{"role":"user","content":"{user}"}}'.encode(),
        f'{{"role":"assistant","content":"{agent * 2}"}}'.encode(),
    ]
    entries = chain([bodies] * 50, pk="T#costs#C#conv-1")
    assert {_write_units(to_ledger_item(entry)) for entry in entries[1:]} == {1}
