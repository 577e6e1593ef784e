"""Reading and writing drafts: each write on the condition that the draft is as it was read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annals.conversations.receipts import not_erased_check
from annals.database.damage import report_damage
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.state import delete_if, delete_partition, find_item, put_if, read_partition
from annals.database.transactions import transact
from annals.errors import DamagedItem, MessageNotFound
from annals.memory.message_drafts.draft_items import (
    DRAFT_PREFIX,
    FIELDS_PREFIX,
    PIECE_PREFIX,
    MessageDraft,
    draft_item,
    draft_key,
    fields_item,
    from_draft_item,
    piece_item,
    timer_item,
)
from annals.settings import settings

MAX_READS = 5
"""How often a draft is read anew that changes while it is read."""


class DraftEnded(MessageNotFound):
    """The draft was completed, or ran out, while it was read."""


@dataclass(frozen=True)
class DraftContents:
    """What was said so far: the text, and a body's other fields."""

    text: str
    fields: Mapping[str, Any]


def find_draft(pk: str, name: str) -> MessageDraft | None:
    """A draft as it is now, a closed one too, or None. Strongly consistent."""
    item = find_item(draft_key(pk, name))
    return from_draft_item(item) if item else None


def list_drafts(pk: str) -> Iterator[MessageDraft]:
    """A conversation's drafts, closed ones too. Strongly consistent."""
    return map(from_draft_item, read_partition(pk, DRAFT_PREFIX))


def count_drafts(pk: str) -> int:
    """How many drafts a conversation has that are open."""
    return sum(not draft.closed for draft in list_drafts(pk))


def read_contents(draft: MessageDraft) -> DraftContents:
    """What was said so far. Raises DraftEnded where the draft ends while it is read."""
    current: MessageDraft | None = draft
    for _ in range(MAX_READS):
        if current is None or current.closed:
            raise DraftEnded(draft.external_id)
        pieces, fields = _read_text_items(current)
        if len(pieces) == current.following - current.first and fields is not None:
            return DraftContents("".join([*pieces, current.rest]), fields)
        current = find_draft(draft.pk, draft.name)
    raise report_damage(DamagedItem(draft.pk, f"{DRAFT_PREFIX}{draft.name}", "a part of its text is missing"))


def _read_text_items(draft: MessageDraft) -> tuple[list[str], dict[str, Any] | None]:
    """The pieces of a draft's text, and its fields, as far as they are there."""
    pieces: list[str] = []
    fields: dict[str, Any] | None = None
    for item in map(from_item, read_partition(draft.text_pk)):
        if item["sk"] == f"{FIELDS_PREFIX}{draft.fields_revision:016d}":
            fields = json.loads(item["fields"])
        elif item["sk"].startswith(PIECE_PREFIX) and _number_of(item) in range(draft.first, draft.following):
            pieces.append(item["text"])
    return pieces, fields


def _number_of(piece: Item) -> int:
    return int(piece["sk"].removeprefix(PIECE_PREFIX))


@dataclass(frozen=True)
class DraftChange:
    """A draft as it is to be.

    Parameters
    ----------
    piece : the text of a new piece, whose number is the last one; None for none
    fields : the other fields as JSON text, where they are other ones than before
    before : the draft as it was read; None for a new one
    """

    draft: MessageDraft
    piece: str | None = None
    fields: str | None = None
    before: MessageDraft | None = None

    def text_puts(self) -> list[dict[str, Any]]:
        """The parts of a transaction that write the new items of the text."""
        items = []
        if self.piece is not None:
            items.append(piece_item(self.draft, self.draft.following - 1, self.piece))
        if self.fields is not None:
            items.append(fields_item(self.draft, self.fields))
        return [_put(item) for item in items]


def store_change(change: DraftChange, also: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Store a draft as it is to be; False where it was changed meanwhile, or a condition of ``also`` does not hold.

    Only where there is a new item of its text, or the draft is new, is it a transaction, which costs twice as much.
    """
    draft, before = change.draft, change.before
    writes = [*change.text_puts(), *also]
    if before is None:
        not_there = {"ConditionExpression": "attribute_not_exists(pk)"}
        erased_check = not_erased_check(draft.tenant, draft.conversation_id)
        return _write([_put(draft_item(draft), **not_there), _put(timer_item(draft)), erased_check, *writes])
    if writes:
        is_stored = _write([_put(draft_item(draft), **_unchanged(before)), *writes])
    else:
        is_stored = put_if(draft_item(draft), UNCHANGED, _state(before)) is None
    if is_stored:
        _delete_replaced(before, draft)
    return is_stored


def _write(writes: Sequence[Mapping[str, Any]]) -> bool:
    cancelled = transact(writes)
    if cancelled is None:
        return True
    if not cancelled.failed_from(0):
        cancelled.require_retryable()
    return False


UNCHANGED = "draft_id = :id AND revision = :revision AND attribute_not_exists(closed)"


def _state(draft: MessageDraft) -> dict[str, Any]:
    """The values by which a draft is known to be as it was read."""
    return {":id": draft.draft_id, ":revision": draft.revision}


def _unchanged(draft: MessageDraft) -> dict[str, Any]:
    """The condition that a draft is as it was read."""
    return {
        "ConditionExpression": UNCHANGED,
        "ExpressionAttributeValues": to_item(_state(draft)),
    }


def _delete_replaced(before: MessageDraft, draft: MessageDraft) -> None:
    """Delete the items of a draft's text that are no part of it any more."""
    gone = [f"{PIECE_PREFIX}{number:06d}" for number in range(before.first, min(draft.first, before.following))]
    if before.fields_revision != draft.fields_revision:
        gone.append(f"{FIELDS_PREFIX}{before.fields_revision:016d}")
    for sk in gone:
        key = {"pk": {"S": draft.text_pk}, "sk": {"S": sk}}
        client().delete_item(TableName=settings().state_table, Key=key)


def closing_put(draft: MessageDraft) -> dict[str, Any]:
    """The part of a transaction that closes a draft, on condition that it is as it was read."""
    return _put(draft_item(draft.as_closed()), **_unchanged(draft))


def no_draft_check(pk: str, name: str) -> dict[str, Any]:
    """The part of a transaction that requires that there is no draft."""
    return {
        "ConditionCheck": {
            "TableName": settings().state_table,
            "Key": draft_key(pk, name),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
    }


def delete_draft(draft: MessageDraft, *, only_if_unchanged: bool = False) -> bool:
    """Delete a draft with its text; False where it was changed since it was read, and that is to be a reason.

    It is closed first: from then on nobody adds to it, and whoever finds it closed can go on with the deletion.
    """
    condition, values = "draft_id = :id", {":id": draft.draft_id}
    if only_if_unchanged:
        condition, values = UNCHANGED, _state(draft)
    if not draft.closed and put_if(draft_item(draft.as_closed()), condition, values) is not None:
        return False
    delete_partition(draft.text_pk)
    closed = {":id": draft.draft_id, ":closed": True}
    delete_if(draft_key(draft.pk, draft.name), "draft_id = :id AND closed = :closed", closed)
    return True


def put_timer(draft: MessageDraft) -> None:
    """Set a draft's timer anew, unless the conversation's erasure has begun."""
    _write([_put(timer_item(draft)), not_erased_check(draft.tenant, draft.conversation_id)])


def _put(item: Item, **condition: Any) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": item, **condition}}
