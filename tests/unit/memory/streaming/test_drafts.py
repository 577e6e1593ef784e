"""Drafts as items of StateTable: what a follower finds of what was written, and what it passes over."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.database.dynamodb import client
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import is_conversation_pk
from annals.memory.streaming.draft_recorder import BATCH_CHARS, GrowingReply
from annals.memory.streaming.draft_table import DraftTable, delete_drafts
from annals.memory.streaming.drafts import STREAM_ID, DeltaBatch, Draft, DraftEnd, new_owner, stream_id_of
from annals.settings import settings
from annals.times import now_ms
from local.streams import matches_patterns
from tests.support.ledgers import chain
from tests.support.stack import TEMPLATE

pytestmark = pytest.mark.usefixtures("moto")

drafts = DraftTable()


@pytest.fixture
def draft(tenant: str) -> Draft:
    """A draft that nobody has claimed."""
    reply_request = IdempotentRequest.of(tenant, "stream-reply", "k")
    reply_fields = {"metadata": {"ratio": 0.1, "_x": [None, "ü"]}}
    return Draft(
        tenant, f"stream-{secrets.token_hex(12)}", "c#1", "s", 7, "keep", reply_fields, reply_request, new_owner()
    )


def read(draft: Draft, first: int = 1):
    return drafts.find(draft.tenant, draft.stream_id, first)


def test_a_draft_is_read_as_it_was_written(draft: Draft) -> None:
    assert drafts.claim(draft)
    context = {"memoryIds": ["mem:c:1"], "historyCount": 1, "tokenEstimate": 3}
    end = DraftEnd(3, {"code": "STREAM_FAILED"}, stored=False, died=True, usage={"inputTokens": 1}, reason="stop")
    drafts.heartbeat(draft, context)
    drafts.add(draft, DeltaBatch(1, ["a", "", "👩‍🚀\0\n"]))
    drafts.end(draft, end)
    snapshot = read(draft)
    assert snapshot
    assert (snapshot.draft, snapshot.context, snapshot.end) == (draft, context, end)
    assert snapshot.batches == [DeltaBatch(1, ["a", "", "👩‍🚀\0\n"])]
    assert (snapshot.text, snapshot.last) == ("a👩‍🚀\0\n", 3)
    assert 0 < snapshot.alive_until - now_ms() <= drafts.lease_s * 1000


def test_what_a_turn_says_of_facts_is_read_only_where_it_is_asked_for(draft: Draft) -> None:
    fact_input = {"facts": [{"fact": "Ada lives in Paris.", "metadata": {"ratio": 0.1}}], "extractFacts": True}
    drafts.claim(replace(draft, has_facts=True, fact_input=fact_input))
    snapshot = read(draft)
    assert snapshot
    assert (snapshot.draft.has_facts, snapshot.draft.fact_input) == (True, None)
    assert drafts.with_fact_input(snapshot.draft).fact_input == fact_input
    assert drafts.with_fact_input(draft).fact_input is None


def test_batches_are_read_in_order_from_the_one_asked_for(draft: Draft) -> None:
    drafts.claim(draft)
    for number in (1, 3, 11, 101):
        drafts.add(draft, DeltaBatch(number, ["x", "y"]))
    snapshot = read(draft, 4)
    assert snapshot
    assert [batch.number for batch in snapshot.batches] == [11, 101]


def test_of_many_who_claim_a_draft_one_gets_it(draft: Draft) -> None:
    assert [drafts.claim(replace(draft, owner=new_owner())) for _ in range(3)] == [True, False, False]


def test_who_takes_a_draft_over_must_name_its_owner(draft: Draft) -> None:
    drafts.claim(draft)
    successor = draft.with_new_owner(after=5)
    assert not drafts.claim(successor, instead_of="somebody")
    assert drafts.claim(successor, instead_of=draft.owner)
    assert not drafts.claim(draft.with_new_owner(after=5), instead_of=draft.owner)


def test_what_a_former_owner_wrote_or_still_writes_is_passed_over(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.heartbeat(draft, {"memoryIds": []})
    drafts.add(draft, DeltaBatch(1, ["old"]))
    drafts.end(draft, DraftEnd(1, {"code": "STREAM_FAILED"}, stored=False))
    successor = draft.with_new_owner(after=1)
    drafts.claim(successor, instead_of=draft.owner)
    drafts.add(successor, DeltaBatch(2, ["new"]))
    drafts.add(draft, DeltaBatch(2, ["late"]))
    snapshot = read(successor)
    assert snapshot
    assert (snapshot.draft, snapshot.context, snapshot.end, snapshot.text) == (successor, None, None, "new")
    drafts.end(successor, DraftEnd(2))
    assert read(successor).end == DraftEnd(2)


def test_the_first_end_is_the_one_that_counts(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.end(draft, DraftEnd(1, died=True))
    drafts.end(draft, DraftEnd(2))
    assert read(draft).end == DraftEnd(1, died=True)


def test_a_draft_whose_time_is_over_is_not_there_even_if_its_items_are(
    draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts.claim(draft)
    later = now_ms() + (settings().draft_retention_s + 1) * 1000
    monkeypatch.setattr("annals.memory.streaming.draft_table.now_ms", lambda: later)
    assert read(draft) is None
    assert drafts.claim(replace(draft, owner=new_owner()))


def test_no_tenant_finds_anothers_draft(draft: Draft) -> None:
    drafts.claim(draft)
    assert drafts.find("another", draft.stream_id) is None
    assert drafts.find(f"{draft.tenant}#D", draft.stream_id) is None


def test_the_drafts_of_an_erased_conversation_go_with_it(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.add(draft, DeltaBatch(1, ["what was said"]))

    delete_drafts(draft.tenant, draft.conversation_id)

    assert read(draft) is None
    items = client().scan(TableName=settings().state_table)["Items"]
    assert not [item for item in items if item["pk"]["S"].startswith(f"T#{draft.tenant}#")]


def test_a_stream_whose_conversation_was_erased_meanwhile_leaves_nothing(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.add(draft, DeltaBatch(1, ["what was said"]))

    drafts.end(draft, DraftEnd(1, {"code": "CONVERSATION_ERASED"}, stored=False))

    items = client().scan(TableName=settings().state_table)["Items"]
    assert not [item for item in items if draft.stream_id in item["pk"]["S"]]


def test_no_function_that_follows_the_tables_stream_is_called_for_a_draft(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.heartbeat(draft, None)
    drafts.add(draft, DeltaBatch(1, ["x"]))
    drafts.end(draft, DraftEnd(1))
    items = client().scan(TableName=settings().state_table)["Items"]
    own = [{name: item[name] for name in ("pk", "sk")} for item in items if draft.stream_id in item["pk"]["S"]]
    followers = [mapping for mapping in TEMPLATE.mappings if mapping.table == "StateTable"]
    matches = [matches_patterns({"dynamodb": {"Keys": keys}}, each.patterns) for each in followers for keys in own]
    assert (len(matches), any(matches)) == (4 * len(followers), False)
    assert not any(is_conversation_pk(keys["pk"]["S"]) for keys in own)


def test_a_draft_of_over_a_megabyte_is_read_whole(draft: Draft) -> None:
    drafts.claim(draft)
    texts = ["word" * 1000] * 300
    for number, text in enumerate(texts):
        drafts.add(draft, DeltaBatch(1 + number, [text]))
    assert read(draft).text == "".join(texts)


def test_a_stream_has_the_same_id_for_the_same_entry_and_another_for_any_other() -> None:
    question = chain([[b"{}"]])[1]
    assert stream_id_of(question) == stream_id_of(question) != stream_id_of(replace(question, entry_id="f" * 16))
    assert STREAM_ID.fullmatch(stream_id_of(question))


def test_a_draft_of_the_first_form_is_not_followed(draft: Draft) -> None:
    drafts.claim(draft)
    key = {"pk": {"S": f"T#{draft.tenant}#D#{draft.stream_id}"}, "sk": {"S": "H"}}
    client().update_item(
        TableName=settings().state_table,
        Key=key,
        UpdateExpression="SET once.digest = :digest",
        ExpressionAttributeValues={":digest": {"B": b"d" * 32}},
    )
    assert read(draft) is None


@given(st.lists(st.lists(st.text(max_size=3000), max_size=6), max_size=6), st.integers(1, 50))
def test_batches_hold_every_piece_once_in_order_and_no_more_than_an_item_should(rounds: list, first: int) -> None:
    reply, batches = GrowingReply(first), []
    for pieces in rounds:
        reply.pieces.extend(pieces)
        batches += reply.drain()
    texts = [text for batch in batches for text in batch.texts]
    assert texts == [piece for pieces in rounds for piece in pieces]
    assert [batch.number for batch in batches[1:]] == [batch.last + 1 for batch in batches[:-1]]
    assert not batches or (batches[0].number, batches[-1].last) == (first, reply.last)
    assert all(len(batch.texts) == 1 or sum(map(len, batch.texts)) <= BATCH_CHARS for batch in batches)
