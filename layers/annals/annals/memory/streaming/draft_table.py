"""Drafts as items of StateTable: one small item per batch of deltas, none of which is ever read back to be extended.

The sort keys stand in the order in which a follower needs them, so that one query brings all the news: ``B#<number>``
batches, ``H`` the draft itself, ``P`` its owner's last sign of life, ``Z`` the end. Each item names its owner; what a
former one left behind, or still writes, is passed over. In front of all that stands ``A``, what the turn says of its
facts, which no follower needs. Beside the conversation stands a ``D#<streamId>`` for each of
its drafts, so that they go with what was said.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from typing import Any

from annals.dynamodb import Item, client, from_item, to_item
from annals.errors import ConversationErased
from annals.json_text import dump, parse
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk, escape
from annals.memory.streaming.drafts import Batch, Draft, End, News
from annals.settings import settings
from annals.state import delete_partition, put_if, read_partition
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
        """Make the draft's owner the one who tells the stream, if nobody does, or if ``instead_of`` did."""
        _put(_signpost(draft))
        if draft.turn is not None:
            _put(self._item(draft, TURN, turn=dump(draft.turn)))
        free = "attribute_not_exists(pk) OR expiresAt < :now"
        holds = {":now": now_ms() // 1000}
        return _put_if(
            self._item(draft, HEAD, **_of_draft(draft)),
            f"{free} OR #owner = :former" if instead_of else free,
            holds | {":former": instead_of} if instead_of else holds,
        )

    def pulse(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        """Give a sign of life, with the data of the context event as soon as there are any."""
        said = {"context": dump(context)} if context is not None else {}
        _put(self._item(draft, f"{PULSE}#{draft.owner}", **said))

    def add(self, draft: Draft, batch: Batch) -> None:
        """Add deltas, which are a sign of life, too."""
        lengths = array("H", map(len, batch.texts)).tobytes()
        text = "".join(batch.texts)
        _put(self._item(draft, f"{_batch_sk(batch.number)}#{draft.owner}", text=text, lengths=lengths))

    def end(self, draft: Draft, end: End) -> None:
        """Say how the stream ended; the first who says it of an owner's deltas is right.

        Where the conversation was erased meanwhile, the draft goes instead.
        """
        if end.error and end.error.get("code") == ConversationErased.code:
            delete_partition(_draft_pk(draft.tenant, draft.stream_id))
            return
        unsaid = "attribute_not_exists(pk) OR #owner <> :owner"
        _put_if(self._item(draft, END, said=dump(asdict(end))), unsaid, {":owner": draft.owner})

    def read(self, tenant: str, stream_id: str, first: int = 1) -> News | None:
        """The stream's draft from delta ``first`` on, as it is now; None where there is no such stream."""
        items = list(_query(_draft_pk(tenant, stream_id), _batch_sk(first)))
        head = next((item for item in items if item["sk"] == HEAD and item["expiresAt"] >= now_ms() // 1000), None)
        if head is None or "digest" in head["once"]:
            # Nobody, or a draft of before, whose reply has another marker than would be looked for.
            return None
        own = {item["sk"]: item for item in items if item["owner"] == head["owner"]}
        context = own.get(f"{PULSE}#{head['owner']}", {}).get("context")
        return News(
            draft=_to_draft(tenant, stream_id, head),
            context=parse(context) if context else None,
            batches=[_to_batch(item) for sk, item in own.items() if sk.startswith("B#")],
            end=End(**parse(own[END]["said"])) if END in own else None,
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


def forget_drafts(tenant: str, conversation_id: str) -> None:
    """Delete the drafts of a conversation's streams: they hold what was said in it."""
    pk = conversation_pk(tenant, conversation_id)
    for signpost in read_partition(pk, SIGNPOST):
        delete_partition(_draft_pk(tenant, signpost["sk"]["S"].removeprefix(SIGNPOST)))
    delete_partition(pk, SIGNPOST)


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
    return f"T#{escape(tenant)}#D#{escape(stream_id)}"


def _batch_sk(number: int) -> str:
    return f"B#{number:012d}"


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


def _to_batch(item: Item) -> Batch:
    lengths = array("H", item["lengths"])
    ends = accumulate(lengths, initial=0)
    return Batch(int(item["sk"].split("#")[1]), [item["text"][start:end] for start, end in pairwise(ends)])
