"""The restore drill of docs/operations.md: tables of an earlier moment, and everything derived brought back to them.

The emulator keeps no past, so a backup that was made at the moment stands in for point-in-time recovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annals.cli.main import main
from annals.conversations.heads import project_head
from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from tests.conftest import Setting
from tests.support import stack
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("ministack")

PEOPLE = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
TABLES = ("LEDGER_TABLE", "STATE_TABLE")


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


class Tables:
    """Backups of the tables, and the tables that are restored from them."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._backups: dict[str, str] = {}

    def back_up(self, variable: str) -> None:
        """Keep a table as it is now."""
        table = getattr(settings(), variable.lower())
        response = client().create_backup(TableName=table, BackupName=f"{variable.lower().replace('_', '-')}-drill")
        self._backups[variable] = response["BackupDetails"]["BackupArn"]

    def restore(self) -> None:
        """Have both tables as they were kept, beside the live ones, and work with them from now on."""
        for variable, backup in self._backups.items():
            restored = f"{getattr(settings(), variable.lower())}-{backup[-8:]}"
            client().restore_table_from_backup(TargetTableName=restored, BackupArn=backup)
            client().get_waiter("table_exists").wait(TableName=restored, WaiterConfig={"Delay": 1})
            self._setting(variable, restored)
        stack.forget()


@pytest.fixture
def tables(setting: Setting) -> Iterator[Tables]:
    yield Tables(setting)
    stack.forget()


def talk(api: Api, conversation_id: str, *contents: str) -> None:
    """A conversation that goes on, or is made, and its place in the lists."""
    api.post("/v1/conversations", {**PEOPLE, "conversationId": conversation_id})
    for content in contents:
        message = {"role": "user", "content": content}
        assert api.post(f"/v1/conversations/{conversation_id}/messages", message).status == 201
    project_head(conversation_pk(api.caller.tenant, conversation_id))


def listed(api: Api) -> dict[str, int]:
    items = api.get("/v1/conversations").json["items"]
    return {item["conversationId"]: item["messageCount"] for item in items}


def search(api: Api, word: str) -> list[str]:
    items = api.post("/v1/memory/search", {"query": word, "memorySpaceId": "home"}).json["items"]
    return sorted(item["memoryId"] for item in items)


def drill(tables: Tables) -> None:
    """The runbook's steps, once the writers are stopped."""
    tables.restore()
    assert main(["rebuild", "heads", "--drop-ahead"]) == 0
    assert main(["rebuild", "index"]) == 0


def test_after_a_restore_lists_search_and_verify_answer_as_at_that_moment(
    api: Api, stream: Stream, tables: Tables
) -> None:
    talk(api, "before", "a tulip", "a rose")
    for variable in TABLES:
        tables.back_up(variable)
    talk(api, "before", "an orchid")
    talk(api, "after", "an orchid")
    stream.deliver_ledger()
    assert (len(search(api, "orchid")), listed(api)) == (2, {"before": 3, "after": 1})

    drill(tables)

    assert listed(api) == {"before": 2}
    assert search(api, "orchid") == []
    assert search(api, "tulip") == ["mem:before:1", "mem:before:2"]  # the second one is shown with the one before it
    assert [message["content"] for message in api.get("/v1/conversations/before/messages").json["items"]] == [
        "a tulip",
        "a rose",
    ]
    verified = api.get("/v1/conversations/before/verify").json
    assert (verified["valid"], verified["messageCount"]) == (True, 2)
    assert api.get("/v1/conversations/after").problem[:2] == (404, "CONVERSATION_NOT_FOUND")


@pytest.mark.parametrize(
    ("earlier", "later", "listed_counts"),
    [("LEDGER_TABLE", "STATE_TABLE", {"before": 1}), ("STATE_TABLE", "LEDGER_TABLE", {"before": 2, "after": 1})],
)
def test_tables_that_were_restored_to_two_moments_answer_as_at_the_ledgers(
    api: Api, stream: Stream, tables: Tables, earlier: str, later: str, listed_counts: dict[str, int]
) -> None:
    talk(api, "before", "a tulip")
    tables.back_up(earlier)
    talk(api, "before", "an orchid")
    talk(api, "after", "an orchid")
    tables.back_up(later)

    drill(tables)

    assert listed(api) == listed_counts
    assert len(search(api, "orchid")) == sum(listed_counts.values()) - 1
    assert api.get("/v1/conversations/before/verify").json["valid"]


def test_a_restored_conversation_goes_on_where_it_was(api: Api, stream: Stream, tables: Tables) -> None:
    talk(api, "before", "a tulip")
    for variable in TABLES:
        tables.back_up(variable)
    talk(api, "before", "an orchid")

    drill(tables)

    talk(api, "before", "a rose")
    assert [message["seq"] for message in api.get("/v1/conversations/before/messages").json["items"]] == [1, 2]
    assert api.get("/v1/conversations/before/verify").json["valid"]
