"""What a draft is after a request: what is new of it, and what is to be written for that."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from annals.database.item_size import MAX_ENTRY_BYTES
from annals.errors import EntryTooLarge, InvalidInput
from annals.json_text import canonical_text, dump
from annals.ledger.entry_items import OVERHEAD_BYTES
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import EMBEDDING
from annals.memory.message_drafts.draft_items import DISCARD, MessageDraft
from annals.memory.message_drafts.draft_store import DraftChange, DraftContents, read_contents
from annals.memory.message_drafts.models import ALL_OF_IT, UpsertMessage
from annals.privacy import masking
from annals.settings import settings

MAX_DRAFT_BYTES = MAX_ENTRY_BYTES - 4 * OVERHEAD_BYTES
"""The most that a draft may take: what an entry holds beside its ids and times."""

SENT_BYTES = 8


@dataclass(frozen=True)
class DraftPlace:
    """Where a draft is: its conversation, its external id, and what its keys hold of that."""

    tenant: str
    conversation_id: str
    external_id: str
    name: str

    @property
    def pk(self) -> str:
        """The partition of the conversation."""
        return conversation_pk(self.tenant, self.conversation_id)


def begun(place: DraftPlace, message: UpsertMessage, now: int, earlier: DraftContents | None) -> DraftChange:
    """A new draft; ``earlier`` is what an incomplete message of its external id says. Raises as ``extended``."""
    contents = whole(earlier, message)
    draft = _with_fields(place, None, message, contents.fields, now)
    return _with_text(None, draft, contents.text, contents.fields, replaces=True)


def extended(place: DraftPlace, before: MessageDraft, message: UpsertMessage, now: int) -> DraftChange:
    """The draft after a request, and what is new of it.

    Raises
    ------
    EntryTooLarge : no entry has room for it
    InvalidInput : text is to be added to a message with parts
    DraftEnded : the draft ends while it is read
    """
    _require_text_fits(message, has_parts=before.has_parts)
    is_longer = bool(message.content) and not message.replaces
    has_same_fields = before.sent == _digest(message)
    if has_same_fields and not (is_longer and masking.is_enabled()):
        draft = _with_fields(place, before, message, None, now)
        return _with_text(before, draft, message.content, None, replaces=message.replaces)
    contents = read_contents(before)
    fields = None if has_same_fields else _merged(contents, message)
    draft = _with_fields(place, before, message, fields, now)
    if is_longer and masking.is_enabled():
        # What is personal may come in several pieces, and is seen only in all of the text.
        text = whole(contents, message).text
        if not text.startswith(contents.text):
            return _with_text(before, draft, text, fields, replaces=True)
        return _with_text(before, draft, text[len(contents.text) :], fields, replaces=False)
    return _with_text(before, draft, message.content, fields, replaces=message.replaces)


def whole(before: DraftContents | None, message: UpsertMessage) -> DraftContents:
    """All that was said, after a request. Raises InvalidInput where text is to be added to a message with parts."""
    if before is None:
        return DraftContents(message.content, message.other_fields())
    _require_text_fits(message, has_parts=has_parts(before.fields))
    text = message.content if message.replaces else masking.mask(before.text + message.content)
    return DraftContents(text, _merged(before, message))


def has_parts(fields: Mapping[str, Any]) -> bool:
    """Whether a message has what no text can be added to."""
    return any(name in fields for name in ALL_OF_IT)


def _require_text_fits(message: UpsertMessage, *, has_parts: bool) -> None:
    if has_parts and message.content and not message.replaces:
        detail = "The message has parts, to which no text can be added; send all of it, with replace."
        raise InvalidInput("INVALID_FORMAT", detail, field="replace")


def _merged(before: DraftContents, message: UpsertMessage) -> dict[str, Any]:
    """The fields beside the text: those from before, with those of the request in their places."""
    kept = {name: value for name, value in before.fields.items() if not message.replaces or name not in ALL_OF_IT}
    if message.content or message.replaces:
        kept.pop(EMBEDDING, None)  # it was of another text
    return {**kept, **message.other_fields()}


def _digest(message: UpsertMessage) -> bytes:
    """A digest of the fields beside the text, by which the same ones are known again."""
    return sha256(canonical_text(message.other_fields()).encode()).digest()[:SENT_BYTES]


def _with_fields(
    place: DraftPlace, before: MessageDraft | None, message: UpsertMessage, fields: Mapping[str, Any] | None, now: int
) -> MessageDraft:
    """The draft with all that is not its text; ``fields`` are None where they are as they were."""
    revision = message.revision or (before.revision + 1 if before else 1)
    until = now + 1000 * settings().message_draft_s
    on_expiry = message.on_expiry or (before.on_expiry if before else DISCARD)
    if before and fields is None:
        return replace(before, revision=revision, updated_at=now, until=until, on_expiry=on_expiry)
    known = dict(fields or {})
    return MessageDraft(
        tenant=place.tenant,
        conversation_id=place.conversation_id,
        name=place.name,
        draft_id=before.draft_id if before else secrets.token_hex(4),
        external_id=place.external_id,
        role=known["role"],
        revision=revision,
        begun=before.begun if before else revision,
        first=before.first if before else 0,
        following=before.following if before else 0,
        rest=before.rest if before else "",
        length=before.length if before else 0,
        size=before.size if before else 0,
        fields_revision=revision,
        fields_size=len(dump(known).encode()),
        sent=_digest(message),
        has_parts=has_parts(known),
        user_id=known.get("userId"),
        keys=before.keys if before else b"",
        on_expiry=on_expiry,
        created_at=before.created_at if before else now,
        updated_at=now,
        until=until,
    )


def _with_text(
    before: MessageDraft | None, draft: MessageDraft, text: str, fields: Mapping[str, Any] | None, *, replaces: bool
) -> DraftChange:
    """The draft with new text at its end, or instead of what it had; what its item has no room for is a new piece."""
    if replaces:
        draft = replace(draft, begun=draft.revision, first=draft.following, rest="", length=0, size=0)
    size = draft.size + len(dump(text).encode()) - len(dump(""))
    if size + draft.fields_size > MAX_DRAFT_BYTES:
        raise EntryTooLarge(size + draft.fields_size, MAX_DRAFT_BYTES)
    rest, piece = draft.rest + text, None
    draft = replace(draft, length=draft.length + len(text), size=size, rest=rest)
    if len(rest.encode()) > draft.rest_room:
        piece, draft = rest, replace(draft, rest="", following=draft.following + 1)
    return DraftChange(draft, piece, None if fields is None else dump(dict(fields)), before)
