"""Upserts: what is said so far of a message goes into its draft, and the whole of it into the ledger."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from annals.access.caller import Caller
from annals.conversations.appending import require_or_create
from annals.conversations.read import get_tail
from annals.errors import (
    ConversationSealed,
    InvalidInput,
    MessageCompleted,
    MessageRedacted,
    MessageSuperseded,
    TooManyDrafts,
    WriteConflict,
)
from annals.json_text import canonical_text, dump
from annals.ledger.entry import SEALED, Idempotency
from annals.ledger.entry_items import require_size
from annals.ledger.external_ids import EXTERNAL_ID, external_id_name, unchanged_check
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import SUPERSEDES, is_incomplete, message_id, new_message
from annals.ledger.part_storing import require_storable
from annals.memory.message_drafts.changes import DraftPlace, begun, extended, whole
from annals.memory.message_drafts.completing import StoredMessage, complete, find_named, require_words
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import (
    DraftContents,
    DraftEnded,
    count_drafts,
    delete_draft,
    find_draft,
    read_contents,
    store_change,
)
from annals.memory.message_drafts.models import UpsertMessage
from annals.memory.user_traces import CONVERSATION, is_conversation_user, trace_key, trace_puts
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms

MAX_DRAFTS = 100
"""How many drafts a conversation may have at once."""


@dataclass(frozen=True)
class UpsertResult:
    """A message after an upsert: its draft, or what is stored of it; ``replayed`` if an earlier request stored it."""

    message: MessageDraft | StoredMessage
    replayed: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the request stored the message."""
        return isinstance(self.message, StoredMessage) and not self.replayed


def upsert(
    caller: Caller,
    conversation_id: str,
    external_id: str,
    message: UpsertMessage,
    keyed: IdempotentRequest | None = None,
) -> UpsertResult:
    """Take in what is new of a message, or all of it; once it is complete, store it in the ledger.

    ``keyed`` is the request, where it came with an Idempotency-Key.

    Raises
    ------
    ConversationNotFound, ConversationErased, ConversationSealed, and what ``append_for`` raises of a new conversation
    InvalidInput : the message says nothing, or text is to be added to parts
    EntryTooLarge : no entry has room for it
    MessageCompleted : another message is stored with this external id
    MessageRedacted : it was stored, and is redacted
    MessageSuperseded : it was stored incomplete, and a message without this external id supersedes it
    TooManyDrafts : the conversation has as many as it may have
    IdempotencyKeyReused : the request's key came with another request before
    WriteConflict : others kept writing to the draft
    """
    _require_state(message)
    _require_storable(message)
    new = message.conversation.to_new(conversation_id) if message.conversation else None
    if message.embedding is not None:
        from annals.memory.caller_vectors import require_appendable

        require_appendable(caller, conversation_id, new, [new_message(message.stored_fields())])
    require_or_create(caller, conversation_id, new)
    pk = conversation_pk(caller.tenant, conversation_id)
    place = DraftPlace(caller.tenant, conversation_id, external_id, external_id_name(pk, external_id))
    return _Upsert(place, message, keyed).run()


def _require_storable(message: UpsertMessage) -> None:
    """Refuse what could never be stored, before a conversation is made for it."""
    contents = DraftContents(message.content, message.other_fields())
    body = dump({**contents.fields, "content": contents.text}).encode()
    if not message.completed:
        require_size(body)
        return
    require_storable(body)
    if message.conversation or message.replaces:
        require_words(contents)


def _require_state(message: UpsertMessage) -> None:
    if message.status is not None and not message.completed:
        raise InvalidInput("INVALID_FORMAT", "What is not completed has no status.", field="status")
    if message.supersedes is not None:
        detail = "A message of a known externalId supersedes the incomplete one by itself."
        raise InvalidInput("INVALID_FORMAT", detail, field=SUPERSEDES)


