"""Summarising a conversation: each summary is made of the one before and only the messages after it.

A summary is stored on the condition that the ledger has not grown since it was read, so that what is redacted or erased
while a model writes can never come back in one. A redaction drops the summary in its own transaction: the next one is
made anew. ``memory.summarizers`` write the text; ``conversations.summary_store`` has what is stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from annals.conversations.read import get_tail
from annals.conversations.summary_store import Summary, find_current_summary, find_summary, to_summary_item
from annals.database.dynamodb import to_item
from annals.database.keys import item_key
from annals.database.transactions import transact
from annals.errors import AnnalsError, NothingToSummarize, WriteConflict
from annals.formats.tokens import estimate
from annals.ledger.entry import MESSAGE, Tail
from annals.ledger.keys import conversation_pk, entry_sk, split_conversation_pk
from annals.ledger.messages import Message
from annals.ledger.read import read_records
from annals.ledger.rewound import Rewound
from annals.ledger.tail import read_tail
from annals.ledger.versions import current_messages
from annals.memory.summarizers import Summarizer, get_summarizer
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms

BATCH_TOKENS = 12_000
"""How much a model reads at once, estimated; a single longer message is cut."""

BUDGET_S = 24.0
"""How long one request may summarise, so that its answer comes within API Gateway's 29 seconds."""

logger = logging.getLogger("annals")


@dataclass(frozen=True)
class Batch:
    """Messages that a model reads at once; ``to_seq`` is the last one's, ``count`` how many there are up to there."""

    messages: list[Message]
    to_seq: int
    count: int


def summarize(tenant: str, conversation_id: str, *, model: str | None = None, budget_s: float = BUDGET_S) -> Summary:
    """Bring a conversation's summary up to its newest message, or as far as the time goes; ``to_seq`` says how far.

    Raises
    ------
    ConversationNotFound, ConversationErased
    NothingToSummarize : nothing was said
    ChatUnavailable : no model wrote a summary; the one before stays
    WriteConflict : something was redacted meanwhile, or other writers were faster, again and again
    """
    tail, pk = get_tail(tenant, conversation_id), conversation_pk(tenant, conversation_id)
    deadline = time.monotonic() + budget_s
    stale, summary = find_summary(pk), find_current_summary(pk, tail)
    for batch in _batches(pk, summary.to_seq if summary else 0, tail):
        if summary and time.monotonic() > deadline - budget_s / 2:
            break
        written = _extend(get_summarizer(), summary, batch, model, deadline)
        summary = _store(pk, tail, written, None if summary else stale)
        if summary.to_seq != batch.to_seq:
            # Somebody else's summary covers more than this one would.
            break
    if summary is None:
        raise NothingToSummarize(conversation_id)
    return summary


def summarize_due(pks: Collection[str], every: int, budget_s: float) -> None:
    """Summarise those conversations that grew by ``every`` messages since their summaries, as far as the time goes.

    What fails is logged and no more: the conversation's next message is another occasion.
    """
    deadline = time.monotonic() + budget_s
    for pk in pks:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        try:
            if _is_due(pk, every):
                summarize(*split_conversation_pk(pk), budget_s=left_s)
        except AnnalsError as error:
            logger.warning("A conversation was not summarised: %s", error.code)
        except Exception:
            # It was projected, and nobody waits for its summary; its next message is another occasion.
            logger.exception("A conversation was not summarised")


def _is_due(pk: str, every: int) -> bool:
    tail = read_tail(pk)
    if tail is None or tail.count < every:
        return False
    summary = find_current_summary(pk, tail)
    return tail.count - (summary.count if summary else 0) >= every


def _batches(pk: str, after_seq: int, tail: Tail) -> Iterator[Batch]:
    """The messages with words after a seq, up to a tail, in batches that a model can read."""
    messages: list[Message] = []
    tokens, to_seq, count, rewound = 0, after_seq, 0, Rewound.at(pk, tail)
    for entry in read_records(pk, after_seq + 1, tail.seq):
        if entry.last_seq <= after_seq or entry.records[0].kind != MESSAGE:
            continue
        left = [each for each in current_messages(pk, entry, rewound) if each["seq"] > after_seq]
        new = [_cut(each) for each in left if str(each.get("content") or "").strip()]
        weight = sum(estimate(str(each["content"])) for each in new)
        if messages and tokens + weight > BATCH_TOKENS:
            yield Batch(messages, to_seq, count)
            messages, tokens = [], 0
        messages, tokens, count = messages + new, tokens + weight, entry.count
        to_seq = max((each["seq"] for each in left), default=to_seq)
    if messages:
        yield Batch(messages, to_seq, count)


def _cut(message: Message) -> Message:
    """A message, or as much of it as a model reads at once, by its characters: four make a token, about."""
    content = str(message["content"])
    return message if len(content) <= 4 * BATCH_TOKENS else {**message, "content": content[: 4 * BATCH_TOKENS]}


def _extend(
    summarizer: Summarizer, before: Summary | None, batch: Batch, model: str | None, deadline: float
) -> Summary:
    """The summary that covers what the one before does, and a batch."""
    left_s = deadline - time.monotonic()
    earlier = before.summary if before else None
    written = summarizer.write(earlier, batch.messages, model=model, within_s=left_s)
    return Summary(
        summary=written.summary,
        topics=tuple(dict.fromkeys(written.topics)),
        from_seq=before.from_seq if before else batch.messages[0]["seq"],
        to_seq=batch.to_seq,
        count=batch.count,
        updated_at=now_ms(),
        model=summarizer.model_name(model),
    )


def _store(pk: str, tail: Tail, summary: Summary, stale: Summary | None) -> Summary:
    """Store a summary if nothing was redacted since the tail that it was made at; another's that covers more stays.

    ``stale`` is one whose messages are rewound, which is replaced whatever it covers.
    """
    for _ in tries(settings().append_patience_s):
        cancelled = transact([_tail_check(pk, tail), _summary_put(pk, summary, stale)])
        if cancelled is None:
            return summary
        if cancelled.failed(1):
            return find_summary(pk) or summary
        cancelled.require_lost_race()
        tail = _tail_of_messages(pk, tail)
    raise WriteConflict(f"the summary of conversation {split_conversation_pk(pk)[1]!r}")


def _tail_of_messages(pk: str, since: Tail) -> Tail:
    """The tail as it is now, where nothing but messages came since another one.

    Raises ConversationErased, and WriteConflict where something else came: it may have been a redaction.
    """
    tenant, conversation_id = split_conversation_pk(pk)
    tail = get_tail(tenant, conversation_id)
    if any(
        entry.seq > since.seq and entry.records[0].kind != MESSAGE
        for entry in read_records(pk, since.seq + 1, tail.seq)
    ):
        raise WriteConflict(f"conversation {conversation_id!r}")
    return tail


def _tail_check(pk: str, tail: Tail) -> Any:
    return {
        "ConditionCheck": {
            "TableName": settings().ledger_table,
            "Key": item_key(pk, entry_sk(tail.seq + 1)),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }


def _summary_put(pk: str, summary: Summary, stale: Summary | None) -> Any:
    values = {":to_seq": summary.to_seq, ":stale": stale.updated_at if stale else 0}
    return {
        "Put": {
            "TableName": settings().state_table,
            "Item": to_summary_item(pk, summary),
            "ConditionExpression": "attribute_not_exists(pk) OR to_seq < :to_seq OR updated_at = :stale",
            "ExpressionAttributeValues": to_item(values),
        }
    }
