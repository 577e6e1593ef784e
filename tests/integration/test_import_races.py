"""Imports of the same file at once, against a database that races for real: every message is there once, in order."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from annals.conversations import importing
from annals.conversations.import_parsing import ImportOptions, IncomingConversation, parse_import
from annals.conversations.importing import ImportResult, import_all
from annals.conversations.query_params.imports import read_owners
from annals.database.dynamodb import client
from annals.errors import ConversationDiffers
from annals.ledger.append import append
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import new_message, numbered_messages
from annals.ledger.read import walk
from annals.ledger.rewound import read_rewound
from annals.ledger.verify import verify
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("database")

MESSAGES = 400
CONTENTS = [f"message {number}" for number in range(MESSAGES)]


@pytest.fixture(autouse=True)
def small_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of a few messages, so that there are many places to race for."""
    monkeypatch.setattr(importing, "MAX_BATCH_BYTES", 500)


def file(*, with_ids: bool = False) -> str:
    own = {"type": "conversation", "conversationType": "user-agent", "conversationId": "c"}
    lines = [{**own, "participants": {"userId": "ada", "memorySpaceId": "s"}}]
    for content in CONTENTS:
        more = {"externalId": content} if with_ids else {}
        lines.append({"type": "message", "conversationId": "c", "role": "user", "content": content, **more})
    lines.append({"type": "message", "conversationId": "c", "role": "system", "content": "p", "kind": "preamble"})
    return "\n".join(map(json.dumps, lines))


def parsed(api: Api, *, with_ids: bool = False) -> list[IncomingConversation]:
    options = ImportOptions(lambda: read_owners({}), api.caller.tenant)
    return parse_import(file(with_ids=with_ids).encode(), options).conversations


def contents(api: Api) -> list[str]:
    pk = conversation_pk(api.caller.tenant, "c")
    return [json.loads(record.body or b"")["content"] for _, record, _ in numbered_messages(read_rewound(pk))]


@pytest.mark.parametrize("with_ids", [False, True])
def test_imports_at_once_store_every_message_once(api: Api, *, with_ids: bool) -> None:
    def bring(_: int) -> ImportResult:
        [imported] = import_all(api.caller, parsed(api, with_ids=with_ids), b"").imported
        return imported

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(bring, range(6)))
    assert contents(api) == CONTENTS
    assert sum(each.imported for each in done) == MESSAGES
    assert {each.imported + each.skipped for each in done} == {MESSAGES}
    pk = conversation_pk(api.caller.tenant, "c")
    entries = list(walk(pk))
    assert [record.kind for entry in entries for record in entry.records].count("preamble") == 1
    assert verify(entries, pk).valid


def test_a_message_that_comes_in_between_is_noticed_and_not_written_over(api: Api) -> None:
    puts = count(1)

    def interrupt(**_: object) -> None:
        if next(puts) == 1:
            append(api.caller.tenant, "c", [new_message({"role": "user", "content": "in between"})])

    client().meta.events.register("before-call.dynamodb.PutItem", interrupt)
    try:
        with pytest.raises(ConversationDiffers):
            import_all(api.caller, parsed(api), b"")
    finally:
        client().meta.events.unregister("before-call.dynamodb.PutItem", interrupt)
    stored = contents(api)
    ours = [content for content in stored if content != "in between"]
    assert stored[: len(ours)] == ours == CONTENTS[: len(ours)]
    assert len(stored) == len(ours) + 1
