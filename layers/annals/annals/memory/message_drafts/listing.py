"""The drafts of a conversation, as a history shows them: after its newest message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from annals.answers import Room
from annals.conversations.message_models import DraftMessage
from annals.errors import MessageNotFound
from annals.ledger.history import MessageRange
from annals.ledger.messages import Message
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import list_drafts, read_contents
from annals.memory.message_drafts.presenters import present_draft
from annals.times import now_ms


def list_open_drafts(
    pk: str, message_range: MessageRange, room: Room, external_id: str | None = None
) -> list[DraftMessage]:
    """The drafts that a range of messages includes, the oldest first; one for which there is no room without its text.

    ``external_id`` is that of the draft to show; without it, all are shown.
    """
    now = now_ms()
    drafts = sorted(list_drafts(pk), key=lambda draft: (draft.created_at, draft.name))
    wanted = (draft for draft in drafts if external_id in (None, draft.external_id) and not draft.is_discarded(now))
    shown = (message for draft in wanted if not draft.closed for message in _present(draft, room))
    matches = message_range.matches
    return [message for message in shown if matches is None or matches(cast("Message", message))]


def _present(draft: MessageDraft, room: Room) -> Iterator[DraftMessage]:
    """A draft, unless it ends while it is read; once there is no room, none is read."""
    if room.is_full:
        yield present_draft(draft, None)
        return
    try:
        contents = read_contents(draft)
    except MessageNotFound:
        return
    message = present_draft(draft, contents)
    yield message if room.takes(message) else present_draft(draft, None)
