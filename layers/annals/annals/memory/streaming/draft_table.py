"""Drafts as items of StateTable: one small item per batch of deltas, none of which is ever read back to be extended.

The sort keys stand in the order in which a follower needs them, so that one query brings all the news: ``B#<number>``
batches, ``H`` the draft itself, ``P`` its owner's last sign of life, ``Z`` the end. Each item names its owner; what a
former one left behind, or still writes, is passed over. In front of all that stands ``A``, what the turn says of its
facts, which no follower needs. Beside the conversation stands a ``D#<streamId>`` for each of
its drafts, so that they go with what was said.

A draft goes with its turn: it is claimed on the condition that the user's message is still there, and what its owner
writes into one that is gone, the owner deletes again.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from typing import Any

from annals.conversations.receipts import not_erased_check
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import partition_key
from annals.database.retries import tries
from annals.database.state import delete_partition, put_if, read_partition
from annals.database.transactions import transact
from annals.errors import ConversationErased, MessageRedacted, StreamNotFound, WriteConflict
from annals.json_text import dump, parse
from annals.ledger.append import find_entry
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id
from annals.memory.memories.memory_items import not_redacted_check
from annals.memory.sources import SourceRef, read_removed_sources
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, DraftSnapshot
from annals.search.message_documents import memory_id
from annals.settings import settings
from annals.times import now_ms

TURN, HEAD, PULSE, END = "A", "H", "P", "Z"
SIGNPOST = "D#"


class DraftTable:
    """The drafts of the product; see ``memory.streaming.drafts.Drafts``."""

    @property
    def lease_s(self) -> float:
        """How long a draft that gives no sign of life counts as alive, in seconds."""
        return settings().draft_lease_s

    def claim(self, draft: Draft, instead_of: str | None = None) -> bool:
        """Make the draft's owner the one who tells the stream; see ``Drafts.claim``."""
        writes: list[Any] = [
            {"Put": self._claim(draft, instead_of)},
            not_erased_check(draft.tenant, draft.conversation_id),
            not_redacted_check(draft.tenant, memory_id(draft.conversation_id, draft.seq)),
            _put_of(_signpost(draft)),
            *([_put_of(self._item(draft, TURN, turn=dump(draft.turn)))] if draft.turn is not None else []),
        ]
        for _ in tries(settings().append_patience_s):
            cancelled = transact(writes)
            if cancelled is None:
                return True
            if cancelled.failed(0):
                # Our own, if the reply to an earlier try was lost.
                return bool(cancelled.item(0).get("owner") == {"S": draft.owner})
            if cancelled.failed(1):
                raise ConversationErased(draft.conversation_id)
            if cancelled.failed(2):
                raise MessageRedacted(message_id(draft.seq))
            cancelled.require_retryable()
        raise WriteConflict(f"stream {draft.stream_id!r}")

    def _claim(self, draft: Draft, instead_of: str | None) -> dict[str, Any]:
        """The put of the draft itself, if nobody tells it, or ``instead_of`` does."""
        free = "attribute_not_exists(pk) OR expiresAt < :now"
        holds = {":now": now_ms() // 1000}
        return {
            "TableName": settings().state_table,
            "Item": self._item(draft, HEAD, **_of_draft(draft)),
            "ConditionExpression": f"{free} OR #owner = :former" if instead_of else free,
            "ExpressionAttributeValues": to_item(holds | ({":former": instead_of} if instead_of else {})),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **({"ExpressionAttributeNames": {"#owner": "owner"}} if instead_of else {}),
        }

    def pulse(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        """Give a sign of life; see ``Drafts.pulse``."""
        said = {"context": dump(context)} if context is not None else {}
        _put(self._item(draft, f"{PULSE}#{draft.owner}", **said))
        _require_there(draft)

    def add(self, draft: Draft, batch: DeltaBatch) -> None:
        """Add deltas; see ``Drafts.add``."""
        lengths = array("H", map(len, batch.texts)).tobytes()
        text = "".join(batch.texts)
        _put(self._item(draft, f"{_batch_sk(batch.number)}#{draft.owner}", text=text, lengths=lengths))
        _require_there(draft)

    def end(self, draft: Draft, end: DraftEnd) -> None:
        """Say how the stream ended; the first who says it of an owner's deltas is right.

        Where the user's message was withdrawn meanwhile, the draft goes instead.
        """
        if end.error and end.error.get("code") in (ConversationErased.code, MessageRedacted.code):
            delete_partition(_draft_pk(draft.tenant, draft.stream_id))
            return
        unsaid = "attribute_not_exists(pk) OR #owner <> :owner"
        _put_if(self._item(draft, END, said=dump(asdict(end))), unsaid, {":owner": draft.owner})
        _require_there(draft)

    def read(self, tenant: str, stream_id: str, first: int = 1) -> DraftSnapshot | None:
        """The stream's draft from delta ``first`` on, as it is now; None where there is no such stream."""
        items = list(_query(_draft_pk(tenant, stream_id), _batch_sk(first)))
        head = next((item for item in items if item["sk"] == HEAD and item["expiresAt"] >= now_ms() // 1000), None)
        if head is None or "digest" in head["once"]:
            # Nobody, or a draft of before, whose reply has another marker than would be looked for.
            return None
        draft = _to_draft(tenant, stream_id, head)
        if read_removed_sources(tenant, [_ref_of(draft)]).takes(_ref_of(draft)):
            return None
        own = {item["sk"]: item for item in items if item["owner"] == head["owner"]}
        context = own.get(f"{PULSE}#{head['owner']}", {}).get("context")
        return DraftSnapshot(
            draft=draft,
            context=parse(context) if context else None,
            batches=[_to_batch(item) for sk, item in own.items() if sk.startswith("B#")],
            end=DraftEnd(**parse(own[END]["said"])) if END in own else None,
            until=max(item["until"] for item in own.values()),
        )

    def with_turn(self, draft: Draft) -> Draft:
        """The draft with what its turn says of facts, which ``read`` leaves out: it is large, and needed once."""
        if not draft.with_facts or draft.turn is not None:
            return draft
        key = to_item({"pk": _draft_pk(draft.tenant, draft.stream_id), "sk": TURN})
        item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
        return replace(draft, turn=parse(from_item(item)["turn"])) if item else draft

    def _item(self, draft: Draft, sk: str, **values: Any) -> Item:
        """An item of a draft: whose it is, until when it shows that this one lives, and when it may go."""
        now = now_ms()
        shared = {
            "pk": _draft_pk(draft.tenant, draft.stream_id),
            "sk": sk,
            "owner": draft.owner,
            "until": now + round(self.lease_s * 1000),
            "expiresAt": now // 1000 + settings().draft_retention_s,
        }
        return to_item(shared | values)


def delete_drafts(tenant: str, conversation_id: str, seq: int | None = None) -> None:
    """Delete the drafts of a conversation's streams, or that of the turn to which message ``seq`` belongs.

    The draft itself goes first: from then on, whoever writes into it deletes what it writes.
    """
    pk = conversation_pk(tenant, conversation_id)
    for signpost in read_partition(pk, SIGNPOST):
        stream_id = signpost["sk"]["S"].removeprefix(SIGNPOST)
        if seq is None or _is_of(tenant, stream_id, seq):
            client().delete_item(TableName=settings().state_table, Key=_head_key(tenant, stream_id))
            delete_partition(_draft_pk(tenant, stream_id))
            client().delete_item(TableName=settings().state_table, Key={"pk": {"S": pk}, "sk": signpost["sk"]})


def _is_of(tenant: str, stream_id: str, seq: int) -> bool:
    """Whether a message is one of those of a draft's turn. Of a draft whose head is gone, the rest has to go."""
    head = _read_head(tenant, stream_id)
    if head is None:
        return True
    draft = _to_draft(tenant, stream_id, from_item(head))
    if draft.seq == seq:
        return True
    reply = find_entry(draft.once)
    return reply is not None and reply.seq == seq


def _ref_of(draft: Draft) -> SourceRef:
    """The user's message of a draft's turn."""
    return draft.conversation_id, (message_id(draft.seq),)


def _require_there(draft: Draft) -> None:
    """Raise StreamNotFound where a draft is gone, and delete what was written since."""
    if _read_head(draft.tenant, draft.stream_id) is None:
        delete_partition(_draft_pk(draft.tenant, draft.stream_id))
        raise StreamNotFound(draft.stream_id)


def _read_head(tenant: str, stream_id: str) -> Item | None:
    key = _head_key(tenant, stream_id)
    return client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")


def _head_key(tenant: str, stream_id: str) -> Item:
    return to_item({"pk": _draft_pk(tenant, stream_id), "sk": HEAD})


def _signpost(draft: Draft) -> Item:
    """What leads from a conversation to a draft."""
    return to_item(
        {
            "pk": conversation_pk(draft.tenant, draft.conversation_id),
            "sk": f"{SIGNPOST}{draft.stream_id}",
            "expiresAt": now_ms() // 1000 + 2 * settings().draft_retention_s,
        }
    )


def _draft_pk(tenant: str, stream_id: str) -> str:
    return partition_key(tenant, "D", stream_id)


def _batch_sk(number: int) -> str:
    return f"B#{number:012d}"


def _put_of(item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": item}}


def _put(item: Item) -> None:
    client().put_item(TableName=settings().state_table, Item=item)


def _put_if(item: Item, condition: str, values: Mapping[str, Any]) -> bool:
    names = {"ExpressionAttributeNames": {"#owner": "owner"}} if "#owner" in condition else {}
    return put_if(item, condition, values, **names) is None


def _query(pk: str, first_sk: str) -> Iterator[Item]:
    query: dict[str, Any] = {
        "TableName": settings().state_table,
        "KeyConditionExpression": "pk = :pk AND sk >= :first",
        "ExpressionAttributeValues": to_item({":pk": pk, ":first": first_sk}),
        "ConsistentRead": True,
    }
    while True:
        answer = client().query(**query)
        yield from map(from_item, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _of_draft(draft: Draft) -> dict[str, Any]:
    return {
        "conversationId": draft.conversation_id,
        "memorySpaceId": draft.memory_space_id,
        "seq": draft.seq,
        "onFailure": draft.on_failure,
        "said": dump(draft.said),
        "once": {"route": draft.once.route, "key": draft.once.key},
        "first": draft.first,
        "withFacts": draft.with_facts,
    }


def _to_draft(tenant: str, stream_id: str, head: Item) -> Draft:
    return Draft(
        tenant=tenant,
        stream_id=stream_id,
        conversation_id=head["conversationId"],
        memory_space_id=head["memorySpaceId"],
        seq=head["seq"],
        on_failure=head["onFailure"],
        said=parse(head["said"]),
        once=IdempotentRequest.of(tenant, head["once"]["route"], head["once"]["key"]),
        owner=head["owner"],
        first=head["first"],
        with_facts=head.get("withFacts", False),
    )


def _to_batch(item: Item) -> DeltaBatch:
    lengths = array("H", item["lengths"])
    ends = accumulate(lengths, initial=0)
    return DeltaBatch(int(item["sk"].split("#")[1]), [item["text"][start:end] for start, end in pairwise(ends)])
