"""Completing: a draft becomes an entry of the ledger, once, and is closed in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from annals.database.transactions import Cancellation
from annals.errors import ExternalIdTaken, InvalidInput, MessageSuperseded
from annals.ledger.append import AppendResult, append
from annals.ledger.entry import Entry, Record
from annals.ledger.external_ids import EXTERNAL_ID, find_places
from annals.ledger.freed_ids import with_freed_ids
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.message_append import superseding_check
from annals.ledger.messages import SUPERSEDES, is_incomplete, message_id, new_message
from annals.ledger.read import read_entry
from annals.ledger.rewound import read_rewound
from annals.ledger.versions import is_rewound, newest_version
from annals.memory.message_drafts.changes import DraftPlace
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import DraftContents, closing_put, delete_draft, no_draft_check


@dataclass(frozen=True)
class StoredMessage:
    """A message of the ledger, and the entry that holds it.

    ``named`` is the seq of the version that has its external id, where that is another one. One that
    ``is_rewound`` leaves its external id to others.
    """

    record: Record
    entry: Entry
    named: int | None = None
    is_rewound: bool = False

    @property
    def can_go_on(self) -> bool:
        """Whether a message of the same external id may supersede it."""
        return is_incomplete(self.record) and self.named is None


def find_stored(pk: str, external_id: str) -> StoredMessage | None:
    """The message that has an external id, in its newest version; None for none. Strongly consistent."""
    named = find_named(pk, external_id)
    return None if named is None or named.is_rewound else named


def find_named(pk: str, external_id: str) -> StoredMessage | None:
    """The same, or the rewound message that had the external id last, and leaves it to others."""
    place = find_places(pk, [external_id]).get(external_id)
    if place is None:
        return None
    entry = read_entry(pk, place.entry_seq)
    named = entry.records[place.seq - entry.seq]
    if is_rewound(read_rewound(pk), pk, named):
        return StoredMessage(named, entry, is_rewound=True)
    record, entry = newest_version(pk, named, entry)
    return StoredMessage(record, entry, None if record.seq == place.seq else place.seq)


def complete(
    place: DraftPlace,
    draft: MessageDraft | None,
    contents: DraftContents,
    earlier: StoredMessage | None,
    request: IdempotentRequest | None = None,
) -> AppendResult | None:
    """Store what was said as a message, and close its draft.

    Parameters
    ----------
    draft : the draft as it was read; None where there is none, and must be none
    earlier : the incomplete message of the same external id, which this one supersedes
    request : the request that completes it, of which the entry keeps a digest

    Returns
    -------
    AppendResult or None
        None where the draft was changed meanwhile, or somebody else stored the message.

    Raises
    ------
    MessageRedacted : the incomplete message was redacted
    and what ``ledger.append`` raises
    """
    body = _body(place, contents, earlier)
    record = new_message(body)
    closing = closing_put(draft) if draft else no_draft_check(place.pk, place.name)
    try:
        stored = append(
            place.tenant,
            place.conversation_id,
            [record],
            thread_id=body.get("threadId"),
            also=[closing],
            signed=request,
            check=superseding_check(place.pk, [record]),
            free_ids=with_freed_ids,
        )
    except (ExternalIdTaken, MessageSuperseded):
        return None  # somebody else stored the message
    except ClientError as error:
        if not Cancellation.of(error).failed(-1):
            raise
        return None
    if draft:
        delete_draft(draft.as_closed())
    return stored


def require_words(contents: DraftContents) -> None:
    """Raise InvalidInput for a message that says nothing; an assistant's may, as the replies of models do."""
    if not contents.text and "parts" not in contents.fields and contents.fields["role"] != "assistant":
        raise InvalidInput(
            "MISSING_REQUIRED_FIELD", "content must not be empty where there are no parts.", field="content"
        )


def _body(place: DraftPlace, contents: DraftContents, earlier: StoredMessage | None) -> dict[str, Any]:
    """The body of the message that a draft becomes."""
    superseded = {} if earlier is None else {SUPERSEDES: message_id(earlier.record.seq)}
    return {**contents.fields, "content": contents.text, EXTERNAL_ID: place.external_id, **superseded}
