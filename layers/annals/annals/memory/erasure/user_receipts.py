"""Receipts of users' erasures: how far each one is, what comes next, and what it took away.

Beside a receipt, in its partition, stand a note for each conversation of the user that is erased, and what asks for the
user to be erased once more, where something of theirs was stored too late to be seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Any

from annals.conversations.receipts import Receipt, find_receipt_item, receipt_key
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape
from annals.database.state import delete_if, put_if, read_partition
from annals.errors import Unavailable
from annals.memory.erasure.models import RemovedOfUser, UserReceiptResponse
from annals.settings import settings
from annals.times import to_rfc3339

USER_KIND = "person"
"""What tells a user's receipt from a conversation's, in its item."""

REPEAT_SK = "LATE"
"""The sort key, beside a receipt, of what asks for its user to be erased once more."""

CONVERSATION = "C#"
"""How the sort keys of the notes of conversations begin, beside a receipt."""

PAGE_SIZE = 1_000
"""How many conversations a receipt shows at once."""


@dataclass(frozen=True, kw_only=True)
class UserReceipt:
    """How far the erasure of a user is. Times are Unix milliseconds; the fields are stored under these names.

    Parameters
    ----------
    user_id : whose erasure it is; once it is done, not even this is kept
    stage : what is being erased
    pending : what of that stage is counted already, and not yet known to be gone
    after : how far that stage is: a seq and the conversation that is read, or a time and a memory id in the index
    round : 1, or 2 where the search index knew of more than the tables
    leased_until : until then whoever stored the receipt is at work; then the stream's function goes on
    step : how often the receipt was stored; whoever finds another number in the table has been overtaken
    conversations, messages, memories, facts, spaces, documents : what is gone, since the user was first erased; of
        all but conversations those that did not go with a conversation of theirs
    within : the messages, memories and facts that did, and how many entries were damaged there
    damaged : what else was met that could not be read: items that were the user's, or of which nobody can tell
    """

    tenant: str
    receipt_id: str
    user_id: str | None
    by: str
    begun_at: int
    stage: str
    pending: tuple[str, ...] = ()
    after: tuple[int, str] | None = None
    leased_until: int = 0
    erased_at: int | None = None
    step: int = 0
    round: int = 1
    conversations: int = 0
    messages: int = 0
    memories: int = 0
    facts: int = 0
    spaces: int = 0
    documents: int = 0
    within: tuple[int, ...] = (0, 0, 0, 0)
    damaged: int = 0


@dataclass(frozen=True)
class RepeatRequest:
    """A request to erase a user once more; ``mark`` tells it from one that comes later."""

    user_id: str
    mark: str


def user_receipt_id(tenant: str, user_id: str) -> str:
    """The id of the receipt of a user's erasure."""
    return f"rcp-{sha256(f'T#{escape(tenant)}#UM#{escape(user_id)}'.encode()).hexdigest()[:20]}"


def find_user_receipt(tenant: str, receipt_id: str) -> UserReceipt | None:
    """The receipt of a user's erasure; None where there is none, or where it is a conversation's."""
    values = find_receipt_item(tenant, receipt_id)
    if values is None or values.get("kind") != USER_KIND:
        return None
    fields = {name: values[name] for name in UserReceipt.__dataclass_fields__ if name in values}
    tuples = {name: tuple(fields[name]) for name in ("pending", "after", "within") if fields.get(name)}
    return UserReceipt(**{"user_id": None, **fields, **tuples, "pending": tuples.get("pending", ())})


def store_user_receipt(receipt: UserReceipt) -> UserReceipt:
    """Store the next step of a receipt. Raises Unavailable where another process has gone on with it."""
    stored = replace(receipt, step=receipt.step + 1)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(stored).items()}
    values = {name: value for name, value in plain.items() if value is not None}
    item = {**receipt_key(receipt.tenant, receipt.receipt_id), **to_item({**values, "kind": USER_KIND})}
    if put_if(item, "attribute_not_exists(pk) OR step = :before", {":before": receipt.step}) is not None:
        raise Unavailable("Another request goes on with this erasure. See its receipt.")
    return stored


def repeat_request_key(tenant: str, receipt_id: str) -> Item:
    """The key of the request to erase a user once more, for what came too late to be seen."""
    return {**receipt_key(tenant, receipt_id), "sk": {"S": REPEAT_SK}}


