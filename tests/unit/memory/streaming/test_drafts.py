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
from annals.memory.streaming.draft_recorder import BATCH_CHARS, Reply
from annals.memory.streaming.draft_table import DraftTable, delete_drafts
from annals.memory.streaming.drafts import STREAM_ID, DeltaBatch, Draft, DraftEnd, new_owner, stream_id_of
from annals.settings import settings
from annals.times import now_ms
from local.streams import is_wanted
from tests.support.ledgers import chain
from tests.support.stack import TEMPLATE

pytestmark = pytest.mark.usefixtures("moto")

drafts = DraftTable()


@pytest.fixture
def draft(tenant: str) -> Draft:
    """A draft that nobody has claimed."""
    once = IdempotentRequest.of(tenant, "stream-reply", "k")
    said = {"metadata": {"ratio": 0.1, "_x": [None, "ü"]}}
    return Draft(tenant, f"stream-{secrets.token_hex(12)}", "c#1", "s", 7, "keep", said, once, new_owner())


def read(draft: Draft, first: int = 1):
    return drafts.read(draft.tenant, draft.stream_id, first)


def test_a_draft_is_read_as_it_was_written(draft: Draft) -> None:
    assert drafts.claim(draft)
    context = {"memoryIds": ["mem:c:1"], "historyCount": 1, "tokenEstimate": 3}
    end = DraftEnd(3, {"code": "STREAM_FAILED"}, stored=False, died=True, usage={"inputTokens": 1}, reason="stop")
    drafts.pulse(draft, context)
    drafts.add(draft, DeltaBatch(1, ["a", "", "👩‍🚀\0\n"]))
    drafts.end(draft, end)
    news = read(draft)
    assert news
    assert (news.draft, news.context, news.end) == (draft, context, end)
    assert news.batches == [DeltaBatch(1, ["a", "", "👩‍🚀\0\n"])]
    assert (news.text, news.last) == ("a👩‍🚀\0\n", 3)
    assert 0 < news.until - now_ms() <= drafts.lease_s * 1000


def test_what_a_turn_says_of_facts_is_read_only_where_it_is_asked_for(draft: Draft) -> None:
    turn = {"facts": [{"fact": "Ada lives in Paris.", "metadata": {"ratio": 0.1}}], "extractFacts": True}
    drafts.claim(replace(draft, with_facts=True, turn=turn))
    news = read(draft)
    assert news
    assert (news.draft.with_facts, news.draft.turn) == (True, None)
    assert drafts.with_turn(news.draft).turn == turn
    assert drafts.with_turn(draft).turn is None


def test_batches_are_read_in_order_from_the_one_asked_for(draft: Draft) -> None:
    drafts.claim(draft)
    for number in (1, 3, 11, 101):
        drafts.add(draft, DeltaBatch(number, ["x", "y"]))
    news = read(draft, 4)
    assert news
    assert [batch.number for batch in news.batches] == [11, 101]


def test_of_many_who_claim_a_draft_one_gets_it(draft: Draft) -> None:
    assert [drafts.claim(replace(draft, owner=new_owner())) for _ in range(3)] == [True, False, False]


def test_who_takes_a_draft_over_must_name_its_owner(draft: Draft) -> None:
    drafts.claim(draft)
    heir = draft.taken_over(after=5)
    assert not drafts.claim(heir, instead_of="somebody")
    assert drafts.claim(heir, instead_of=draft.owner)
    assert not drafts.claim(draft.taken_over(after=5), instead_of=draft.owner)


def test_what_a_former_owner_wrote_or_still_writes_is_passed_over(draft: Draft) -> None:
    drafts.claim(draft)
    drafts.pulse(draft, {"memoryIds": []})
    drafts.add(draft, DeltaBatch(1, ["old"]))
    drafts.end(draft, DraftEnd(1, {"code": "STREAM_FAILED"}, stored=False))
    heir = draft.taken_over(after=1)
    drafts.claim(heir, instead_of=draft.owner)
    drafts.add(heir, DeltaBatch(2, ["new"]))
    drafts.add(draft, DeltaBatch(2, ["late"]))
    news = read(heir)
    assert news
    assert (news.draft, news.context, news.end, news.text) == (heir, None, None, "new")
    drafts.end(heir, DraftEnd(2))
    assert read(heir).end == DraftEnd(2)


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
    assert drafts.read("another", draft.stream_id) is None
    assert drafts.read(f"{draft.tenant}#D", draft.stream_id) is None


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
    drafts.pulse(draft, None)
    drafts.add(draft, DeltaBatch(1, ["x"]))
    drafts.end(draft, DraftEnd(1))
    items = client().scan(TableName=settings().state_table)["Items"]
    own = [{name: item[name] for name in ("pk", "sk")} for item in items if draft.stream_id in item["pk"]["S"]]
    followers = [mapping for mapping in TEMPLATE.mappings if mapping.table == "StateTable"]
    wanted = [is_wanted({"dynamodb": {"Keys": keys}}, each.patterns) for each in followers for keys in own]
    assert (len(wanted), any(wanted)) == (4 * len(followers), False)
    assert not any(is_conversation_pk(keys["pk"]["S"]) for keys in own)


def test_a_draft_of_over_a_megabyte_is_read_whole(draft: Draft) -> None:
    drafts.claim(draft)
    texts = ["word" * 1000] * 300
    for place, text in enumerate(texts):
        drafts.add(draft, DeltaBatch(1 + place, [text]))
    assert read(draft).text == "".join(texts)


def test_a_stream_has_the_same_id_for_the_same_entry_and_another_for_any_other() -> None:
    asked = chain([[b"{}"]])[1]
    assert stream_id_of(asked) == stream_id_of(asked) != stream_id_of(replace(asked, entry_id="f" * 16))
    assert STREAM_ID.fullmatch(stream_id_of(asked))


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
    reply, batches = Reply(first), []
    for pieces in rounds:
        reply.pieces.extend(pieces)
        batches += reply.drain()
    told = [text for batch in batches for text in batch.texts]
    assert told == [piece for pieces in rounds for piece in pieces]
    assert [batch.number for batch in batches[1:]] == [batch.last + 1 for batch in batches[:-1]]
    assert not batches or (batches[0].number, batches[-1].last) == (first, reply.last)
    assert all(len(batch.texts) == 1 or sum(map(len, batch.texts)) <= BATCH_CHARS for batch in batches)
