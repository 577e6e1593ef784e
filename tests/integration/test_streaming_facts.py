"""Facts of streamed turns: stored with the reply, once, whatever breaks and whoever ends the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from annals.errors import ChatUnavailable
from annals.memory.facts import turn_facts
from annals.memory.facts.extraction import TurnLine
from annals.memory.facts.models import FactStatement
from annals.memory.facts.turn_facts import MAX_STATED_BYTES
from annals.memory.streaming.draft_table import DraftTable
from annals.memory.streaming.drafts import DeltaBatch, Draft
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.turn_store import LedgerTurnStore
from annals.memory.streaming.turns import NewReply, StreamRequest
from tests.fakes.chat_server import REPLY, ChatServer
from tests.support import faults
from tests.support.api import Api
from tests.support.facts import places
from tests.support.streaming import Streams, as_tuples, draft_items, events, forget_draft

FACT = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}
FACTS = [FACT, {**FACT, "predicate": "works in", "tags": ["job"]}]
KEY = {"Idempotency-Key": "once"}
TRIES = 4
"""How often the client library sends a request."""

TRANSACTIONS = ("the conversation with the message", "the draft", "the reply", "the facts")


class Extractor:
    """Finds one fact in each turn, or fails; ``turns`` is what it was shown."""

    def __init__(self, *failures: ChatUnavailable) -> None:
        self.turns: list[list[tuple[str, str]]] = []
        self._failures = list(failures)

    def extract(self, turn: Sequence[TurnLine], at: str, *, within_s: float) -> list[FactStatement]:
        self.turns.append([(line.speaker, line.text) for line in turn])
        if self._failures:
            raise self._failures.pop()
        return [FactStatement.model_validate({**FACT, "predicate": "was extracted"})]


@pytest.fixture
def extract(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Extractor]:
    def begin(*failures: ChatUnavailable) -> Extractor:
        extractor = Extractor(*failures)
        monkeypatch.setattr(turn_facts, "get_extractor", lambda: extractor)
        return extractor

    return begin


def predicates(facts: list[dict[str, Any]]) -> list[str]:
    return [fact["predicate"] for fact in facts]


def total(api: Api) -> int:
    count: int = api.get("/v1/conversations/c/messages").json["total"]
    return count


def begin_turn(api: Api, **more: Any) -> Draft:
    """A streamed turn whose user's message is stored, and whose process says nothing more."""
    payload = {
        "memorySpaceId": "s",
        "conversationId": "c",
        "userId": "u",
        "userMessage": "Hello",
        "facts": FACTS,
        **more,
    }
    draft = LedgerTurnStore().begin(StreamRequest(api.caller, RememberStream.model_validate(payload))).draft
    assert DraftTable().claim(draft)
    DraftTable().add(draft, DeltaBatch(1, [REPLY]))
    return draft


def test_a_streamed_turn_stores_the_facts_that_it_brings(stream: Streams, api: Api, tenant: str) -> None:
    result = events(stream(facts=FACTS))[-1].data

    assert predicates(result["facts"]) == ["lives in", "works in"]
    source = {"conversationId": "c", "messageIds": ["msg-001", "msg-002"]}
    assert [fact["sourceRef"] for fact in result["facts"]] == [source, source]
    assert "factsExtracted" not in result
    assert api.get(f"/v1/facts/{result['facts'][1]['factId']}").json == result["facts"][1]
    assert len(places(tenant)) == 6


def test_facts_are_extracted_from_the_whole_turn(stream: Streams, extract: Callable[..., Extractor]) -> None:
    extractor = extract()

    result = events(stream(facts=[FACT], extractFacts=True, agentId="helper"))[-1].data

    assert (predicates(result["facts"]), result["factsExtracted"]) == (["lives in", "was extracted"], True)
    assert extractor.turns == [[("u", "Where is my cat?"), ("helper", REPLY)]]


def test_an_extraction_that_fails_is_told_and_the_turn_is_stored(
    stream: Streams, extract: Callable[..., Extractor]
) -> None:
    extractor = extract(ChatUnavailable("Not today."))

    received = events(stream(facts=[FACT], extractFacts=True, headers=KEY))

    result = received[-1].data
    assert (predicates(result["facts"]), result["factsExtracted"]) == (["lives in"], False)
    assert result["factsProblem"] == "No facts were extracted: Not today."
    assert as_tuples(events(stream(facts=[FACT], extractFacts=True, headers=KEY))) == as_tuples(received)
    assert as_tuples(events(stream.follow(received[0].data["streamId"]))) == as_tuples(received)
    assert len(extractor.turns) == 1


def test_a_stream_that_is_told_again_tells_its_facts_and_stores_none(
    stream: Streams, extract: Callable[..., Extractor], tenant: str
) -> None:
    extractor = extract()
    turn = {"facts": FACTS, "extractFacts": True, "headers": KEY}
    first = events(stream(**turn))
    stored = places(tenant)

    assert as_tuples(events(stream(**turn))) == as_tuples(first)
    assert as_tuples(events(stream.follow(first[0].data["streamId"]))) == as_tuples(first)
    forget_draft(tenant, first[0].data["streamId"])
    assert events(stream(**turn))[-1].data["facts"] == first[-1].data["facts"]
    assert (places(tenant), len(extractor.turns)) == (stored, 1)


