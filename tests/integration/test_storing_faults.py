"""A process dies at any request to the database while it stores what was said; the retry leaves it there once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis_entry
from annals.database.dynamodb import client
from annals.errors import AnnalsError
from annals.ingest.envelope import parse_envelope
from annals.ingest.storing import ingest_request, store_envelope
from annals.ledger.keys import conversation_pk
from annals.ledger.tail import tails
from annals.settings import settings
from tests.support import faults
from tests.support.api import Api
from tests.support.ledgers import read_contents, verify_stored

pytestmark = pytest.mark.usefixtures("ministack")

CALLS = 16
"""No way of storing asks the database more often than this."""

PEOPLE = {"userId": "ada", "memorySpaceId": "home"}
MADE = {"conversationId": "chat", "type": "user-agent", "participants": PEOPLE}
FACT = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}
TURN = {**PEOPLE, "userMessage": "I live in Paris now.", "agentResponse": "Noted."}
SAID = {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]}


def post(path: str, body: dict[str, Any], **headers: str) -> Callable[[Api], int]:
    """A request with an Idempotency-Key; its status."""
    return lambda api: api.post(path, body, idempotency_key="once", **headers).status


def event(said: dict[str, Any]) -> Callable[[Api], int]:
    """An event that comes in; 503 where it comes again."""

    def take(api: Api) -> int:
        caller = Caller(api.caller.tenant, "ingest", frozenset({"write"}))
        try:
            store_envelope(caller, parse_envelope(said), ingest_request(caller, "event-1", said))
        except AnnalsError as refusal:
            return refusal.status
        except BotoCoreError:
            return 503
        return 201

    return take


@dataclass(frozen=True)
class Way:
    """A way to store messages: how, how many there are then, and what is there before."""

    store: Callable[[Api], int]
    messages: int = 2
    before: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


EXISTING = [("/v1/conversations", MADE)]
SPOKEN = [*EXISTING, ("/v1/conversations/chat/messages", {"role": "user", "content": "zero"})]
MESSAGES = "/v1/conversations/chat/messages"
REMEMBER = "/v1/memory/remember"

WAYS = {
    "append": Way(post(MESSAGES, SAID), 3, SPOKEN),
    "append at a place": Way(post(MESSAGES, SAID, if_match="1"), 3, SPOKEN),
    "remember": Way(post(REMEMBER, TURN)),
    "remember under an id": Way(post(REMEMBER, {**TURN, "conversationId": "chat"})),
    "remember in a conversation": Way(post(REMEMBER, {**TURN, "conversationId": "chat"}), 3, SPOKEN),
    "remember with facts": Way(post(REMEMBER, {**TURN, "facts": [FACT]})),
    "between agents": Way(post("/v1/a2a/messages", {"from": "a", "to": "b", "text": "Hello."}), 1),
    "event": Way(event({"conversation": MADE, **SAID})),
    "event by participants": Way(
        event({"conversation": {"type": "user-agent", "participants": PEOPLE}, **SAID}),
    ),
    "event with a turn": Way(event({"turn": TURN})),
    "preamble": Way(post("/v1/conversations/chat/preamble", {"content": "Before."}), 1, SPOKEN),
}


def conversations(tenant: str) -> list[str]:
    """The partition keys of all that the tenant has in the ledger."""
    pages = client().get_paginator("scan").paginate(TableName=settings().ledger_table)
    found = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(f"T#{tenant}#")]
    return sorted({item["pk"]["S"] for item in found})


def forget_all(tenant: str) -> None:
    """What another process does not know."""
    get_genesis_entry.cache_clear()
    tails.forget(conversation_pk(tenant, "chat"))


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply], ids=["before", "behind"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_what_a_process_was_storing_when_it_died_is_stored_once_by_the_retry(
    tenant: str, way: Way, fault: faults.Fault
) -> None:
    met = 0
    for call in range(1, CALLS + 1):
        api = Api.of(f"{tenant}-{call}")
        for path, body in way.before:
            assert api.post(path, body).status == 201
        forget_all(api.caller.tenant)
        with faults.dying_at(call, fault) as loss:
            died = way.store(api)
        if not loss.came:
            assert died == 201
            break
        met += 1
        assert died in (201, 503)
        forget_all(api.caller.tenant)
        assert way.store(api) == 201
        [pk] = conversations(api.caller.tenant)
        assert len(read_contents(pk)) == way.messages
        assert verify_stored(pk).valid
        assert way.store(api) == 201
        assert len(read_contents(pk)) == way.messages
    assert 1 <= met < CALLS


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply], ids=["before", "behind"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_process_that_died_left_a_conversation_with_its_messages_or_none(
    tenant: str, way: Way, fault: faults.Fault
) -> None:
    for call in range(1, CALLS + 1):
        api = Api.of(f"{tenant}-{call}")
        for path, body in way.before:
            api.post(path, body)
        forget_all(api.caller.tenant)
        with faults.dying_at(call, fault) as loss:
            way.store(api)
        if not loss.came:
            assert call > 1
            return
        assert all(read_contents(pk) for pk in conversations(api.caller.tenant))
