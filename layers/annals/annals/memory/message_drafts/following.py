"""Following a message while it is said: its text piece by piece, and at last the message as it is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from anyio.to_thread import run_sync

from annals.access.caller import Caller
from annals.api.problems import problem_details
from annals.conversations.read import get_tail, open_conversation
from annals.errors import AnnalsError, InvalidInput, MessageNotFound, MessageRedacted
from annals.ledger.external_ids import find_external_id_name
from annals.ledger.messages import message_id, present_message
from annals.memory.message_drafts.changes import DraftPlace
from annals.memory.message_drafts.completing import find_stored
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import DraftEnded, find_draft, read_contents
from annals.memory.message_drafts.presenters import present_draft
from annals.times import now_ms

POLL_S = 0.3
"""How often a draft is read anew."""

FOLLOW_S = 840.0
"""How long one response lasts; whoever wants to follow on comes back with the id of the last event."""

POSITION = re.compile(r"([0-9]{1,16})-([0-9]{1,9})")
"""The id of an event: the revision since which the text grows, and how much of it was sent."""


@dataclass(frozen=True)
class Position:
    """How much of a text a follower has: so many characters of the one that began with a revision."""

    begun: int = 0
    length: int = 0

    @staticmethod
    def parse(last_event_id: str | None) -> Position:
        """The position that an event's id names; the beginning, without one. Raises InvalidInput."""
        if not last_event_id:
            return Position()
        match = POSITION.fullmatch(last_event_id)
        if match is None:
            detail = f"Last-Event-ID must be the id of an event, not {last_event_id!r}."
            raise InvalidInput("INVALID_FORMAT", detail, field="Last-Event-ID")
        return Position(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class MessageEvent:
    """One event of a message that is followed; those with text have an id."""

    name: Literal["start", "delta", "result", "error"]
    data: Mapping[str, Any]
    position: Position | None = None

    @property
    def id(self) -> str | None:
        """What a follower sends back to go on from here."""
        return f"{self.position.begun}-{self.position.length}" if self.position else None

    @property
    def is_last(self) -> bool:
        """Whether nothing comes after it."""
        return self.name in ("result", "error")


class FollowedMessage:
    """A message as its followers see it."""

    def __init__(self, place: DraftPlace, position: Position, request_id: str) -> None:
        self._place = place
        self._position = position
        self._request_id = request_id
        self._revision = 0

    async def events(self, idle_s: float) -> AsyncIterator[MessageEvent | None]:
        """The events, as they happen, up to the last one or for FOLLOW_S; None after ``idle_s`` seconds without one.

        A second start says that the text begins anew: it was replaced.
        """
        clock = asyncio.get_running_loop().time
        until, quiet_since = clock() + FOLLOW_S, clock()
        while clock() < until:
            for event in await run_sync(self._next_events):
                quiet_since = clock()
                yield event
                if event.is_last:
                    return
            if clock() - quiet_since >= idle_s:
                quiet_since = clock()
                yield None
            await asyncio.sleep(POLL_S)

    def _next_events(self) -> list[MessageEvent]:
        """What happened since the last look; it blocks."""
        try:
            draft = find_draft(self._place.pk, self._place.name)
            if draft is None or draft.closed or draft.is_discarded(now_ms()):
                return [self._result()]
            if draft.revision == self._revision:
                return []
            self._require_conversation()
            return self._new_text(draft)
        except DraftEnded:
            return [self._result()]  # it ended while it was read
        except AnnalsError as refusal:
            return [self._error(refusal)]

    def _new_text(self, draft: MessageDraft) -> list[MessageEvent]:
        """The events that bring a follower up to a draft. Raises DraftEnded where it ends meanwhile."""
        opening, before = [], self._position
        if draft.begun != before.begun or before.length > draft.length:
            contents = read_contents(draft)
            shown = {name: value for name, value in present_draft(draft, contents).items() if name != "content"}
            data = {"conversationId": self._place.conversation_id, "message": shown}
            before, text = Position(draft.begun), contents.text
            opening = [MessageEvent("start", data, before)]
        elif before.length >= draft.length - len(draft.rest):
            text = draft.rest[before.length - (draft.length - len(draft.rest)) :]
        else:
            text = read_contents(draft).text[before.length :]
        self._revision = draft.revision
        self._position = replace(before, length=before.length + len(text))
        return [*opening, *([MessageEvent("delta", {"text": text}, self._position)] if text else [])]

    def _result(self) -> MessageEvent:
        """The last event: the message as it is stored, or why there is none."""
        try:
            self._require_conversation()
            stored = find_stored(self._place.pk, self._place.external_id)
            if stored is None:
                raise MessageNotFound(self._place.external_id)
            if stored.record.body is None:
                raise MessageRedacted(message_id(stored.record.seq))
        except AnnalsError as refusal:
            return self._error(refusal)
        message = present_message(stored.record, stored.entry)
        return MessageEvent("result", {"conversationId": self._place.conversation_id, "message": message})

    def _require_conversation(self) -> None:
        """Raise ConversationErased where an erasure has begun: it shows nothing more."""
        get_tail(self._place.tenant, self._place.conversation_id)

    def _error(self, refusal: AnnalsError) -> MessageEvent:
        return MessageEvent("error", problem_details(refusal, self._request_id))


def follow(
    caller: Caller, conversation_id: str, external_id: str, position: Position, request_id: str
) -> FollowedMessage:
    """Follow a message that is said, or was, from a position on.

    Raises
    ------
    ConversationNotFound, ConversationErased
    MessageNotFound : nothing is said with this external id
    """
    pk = open_conversation(caller, conversation_id).pk
    name = find_external_id_name(pk, external_id)
    if name is None or (find_draft(pk, name) is None and find_stored(pk, external_id) is None):
        raise MessageNotFound(external_id)
    return FollowedMessage(DraftPlace(caller.tenant, conversation_id, external_id, name), position, request_id)