@pytest.mark.parametrize("model", ["break", "empty"])
def test_a_reply_that_is_not_kept_leaves_no_facts(
    stream: Streams, extract: Callable[..., Extractor], tenant: str, model: str
) -> None:
    extractor = extract()

    received = events(stream(model=model, onFailure="discard", facts=FACTS, extractFacts=True))

    assert (received[-1].name, places(tenant), extractor.turns) == ("error", [], [])


def test_a_reply_that_is_kept_incomplete_has_the_facts_that_were_brought(
    stream: Streams, extract: Callable[..., Extractor], tenant: str
) -> None:
    extractor = extract()

    received = events(stream(model="break", facts=FACTS, extractFacts=True))

    assert (received[-1].name, len(places(tenant)), extractor.turns) == ("error", 6, [])


def test_facts_that_could_not_be_stored_are_refused_before_any_stream(stream: Streams, api: Api) -> None:
    refused = stream(facts=[{**FACT, "metadata": {"large": "x" * MAX_STATED_BYTES}}])
    assert (refused.status, refused.json()["code"]) == (413, "REQUEST_TOO_LARGE")
    refused = stream(facts=[{**FACT, "confidence": 101}])
    assert (refused.status, refused.json()["field"]) == (422, "facts[0].confidence")
    assert api.get("/v1/conversations/c").status == 404


def test_large_facts_beside_a_large_message_are_stored(stream: Streams, tenant: str) -> None:
    facts = [{**FACT, "metadata": {"large": "x" * 300_000}}]
    received = events(stream(facts=facts, metadata={"large": "y" * 300_000}))
    assert (received[-1].name, len(places(tenant))) == ("result", 3)


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply])
@pytest.mark.parametrize("write", range(len(TRANSACTIONS)), ids=TRANSACTIONS)
def test_a_streamed_turn_that_breaks_off_at_a_write_is_whole_and_once_after_its_retry(
    stream: Streams, api: Api, tenant: str, write: int, fault: faults.Fault
) -> None:
    with faults.on("TransactWriteItems", *[faults.go_through] * write, *[fault] * TRIES) as left:
        first = stream(facts=FACTS, headers=KEY)
        refused = first.json() if first.status != 200 else events(first)[-1].data
    assert (refused["status"], left) == (503, [])

    result = events(stream(facts=FACTS, headers=KEY))[-1].data

    assert predicates(result["facts"]) == ["lives in", "works in"]
    assert result["fullResponse"] == REPLY
    assert (total(api), len(places(tenant))) == (2, 6)


def test_a_turn_has_no_write_beyond_those_that_are_tried(stream: Streams) -> None:
    fault = faults.lose_request
    with faults.on("TransactWriteItems", *[faults.go_through] * len(TRANSACTIONS), fault) as left:
        assert events(stream(facts=FACTS, headers=KEY))[-1].name == "result"
    assert left == [fault]


def test_a_process_that_died_behind_the_reply_has_its_facts_stored_by_whoever_follows(
    stream: Streams, api: Api, tenant: str, extract: Callable[..., Extractor]
) -> None:
    extractor = extract()
    draft = begin_turn(api, extractFacts=True)
    LedgerTurnStore().commit(draft, NewReply(REPLY))

    received = [events(stream.follow(draft.stream_id)) for _ in range(2)]

    assert as_tuples(received[0]) == as_tuples(received[1])
    assert predicates(received[0][-1].data["facts"]) == ["lives in", "works in", "was extracted"]
    assert (len(places(tenant)), len(extractor.turns)) == (9, 1)


@pytest.mark.parametrize(("on_failure", "stored"), [("keep", 6), ("discard", 0)])
def test_a_process_that_died_within_the_reply_leaves_the_facts_that_belong_to_what_is_kept(
    stream: Streams, api: Api, tenant: str, on_failure: str, stored: int
) -> None:
    draft = begin_turn(api, onFailure=on_failure)

    assert events(stream.follow(draft.stream_id))[-1].data["code"] == "STREAM_FAILED"
    assert len(places(tenant)) == stored


def test_what_a_turn_says_of_facts_goes_with_its_conversation(api: Api, tenant: str, streaming_port: int) -> None:
    draft = begin_turn(api)
    assert "Paris" in str(draft_items(tenant, draft.stream_id))

    assert api.delete("/v1/conversations/c").status == 200

    assert draft_items(tenant, draft.stream_id) == []


def test_a_message_that_was_redacted_meanwhile_leaves_no_facts(stream: Streams, api: Api, tenant: str) -> None:
    fault = faults.lose_request
    with faults.on("TransactWriteItems", *[faults.go_through] * 3, *[fault] * TRIES):
        assert events(stream(facts=FACTS, headers=KEY))[-1].name == "error"
    assert api.post("/v1/conversations/c/messages/msg-001/redact", {"reason": "asked for"}).status == 200

    assert events(stream(facts=FACTS, headers=KEY))[-1].data["facts"] == []
    assert places(tenant) == []


def test_the_model_is_not_asked_again_for_facts_that_are_missing(
    stream: Streams, chat: ChatServer, tenant: str
) -> None:
    with faults.on("TransactWriteItems", *[faults.go_through] * 3, *[faults.lose_request] * TRIES):
        assert events(stream(facts=FACTS, headers=KEY))[-1].name == "error"
    request_count = len(chat.requests)

    assert events(stream(facts=FACTS, headers=KEY))[-1].name == "result"
    assert (len(chat.requests), len(places(tenant))) == (request_count, 6)
