"""Drafts as the API shows them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

from annals.conversations.message_models import DraftMessage
from annals.ledger.messages import MEMORY_FIELD, present_message
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import DraftContents, DraftEnded, read_contents
from annals.memory.message_drafts.models import Upserted
from annals.memory.message_drafts.upserting import UpsertResult
from annals.times import to_rfc3339

MAX_SHORT_BYTES = 4096
"""Up to how many bytes a draft is shown with its text after each change: so many cost one read unit."""


def present_draft(draft: MessageDraft, contents: DraftContents | None) -> DraftMessage:
    """A draft with what was said so far, or without."""
    said: dict[str, Any] = {"role": draft.role}
    if contents:
        said = {name: value for name, value in contents.fields.items() if name != MEMORY_FIELD}
        said["content"] = contents.text
    of_draft = {
        "externalId": draft.external_id,
        "revision": draft.revision,
        "length": draft.length,
        "status": "draft",
        "expiresAt": to_rfc3339(draft.until),
    }
    return cast("DraftMessage", {"timestamp": to_rfc3339(draft.updated_at), **said, **of_draft})


def present_changed(draft: MessageDraft) -> DraftMessage:
    """A draft after a change: with what was said so far, if that is short."""
    contents = None
    if draft.size + draft.fields_size <= MAX_SHORT_BYTES:
        with suppress(DraftEnded):  # somebody completed it meanwhile
            contents = read_contents(draft)
    return present_draft(draft, contents)


def present_upserted(conversation_id: str, result: UpsertResult) -> Upserted:
    """A message after an upsert, as its draft or as it is stored."""
    if isinstance(result.message, MessageDraft):
        return {"conversationId": conversation_id, "message": present_changed(result.message)}
    record, entry = result.message.record, result.message.entry
    return {
        "conversationId": conversation_id,
        "message": present_message(record, entry),
        "messageCount": entry.count,
        "headHash": entry.hash.hex(),
    }
