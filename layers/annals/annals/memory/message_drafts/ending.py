"""The end of drafts that nobody completes: they run out, or go with what they belong to."""

from __future__ import annotations

from annals.errors import Conflict, Gone, NotFound, WriteConflict
from annals.ledger.external_ids import find_places
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.messages import INCOMPLETE
from annals.memory.message_drafts.changes import DraftPlace
from annals.memory.message_drafts.completing import complete, find_stored
from annals.memory.message_drafts.draft_items import KEEP, TIMER_PREFIX, MessageDraft
from annals.memory.message_drafts.draft_store import (
    DraftContents,
    delete_draft,
    find_draft,
    list_drafts,
    put_timer,
    read_contents,
)
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms, to_rfc3339


def end_draft(pk: str, timer_sk: str) -> None:
    """End the draft whose timer is gone, if it has run out; else set the timer anew. It can be done again.

    What was said is kept as an incomplete message, if the draft says so and the conversation takes it; else it goes.
    Raises WriteConflict where others keep writing to it.
    """
    name = timer_sk.removeprefix(TIMER_PREFIX)
    for _ in tries(settings().append_patience_s):
        draft = find_draft(pk, name)
        if draft is None or _end(draft):
            return
    raise WriteConflict(f"the draft {name}")


def _end(draft: MessageDraft) -> bool:
    """End a draft, or set its timer anew; False where it was changed meanwhile."""
    if draft.closed:
        return delete_draft(draft)
    if draft.until >= now_ms():
        put_timer(draft)
        return True
    if draft.on_expiry == KEEP:
        return _keep(draft)
    return delete_draft(draft, only_if_unchanged=True)


def _keep(draft: MessageDraft) -> bool:
    """Store what was said as an incomplete message; where nothing can be stored any more, delete it."""
    tenant, conversation_id = split_conversation_pk(draft.pk)
    try:
        contents = read_contents(draft)
        earlier = find_stored(draft.pk, draft.external_id)
        if not _has_words(contents) or (earlier and not earlier.can_go_on):
            return delete_draft(draft, only_if_unchanged=True)
        said_at = {"timestamp": to_rfc3339(draft.updated_at), **contents.fields, "status": INCOMPLETE}
        place = DraftPlace(tenant, conversation_id, draft.external_id, draft.name)
        return complete(place, draft, DraftContents(contents.text, said_at), earlier) is not None
    except (Conflict, Gone, NotFound) as refusal:
        if isinstance(refusal, WriteConflict):
            raise
        # The conversation is sealed or erased, or an earlier version of the message redacted.
        return delete_draft(draft, only_if_unchanged=True)


def _has_words(contents: DraftContents) -> bool:
    return bool(contents.text.strip()) or "parts" in contents.fields


def delete_message_drafts(tenant: str, conversation_id: str) -> None:
    """Delete all drafts of a conversation."""
    for draft in list_drafts(conversation_pk(tenant, conversation_id)):
        delete_draft(draft)


def delete_drafts_of_message(tenant: str, conversation_id: str, seq: int) -> None:
    """Delete the draft of a message that is redacted: what goes on from it, or what was left of it."""
    pk = conversation_pk(tenant, conversation_id)
    drafts = {draft.external_id: draft for draft in list_drafts(pk)}
    for external_id, place in find_places(pk, [*drafts]).items():
        if place.seq == seq:
            delete_draft(drafts[external_id])


def delete_drafts_of_user(tenant: str, conversation_id: str, user_id: str) -> None:
    """Delete the drafts of a user's messages in a conversation."""
    for draft in list_drafts(conversation_pk(tenant, conversation_id)):
        if draft.user_id == user_id:
            delete_draft(draft)