class _Upsert:
    """One request, tried until nobody else was faster."""

    def __init__(self, place: DraftPlace, message: UpsertMessage, keyed: IdempotentRequest | None) -> None:
        self._keyed = keyed
        self._place = place
        self._message = message
        said = canonical_text(message.model_dump(mode="json", by_alias=True, exclude_unset=True)).encode()
        target = dump([place.conversation_id, place.external_id])
        self._request = IdempotentRequest.of(place.tenant, "upsert", target, said)

    def run(self) -> UpsertResult:
        """What the request came to."""
        for _ in tries(settings().append_patience_s):
            with suppress(DraftEnded):  # somebody else completed it
                if result := self._try():
                    return result
        raise WriteConflict(f"message {self._place.external_id!r}")

    def _try(self) -> UpsertResult | None:
        """One try; None where somebody else was faster."""
        now, message = now_ms(), self._message
        draft = find_draft(self._place.pk, self._place.name)
        if draft and (draft.closed or draft.is_discarded(now)):
            delete_draft(draft, only_if_unchanged=True)
            return None
        named = find_named(self._place.pk, self._place.external_id) if draft is None or message.completed else None
        stored = None if named is None or named.is_rewound else named
        if stored and (self._is_request_of(stored) or not stored.can_go_on):
            if draft:
                delete_draft(draft)
            return self._stored_before(stored)
        if draft and self._keyed and draft.knows(self._keyed):
            return UpsertResult(draft, replayed=True)
        if draft and message.revision is not None and message.revision <= draft.revision:
            return UpsertResult(draft)
        return self._complete(draft, stored) if message.completed else self._extend(draft, named, now)

    def _complete(self, draft: MessageDraft | None, earlier: StoredMessage | None) -> UpsertResult | None:
        before = read_contents(draft) if draft else _contents_of(earlier)
        contents = whole(before, self._message)
        require_words(contents)
        stored = complete(self._place, draft, contents, earlier, self._request)
        return UpsertResult(StoredMessage(stored.entry.records[0], stored.entry)) if stored else None

    def _extend(self, draft: MessageDraft | None, named: StoredMessage | None, now: int) -> UpsertResult | None:
        """Say more of it. ``named`` is the message that its external id names, which may be rewound."""
        also = []
        if draft is None:
            self._require_room()
            earlier = None if named is None or named.is_rewound else named
            change = begun(self._place, self._message, now, _contents_of(earlier))
            change = replace(change, draft=self._with_key(change.draft))
            also.append(unchanged_check(self._place.pk, self._place.external_id, named.record.seq if named else None))
        else:
            change = extended(self._place, self._with_key(draft), self._message, now)
        user_id = change.draft.user_id
        if user_id is not None and (draft is None or draft.user_id != user_id):
            also += _traces(self._place, user_id)
        return UpsertResult(change.draft) if store_change(change, also) else None

    def _with_key(self, draft: MessageDraft) -> MessageDraft:
        return draft.with_key(self._keyed) if self._keyed else draft

    def _require_room(self) -> None:
        """Raise what keeps the conversation from getting another draft."""
        if get_tail(self._place.tenant, self._place.conversation_id).state == SEALED:
            raise ConversationSealed(self._place.conversation_id)
        if count_drafts(self._place.pk) >= MAX_DRAFTS:
            raise TooManyDrafts(self._place.conversation_id, MAX_DRAFTS)

    def _stored_before(self, stored: StoredMessage) -> UpsertResult:
        """The answer where the message is stored.

        Raises ConversationErased, MessageRedacted, MessageSuperseded, MessageCompleted.
        """
        get_tail(self._place.tenant, self._place.conversation_id)  # an erasure that has begun shows nothing
        if stored.record.body is None:
            raise MessageRedacted(message_id(stored.record.seq))
        if is_incomplete(stored.record) and stored.named is not None:
            raise MessageSuperseded(self._place.external_id, message_id(stored.record.seq))
        if not self._is_request_of(stored) and not (self._message.completed and self._says_the_same(stored)):
            raise MessageCompleted(self._place.external_id)
        return UpsertResult(stored, replayed=True)

    def _is_request_of(self, stored: StoredMessage) -> bool:
        """Whether it was this very request that stored a message."""
        idem = stored.entry.idem
        return idem is not None and idem == Idempotency(self._request.id, self._request.digest(stored.entry.salts))

    def _says_the_same(self, stored: StoredMessage) -> bool:
        """Whether a stored message is what the request alone says."""
        body = {**self._message.other_fields(), "content": self._message.content, EXTERNAL_ID: self._place.external_id}
        known = {name: value for name, value in (stored.record.json_body() or {}).items() if name != SUPERSEDES}
        return canonical_text(body) == canonical_text(known)


OF_STORED = ("content", "status", EXTERNAL_ID, SUPERSEDES)
"""The fields of a stored body that are not those of a draft."""


def _contents_of(stored: StoredMessage | None) -> DraftContents | None:
    """What a stored message says, for its draft to go on from."""
    if stored is None:
        return None
    body = stored.record.json_body() or {}
    return DraftContents(body.get("content", ""), {name: body[name] for name in body if name not in OF_STORED})


def _traces(place: DraftPlace, user_id: str) -> list[dict[str, Any]]:
    """The parts of a transaction that lead from a user to the conversation, if it is not their own."""
    if is_conversation_user(place.tenant, user_id, place.conversation_id):
        return []
    return trace_puts([trace_key(place.tenant, user_id, CONVERSATION, place.conversation_id)])
