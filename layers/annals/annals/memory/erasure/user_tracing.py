"""Writing traces of users: whoever reads the ledger's stream notes whose a conversation's new entries are.

A trace of an earlier message that comes after its user was erased has the user erased once more: so nothing is missed,
however late the stream is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from annals.errors import DamagedItem
from annals.ledger.entry import GENESIS, Entry
from annals.ledger.keys import split_conversation_pk
from annals.ledger.read import walk
from annals.memory.erasure.user_receipts import find_user_receipt, put_repeat_request, user_receipt_id
from annals.memory.memories.raw_memories import message_body
from annals.memory.user_traces import CONVERSATION, is_conversation_user, put_trace


def trace_entries(pk: str, seqs: Iterable[int]) -> None:
    """Write the traces of entries of a conversation that begin at these seqs, as they are now. It can be done again.

    What is damaged leaves no trace, and keeps no other entry from it.
    """
    entry_seqs = sorted(set(seqs))
    try:
        _trace(pk, entry_seqs)
    except DamagedItem:
        for seq in entry_seqs:
            with suppress(DamagedItem):
                _trace(pk, [seq])


def _trace(pk: str, seqs: Sequence[int]) -> None:
    for entry in walk(pk, first=seqs[0], last=seqs[-1]):
        if entry.seq in seqs:
            trace_entry(entry)


def trace_entry(entry: Entry) -> None:
    """Write the traces of an entry: of the conversation's user by its genesis, else of others who speak in it."""
    tenant, conversation_id = split_conversation_pk(entry.pk)
    for user_id in sorted(set(_user_ids_of(entry))):
        if entry.seq and is_conversation_user(tenant, user_id, conversation_id):
            continue
        if put_trace(tenant, user_id, CONVERSATION, conversation_id):
            _request_repeat(tenant, user_id, entry.at)


def _user_ids_of(entry: Entry) -> Iterator[str]:
    """The users that an entry's records name; a record that was changed past the API is passed over."""
    for record in entry.records:
        if record.body is None or not record.matches_digest():
            continue
        body = json.loads(record.body)["participants"] if record.kind == GENESIS else message_body(record)
        if isinstance(body.get("userId"), str):
            yield body["userId"]


def _request_repeat(tenant: str, user_id: str, appended_at: int) -> None:
    """Have a user erased once more if their erasure may have missed what was appended at a time (Unix milliseconds)."""
    name = user_receipt_id(tenant, user_id)
    receipt = find_user_receipt(tenant, name)
    if receipt and (receipt.erased_at is None or appended_at <= receipt.erased_at):
        put_repeat_request(tenant, name, user_id)
