"""The drafts of a conversation, as a history shows them: after its newest message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from annals.answers import Room
from annals.conversations.message_models import DraftMessage
from annals.ledger.external_ids import find_places
from annals.ledger.history import MessageRange
from annals.ledger.messages import Message, is_incomplete
from annals.memory.message_drafts.completing import find_stored
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import DraftEnded, list_drafts, read_contents
from annals.memory.message_drafts.presenters import present_draft
from annals.times import now_ms


def list_open_drafts(
    pk: str, message_range: MessageRange, room: Room, external_id: str | None = None
) -> list[DraftMessage]:
    """The drafts that a range of messages includes, the oldest first; one for which there is no room without its text.

    ``external_id`` is that of the draft to show; without it, all are shown.
    """
    now = now_ms()
    found = sorted(list_drafts(pk), key=lambda draft: (draft.created_at, draft.name))
    drafts = {
        draft.external_id: draft
        for draft in found
        if external_id in (None, draft.external_id) and not draft.closed and not draft.is_discarded(now)
    }
    for name in find_places(pk, [*drafts]):
        # What an append stored meanwhile is said no more.
        if (stored := find_stored(pk, name)) and not is_incomplete(stored.record):
            del drafts[name]
    shown = (message for draft in drafts.values() for message in _present(draft, room))
    matches = message_range.matches
    return [message for message in shown if matches is None or matches(cast("Message", message))]


def _present(draft: MessageDraft, room: Room) -> Iterator[DraftMessage]:
    """A draft, unless it ends while it is read; once there is no room, none is read."""
    if room.is_full:
        yield present_draft(draft, None)
        return
    try:
        contents = read_contents(draft)
    except DraftEnded:
        return
    message = present_draft(draft, contents)
    yield message if room.takes(message) else present_draft(draft, None)
