"""Drafts as items of StateTable: one small item per batch of deltas, none of which is ever read back to be extended.

A draft is one partition. Its sort keys stand in the order in which a follower needs them, so that one query from a
batch on brings all that is new:

- ``A``: the turn's fact input, which no follower needs; it is before all that a follower queries.
- ``B#<number>#<owner>``: a batch of deltas, by the number of its first.
- ``H``: the draft itself.
- ``P#<owner>``: the owner's last sign of life.
- ``Z``: the end.

Each item names its owner; what a former owner left behind, or still writes, is passed over. Beside the conversation
stands a ``D#<streamId>`` for each of its drafts, so that they go with the turn's messages.

A draft goes with its turn. It is claimed on the condition that the user's message is still there. Deltas are written
without a condition, because a transaction for each batch would cost twice as much: so the owner looks for the draft
after each write, and where it is gone, deletes again what was written.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from typing import Any

from annals.conversations.receipts import not_erased_check
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.state import delete_partition, put_if, read_partition
from annals.database.transactions import transact
from annals.errors import ConversationErased, MessageRedacted, StreamNotFound, WriteConflict
from annals.json_text import dump, parse
from annals.ledger.append import find_entry
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id
from annals.memory.live_questions import (
    CLAIMED_AT,
    DRAFT_POINTER,
    END,
    HEAD,
    HEARTBEAT,
    draft_pk,
    reply_request,
)
from annals.memory.sources import SourceRef, not_redacted_check, read_removed_sources
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, DraftSnapshot
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms

FACT_INPUT = "A"


class DraftTable:
    """The drafts of the product; see ``memory.streaming.drafts.Drafts``."""

    @property
    def lease_s(self) -> float:
        """How long a draft that gives no sign of life counts as alive, in seconds."""
        return settings().draft_lease_s

    def claim(self, draft: Draft, instead_of: str | None = None) -> bool:
        """Make the draft's owner the stream's; see ``Drafts.claim``."""
        writes: list[Any] = [
            self._claim_put(draft, instead_of),
            not_erased_check(draft.tenant, draft.conversation_id),
            not_redacted_check(draft.tenant, draft.conversation_id, draft.seq),
            _put_operation(_pointer(draft)),
            *self._fact_input_puts(draft),
        ]
        for _ in tries(settings().append_patience_s):
            cancelled = transact(writes)
            if cancelled is None:
                return True
            if cancelled.failed(0):
                # The claim is our own where the answer to an earlier try was lost.
                return bool(cancelled.item(0).get("owner") == {"S": draft.owner})
            if cancelled.failed(1):
                raise ConversationErased(draft.conversation_id)
            if cancelled.failed(2):
                raise MessageRedacted(message_id(draft.seq))
            cancelled.require_retryable()
        raise WriteConflict(f"stream {draft.stream_id!r}")

    def _claim_put(self, draft: Draft, instead_of: str | None) -> dict[str, Any]:
        """The put of the draft itself, on the condition that it has no owner, or that ``instead_of`` is its owner."""
        condition = "attribute_not_exists(pk) OR expiresAt < :now"
        values: dict[str, Any] = {":now": now_ms() // 1000}
        names: dict[str, Any] = {}
        if instead_of:
            condition += " OR #owner = :former"
            values[":former"] = instead_of
            names = {"ExpressionAttributeNames": {"#owner": "owner"}}
        put = {
            "TableName": settings().state_table,
            "Item": self._item(draft, HEAD, _to_head(draft)),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": to_item(values),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **names,
        }
        return {"Put": put}

    def _fact_input_puts(self, draft: Draft) -> list[dict[str, Any]]:
        if draft.fact_input is None:
            return []
        return [_put_operation(self._item(draft, FACT_INPUT, {"turn": dump(draft.fact_input)}))]

    def heartbeat(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        """Give a sign of life; see ``Drafts.heartbeat``."""
        values = {"context": dump(context)} if context is not None else {}
        _put(self._item(draft, f"{HEARTBEAT}#{draft.owner}", values))
        _require_draft(draft)

    def add(self, draft: Draft, batch: DeltaBatch) -> None:
        """Add deltas; see ``Drafts.add``."""
        values = {"text": "".join(batch.texts), "lengths": array("H", map(len, batch.texts)).tobytes()}
        _put(self._item(draft, f"{_batch_sk(batch.number)}#{draft.owner}", values))
        _require_draft(draft)

    def end(self, draft: Draft, end: DraftEnd) -> None:
        """Store how the stream ended; see ``Drafts.end``.

        Where the user's message was redacted or erased meanwhile, the draft goes instead.
        """
        if end.error and end.error.get("code") in (ConversationErased.code, MessageRedacted.code):
            delete_partition(draft_pk(draft.tenant, draft.stream_id))
            return
        item = self._item(draft, END, {"said": dump(asdict(end))})
        # An end of a former owner's is replaced; of two ends of this owner's deltas, the first stays.
        has_no_end = "attribute_not_exists(pk) OR #owner <> :owner"
        put_if(item, has_no_end, {":owner": draft.owner}, ExpressionAttributeNames={"#owner": "owner"})
        _require_draft(draft)

    def find(self, tenant: str, stream_id: str, first: int = 1) -> DraftSnapshot | None:
        """The stream's draft from delta ``first`` on, as it is now; None where there is no such stream."""
        items = list(_query(draft_pk(tenant, stream_id), _batch_sk(first)))
        head = next((item for item in items if item["sk"] == HEAD and item["expiresAt"] >= now_ms() // 1000), None)
        if head is None or "digest" in head["once"]:
            # None, or a draft of a former version, whose reply has another marker than would be looked for.
            return None
        draft = _from_head(tenant, stream_id, head)
        if read_removed_sources(tenant, [_source_ref(draft)]).include(_source_ref(draft)):
            return None
        own = {item["sk"]: item for item in items if item["owner"] == head["owner"]}
        context = own.get(f"{HEARTBEAT}#{head['owner']}", {}).get("context")
        return DraftSnapshot(
            draft=draft,
            context=parse(context) if context else None,
            batches=[_from_batch_item(item) for sk, item in own.items() if sk.startswith("B#")],
            end=DraftEnd(**parse(own[END]["said"])) if END in own else None,
            alive_until=max(item["until"] for item in own.values()),
        )

    def with_fact_input(self, draft: Draft) -> Draft:
        """The draft with its ``fact_input``; see ``Drafts.with_fact_input``."""
        if not draft.has_facts or draft.fact_input is not None:
            return draft
        key = to_item({"pk": draft_pk(draft.tenant, draft.stream_id), "sk": FACT_INPUT})
        item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
        return replace(draft, fact_input=parse(from_item(item)["turn"])) if item else draft

    def _item(self, draft: Draft, sk: str, values: Mapping[str, Any]) -> Item:
        """An item of a draft: whose it is, until when it shows that the owner lives, and when it may go."""
        now = now_ms()
        shared = {
            "pk": draft_pk(draft.tenant, draft.stream_id),
            "sk": sk,
            "owner": draft.owner,
            "until": now + round(self.lease_s * 1000),
            "expiresAt": now // 1000 + settings().draft_retention_s,
        }
        return to_item({**shared, **values})


def delete_drafts(tenant: str, conversation_id: str, seq: int | None = None) -> None:
    """Delete the drafts of a conversation's streams, or that of the turn to which message ``seq`` belongs.

    The draft itself goes first: from then on, whoever writes into it deletes what it writes. The pointer goes
    last, so that a deletion that breaks off is found and done again.
    """
    pk = conversation_pk(tenant, conversation_id)
    for pointer in read_partition(pk, DRAFT_POINTER):
        stream_id = pointer["sk"]["S"].removeprefix(DRAFT_POINTER)
        if seq is None or _has_message(tenant, stream_id, seq):
            client().delete_item(TableName=settings().state_table, Key=_head_key(tenant, stream_id))
            delete_partition(draft_pk(tenant, stream_id))
            client().delete_item(TableName=settings().state_table, Key={"pk": {"S": pk}, "sk": pointer["sk"]})


def _has_message(tenant: str, stream_id: str, seq: int) -> bool:
    """Whether a message is one of those of a draft's turn. Of a draft whose head is gone, the rest has to go."""
    head = _find_head(tenant, stream_id)
    if head is None:
        return True
    draft = _from_head(tenant, stream_id, from_item(head))
    if draft.seq == seq:
        return True
    reply = find_entry(draft.reply_request)
    return reply is not None and reply.seq == seq


def _source_ref(draft: Draft) -> SourceRef:
    """The user's message of a draft's turn."""
    return draft.conversation_id, (message_id(draft.seq),)


def _require_draft(draft: Draft) -> None:
    """Raise StreamNotFound where a draft is gone, and delete what was written since."""
    if _find_head(draft.tenant, draft.stream_id) is None:
        delete_partition(draft_pk(draft.tenant, draft.stream_id))
        raise StreamNotFound(draft.stream_id)


def _find_head(tenant: str, stream_id: str) -> Item | None:
    key = _head_key(tenant, stream_id)
    return client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")


def _head_key(tenant: str, stream_id: str) -> Item:
    return to_item({"pk": draft_pk(tenant, stream_id), "sk": HEAD})


def _pointer(draft: Draft) -> Item:
    """What leads from a conversation to a draft."""
    return to_item(
        {
            "pk": conversation_pk(draft.tenant, draft.conversation_id),
            "sk": f"{DRAFT_POINTER}{draft.stream_id}",
            CLAIMED_AT: now_ms(),
            "expiresAt": now_ms() // 1000 + 2 * settings().draft_retention_s,
        }
    )


def _batch_sk(number: int) -> str:
    return f"B#{number:012d}"


def _put_operation(item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": item}}


def _put(item: Item) -> None:
    client().put_item(TableName=settings().state_table, Item=item)


def _query(pk: str, first_sk: str) -> Iterator[Item]:
    query: dict[str, Any] = {
        "TableName": settings().state_table,
        "KeyConditionExpression": "pk = :pk AND sk >= :first",
        "ExpressionAttributeValues": to_item({":pk": pk, ":first": first_sk}),
        "ConsistentRead": True,
    }
    while True:
        page = client().query(**query)
        yield from map(from_item, page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _to_head(draft: Draft) -> dict[str, Any]:
    return {
        "conversationId": draft.conversation_id,
        "memorySpaceId": draft.memory_space_id,
        "seq": draft.seq,
        "onFailure": draft.on_failure,
        "said": dump(draft.reply_fields),
        "once": {"route": draft.reply_request.route, "key": draft.reply_request.key},
        "first": draft.first,
        "withFacts": draft.has_facts,
    }


def _from_head(tenant: str, stream_id: str, head: Item) -> Draft:
    return Draft(
        tenant=tenant,
        stream_id=stream_id,
        conversation_id=head["conversationId"],
        memory_space_id=head["memorySpaceId"],
        seq=head["seq"],
        on_failure=head["onFailure"],
        reply_fields=parse(head["said"]),
        reply_request=reply_request(tenant, head),
        owner=head["owner"],
        first=head["first"],
        has_facts=head.get("withFacts", False),
    )


def _from_batch_item(item: Item) -> DeltaBatch:
    lengths = array("H", item["lengths"])
    ends = accumulate(lengths, initial=0)
    return DeltaBatch(int(item["sk"].split("#")[1]), [item["text"][start:end] for start, end in pairwise(ends)])
