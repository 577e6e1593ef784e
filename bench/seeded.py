"""Much in a database before anything is measured: entries as an append makes them, chained, written in batches."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from tqdm import tqdm

from annals.conversations.genesis import Genesis, genesis_entry
from annals.ledger.append import next_entry
from annals.ledger.entry import Entry, Tail
from annals.ledger.entry_items import to_ledger_item
from annals.ledger.messages import new_message
from annals.settings import Settings
from annals.times import now_ms
from bench.cost import REPLY_BYTES, USER_BYTES
from bench.served import Served
from bench.texts import passage
from local.emulator import CREDENTIALS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SPACE = "bench"
TENANT = "local"
"""The development server's."""

BATCH = 25
"""How many items one request writes, as BatchWriteItem takes them."""

FOLLOW_S = 900
"""How long the streams may take for what was written."""


def turn(rng: random.Random) -> list[dict[str, Any]]:
    """Two messages of English."""
    texts = {"user": passage(rng, USER_BYTES), "assistant": passage(rng, REPLY_BYTES)}
    return [{"role": role, "content": content} for role, content in texts.items()]


def seed_conversation(server: Served, name: str, messages: int) -> None:
    """A conversation of so many messages, if it is not there yet; lists and search know it afterwards."""
    http = server.client()
    if http.get(f"/v1/conversations/{name}").status_code != 200:
        entries = conversation(name, messages // 2)
        _write(server, entries, 1 + messages // 2, f"{messages:,} messages")
    _follow(f"{messages:,} messages in lists", messages, lambda: _message_count(http, name))
    settle(http)


def seed_conversations(server: Served, count: int) -> None:
    """So many conversations of a turn each, if they are not there yet; lists and search know them afterwards."""
    http = server.client()
    if _conversation_count(http) < count:
        entries = chain.from_iterable(conversation(f"seeded-{number}", 1) for number in range(count))
        _write(server, entries, 2 * count, f"{count:,} conversations")
    _follow(f"{count:,} conversations in lists", count, lambda: _conversation_count(http))
    settle(http)


def conversation(name: str, turns: int) -> Iterator[Entry]:
    """The entries of a conversation: what it is, and a turn in each."""
    rng = random.Random(name)
    genesis = Genesis(
        tenant=TENANT,
        conversation_id=name,
        type="user-agent",
        participants={"userId": f"user-{rng.randrange(100)}", "memorySpaceId": SPACE},
        metadata={},
        created_by="bench",
        created_at=now_ms(),
        stored_at=now_ms(),
    )
    entry = genesis_entry(genesis, secrets.token_hex(8))
    yield entry
    for _ in range(turns):
        records = [new_message(message) for message in turn(rng)]
        entry = next_entry(entry.pk, Tail.of(entry), secrets.token_hex(8), records)
        yield entry


def client_of(url: str) -> DynamoDBClient:
    """A client of a laptop's database."""
    session = boto3.Session(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    return session.client("dynamodb", endpoint_url=url, region_name=CREDENTIALS["AWS_REGION"])


def settle(http: httpx.Client) -> None:
    """Wait until the streams are worked off: until search finds a message that was appended now."""
    word = f"settled{secrets.token_hex(16)}"
    body = {"memorySpaceId": SPACE, "userId": "user", "userMessage": word, "agentResponse": "Yes."}
    http.post("/v1/memory/remember", json=body).raise_for_status()
    deadline = time.monotonic() + FOLLOW_S
    while not any(hit["content"] == word for hit in search(http, word)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"What was remembered could not be found after {FOLLOW_S} s.")
        time.sleep(0.2)


def search(http: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The ten best hits."""
    answer = http.post("/v1/memory/search", json={"memorySpaceId": SPACE, "query": query, "limit": 10})
    answer.raise_for_status()
    hits: list[dict[str, Any]] = answer.json()["items"]
    return hits


def _write(server: Served, entries: Iterator[Entry], total: int, what: str) -> None:
    dynamodb, table = client_of(server.dynamodb_url), Settings().ledger_table
    with tqdm(total=total, desc=what, leave=False) as progress:
        while batch := list(islice(entries, BATCH)):
            puts: Any = [{"PutRequest": {"Item": to_ledger_item(entry)}} for entry in batch]
            dynamodb.batch_write_item(RequestItems={table: puts})
            progress.update(len(batch))


def _follow(what: str, total: int, done: Callable[[], int]) -> None:
    """Wait until so many are counted."""
    deadline = time.monotonic() + FOLLOW_S
    with tqdm(total=total, desc=what, leave=False) as progress:
        while (now := done()) < total:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: {now:,} after {FOLLOW_S} s.")
            progress.update(now - progress.n)
            time.sleep(0.5)


def _message_count(http: httpx.Client, name: str) -> int:
    answer = http.get(f"/v1/conversations/{name}")
    return int(answer.json()["messageCount"]) if answer.status_code == 200 else 0


def _conversation_count(http: httpx.Client) -> int:
    return int(http.get("/v1/conversations/count").raise_for_status().json()["count"])
