"""Drafts as items of the state table.

- ``DRAFT#<name>``, beside the conversation's head: the draft itself, with the end of its text. It is kept below a
  kilobyte, so that a change costs one write unit.
- ``DRAFTEND#<name>``, beside it: the timer. It holds nothing, and says by going that the draft may have run out.
- ``P#<number>``, in a partition of the draft's own: the text before that end, in pieces that never change.
- ``F#<revision>``, there as well: the message's other fields, as they are since that revision.

Once the message is stored, the draft is closed: nobody adds to it, and it stays until its text is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from annals.database.dynamodb import Item, from_item, to_item
from annals.database.item_size import WRITE_UNIT_BYTES, item_size
from annals.database.keys import item_key, partition_key
from annals.errors import IdempotencyKeyReused
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk, split_conversation_pk

DRAFT_PREFIX = "DRAFT#"
TIMER_PREFIX = "DRAFTEND#"
PIECE_PREFIX, FIELDS_PREFIX = "P#", "F#"

KEEP, DISCARD = "keep", "discard"
"""What becomes of a draft that runs out."""

KEY_FIELDS = ("tenant", "conversation_id", "name")
"""The fields of a draft that its key holds."""

MAX_KEYS, KEY_BYTES, KEY_ID_BYTES = 8, 12, 8
"""How many requests with an Idempotency-Key a draft knows, and what is kept of each."""

LEAST_REST_BYTES = 256
"""How much text a draft's item holds in any case."""

MARGIN_BYTES = 40
"""What a write id takes."""

GRACE_S = 30 * 86_400
"""How many seconds after a draft has run out its items expire by themselves, should nobody have ended it by then."""


@dataclass(frozen=True, kw_only=True)
class MessageDraft:
    """A message that is being said. Its fields are stored under these names; times are Unix milliseconds.

    Parameters
    ----------
    name : what its keys hold of its external id
    draft_id : tells it from an earlier draft of the same external id
    revision : of the last change
    begun : the revision since which the text has only grown
    first, following : the text's pieces are those from number ``first`` to before ``following``
    rest : the text after the pieces
    length : of the text, in characters
    size : of the text in a body, in bytes
    fields_revision, fields_size : since when the other fields are as they are, and their bytes
    sent : a digest of the other fields as the last change brought them
    has_parts : whether ``parts`` is among them
    user_id : whose message it is, where it names a user
    keys : the last requests that came with an Idempotency-Key: of each the beginning of its id, and of its digest
    until : when it runs out unless it is changed
    closed : whether nothing is added to it any more
    """

    tenant: str
    conversation_id: str
    name: str
    draft_id: str
    external_id: str
    role: str
    revision: int
    begun: int
    first: int = 0
    following: int = 0
    rest: str = ""
    length: int = 0
    size: int = 0
    fields_revision: int
    fields_size: int
    sent: bytes
    has_parts: bool = False
    user_id: str | None = None
    keys: bytes = b""
    on_expiry: str = DISCARD
    created_at: int
    updated_at: int
    until: int
    closed: bool = False

    @property
    def pk(self) -> str:
        """The partition of its conversation."""
        return conversation_pk(self.tenant, self.conversation_id)

    @property
    def text_pk(self) -> str:
        """The partition of its text, and of no other draft's."""
        return partition_key(self.tenant, "DM", self.conversation_id, self.name, self.draft_id)

    @property
    def expires_at(self) -> int:
        """When its items go by themselves, in Unix seconds."""
        return self.until // 1000 + GRACE_S

    @property
    def rest_room(self) -> int:
        """How many bytes of text its item has room for, so that it costs one write unit."""
        return max(LEAST_REST_BYTES, WRITE_UNIT_BYTES - item_size(_values(replace(self, rest=""))) - MARGIN_BYTES)

    def is_discarded(self, now: int) -> bool:
        """Whether it has run out, and is not to be kept."""
        return self.until < now and self.on_expiry == DISCARD

    def knows(self, request: IdempotentRequest) -> bool:
        """Whether a request is one of the last. Raises IdempotencyKeyReused if its key came with another one."""
        for start in range(0, len(self.keys), KEY_BYTES):
            key = self.keys[start : start + KEY_BYTES]
            if key[:KEY_ID_BYTES] == request.id[:KEY_ID_BYTES]:
                if key != _key_of(request):
                    raise IdempotencyKeyReused
                return True
        return False

    def with_key(self, request: IdempotentRequest) -> MessageDraft:
        """The same draft, which knows a request."""
        return replace(self, keys=(self.keys + _key_of(request))[-MAX_KEYS * KEY_BYTES :])

    def as_closed(self) -> MessageDraft:
        """The same draft once nothing is added to it any more, without its text."""
        return replace(self, rest="", keys=b"", closed=True)


def _key_of(request: IdempotentRequest) -> bytes:
    return request.id[:KEY_ID_BYTES] + request.content[: KEY_BYTES - KEY_ID_BYTES]


def is_timer_sk(sk: str) -> bool:
    """Whether a sort key is that of a draft's timer."""
    return sk.startswith(TIMER_PREFIX)


def draft_key(pk: str, name: str) -> Item:
    """The key of a draft."""
    return item_key(pk, f"{DRAFT_PREFIX}{name}")


def draft_item(draft: MessageDraft) -> Item:
    """The item of a draft."""
    return to_item(_values(draft))


def _values(draft: MessageDraft) -> dict[str, Any]:
    of_key = {"pk": draft.pk, "sk": f"{DRAFT_PREFIX}{draft.name}", "expiresAt": draft.expires_at}
    fields = asdict(draft).items()
    return {**of_key, **{name: value for name, value in fields if name not in KEY_FIELDS and not _is_absent(value)}}


def _is_absent(value: Any) -> bool:
    """Whether a value is not stored: that of a field which has none, or of a flag that is not set."""
    return value is None or value is False or value == b""


def from_draft_item(item: Mapping[str, Any]) -> MessageDraft:
    """The draft of an item."""
    values = from_item(item)
    tenant, conversation_id = split_conversation_pk(values["pk"])
    fields = {name: values[name] for name in MessageDraft.__dataclass_fields__ if name in values}
    name = values["sk"].removeprefix(DRAFT_PREFIX)
    return MessageDraft(tenant=tenant, conversation_id=conversation_id, name=name, **fields)


def timer_item(draft: MessageDraft) -> Item:
    """The item of a draft's timer."""
    key = item_key(draft.pk, f"{TIMER_PREFIX}{draft.name}")
    return {**key, **to_item({"expiresAt": draft.until // 1000 + 1})}


def piece_item(draft: MessageDraft, number: int, text: str) -> Item:
    """The item of a piece of a draft's text."""
    key = item_key(draft.text_pk, f"{PIECE_PREFIX}{number:06d}")
    return {**key, **to_item({"text": text, "expiresAt": draft.expires_at})}


def fields_item(draft: MessageDraft, fields: str) -> Item:
    """The item of a draft's other fields, as JSON text."""
    key = item_key(draft.text_pk, f"{FIELDS_PREFIX}{draft.fields_revision:016d}")
    return {**key, **to_item({"fields": fields, "expiresAt": draft.expires_at})}