def put_repeat_request(tenant: str, receipt_id: str, user_id: str) -> None:
    """Request that a user be erased once more, by their receipt."""
    item = {**repeat_request_key(tenant, receipt_id), **to_item({"userId": user_id, "mark": secrets.token_hex(8)})}
    client().put_item(TableName=settings().state_table, Item=item)


def find_repeat_request(tenant: str, receipt_id: str) -> RepeatRequest | None:
    """The request to erase a user once more, by their receipt; None where there is none."""
    key = repeat_request_key(tenant, receipt_id)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return RepeatRequest(item["userId"]["S"], item["mark"]["S"]) if item else None


def delete_repeat_request(tenant: str, receipt_id: str, request: RepeatRequest) -> bool:
    """Delete a request that is done; False where another one came meanwhile, which stays."""
    key = repeat_request_key(tenant, receipt_id)
    return delete_if(key, "attribute_not_exists(pk) OR mark = :mark", {":mark": request.mark})


def put_conversation_note(receipt_id: str, conversation: Receipt) -> None:
    """Note beside a user's receipt that a conversation of theirs is gone, by its own receipt."""
    values = {
        "messages": conversation.messages,
        "memories": conversation.memories,
        "facts": conversation.facts or 0,
        "damaged": conversation.damaged,
        "headHash": conversation.head_hash,
    }
    key = {**receipt_key(conversation.tenant, receipt_id), "sk": {"S": f"{CONVERSATION}{conversation.receipt_id}"}}
    client().put_item(TableName=settings().state_table, Item={**key, **to_item(values)})


def sum_conversation_notes(tenant: str, receipt_id: str) -> tuple[int, int, int, int]:
    """The messages, memories and facts that went with a user's conversations, and how many entries were damaged.

    Each message was a memory, too.
    """
    messages = memories = facts = damaged = 0
    for note in _walk_notes(tenant, receipt_id):
        messages += note["messages"]
        memories += note["messages"] + note["memories"]
        facts += note["facts"]
        damaged += note.get("damaged", 0)
    return messages, memories, facts, damaged


def present_user_receipt(receipt: UserReceipt, after: str | None = None) -> tuple[UserReceiptResponse, str | None]:
    """The API's receipt of a user's erasure, with a page of their conversations.

    Parameters
    ----------
    after : the page begins after the conversation of this receipt

    Returns
    -------
    tuple
        The receipt, and after which conversation's the next page begins, if there is one.
    """
    messages, memories, facts, *damaged_in_conversations = receipt.within
    removed = RemovedOfUser(
        conversations=receipt.conversations,
        messages=receipt.messages + messages,
        memories=receipt.memories + memories,
        facts=receipt.facts + facts,
        spaces=receipt.spaces,
        documents=receipt.documents,
    )
    notes = list(islice(_walk_notes(receipt.tenant, receipt.receipt_id, after), PAGE_SIZE + 1))
    response = UserReceiptResponse(
        receiptId=receipt.receipt_id,
        status="erasing" if receipt.erased_at is None else "erased",
        begunAt=to_rfc3339(receipt.begun_at),
        removed=removed,
        conversations=[
            {"receiptId": _note_id(note), "messages": note["messages"], "headHash": note["headHash"].hex()}
            for note in notes[:PAGE_SIZE]
        ],
    )
    if damaged := receipt.damaged + sum(damaged_in_conversations):
        response["damaged"] = damaged
    if receipt.user_id is not None:
        response["userId"] = receipt.user_id
    if receipt.erased_at is not None:
        response["erasedAt"] = to_rfc3339(receipt.erased_at)
        response["found"] = any(removed.values())
    return response, _note_id(notes[PAGE_SIZE - 1]) if len(notes) > PAGE_SIZE else None


def _walk_notes(tenant: str, receipt_id: str, after: str | None = None) -> Iterator[dict[str, Any]]:
    """The notes of a user's conversations that are erased, in the order of their receipts' ids, after one of them."""
    key = receipt_key(tenant, receipt_id)
    start = {"ExclusiveStartKey": {**key, "sk": {"S": f"{CONVERSATION}{after}"}}} if after else {}
    return map(from_item, read_partition(key["pk"]["S"], CONVERSATION, **start))


def _note_id(note: Mapping[str, Any]) -> str:
    """The id of the conversation's receipt that a note stands for."""
    return str(note["sk"].removeprefix(CONVERSATION))
