"""Writing the traces of what is said: whoever follows the ledger's stream notes whose a conversation's new entries are.

A trace that comes after its person was erased, of something that was said before, has them erased once more: so nothing
is missed, however late the stream is.
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
    wanted = sorted(set(seqs))
    try:
        _trace(pk, wanted)
    except DamagedItem:
        for seq in wanted:
            with suppress(DamagedItem):
                _trace(pk, [seq])


def _trace(pk: str, seqs: Sequence[int]) -> None:
    for entry in walk(pk, first=seqs[0], last=seqs[-1]):
        if entry.seq in seqs:
            trace_entry(entry)


def trace_entry(entry: Entry) -> None:
    """Write the traces of an entry: of the conversation's user by its genesis, else of others who speak in it."""
    tenant, conversation_id = split_conversation_pk(entry.pk)
    for user_id in sorted(set(_people_of(entry))):
        if entry.seq and is_conversation_user(tenant, user_id, conversation_id):
            continue
        if put_trace(tenant, user_id, CONVERSATION, conversation_id):
            _erase_again(tenant, user_id, entry.at)


def _people_of(entry: Entry) -> Iterator[str]:
    """Whose an entry's records are, as far as they say so; what was changed behind the API says nothing."""
    for record in entry.records:
        if record.body is None or not record.matches_digest():
            continue
        said = json.loads(record.body)["participants"] if record.kind == GENESIS else message_body(record)
        if isinstance(said.get("userId"), str):
            yield said["userId"]


def _erase_again(tenant: str, user_id: str, said_at: int) -> None:
    """Have a person erased again if their erasure may have missed what was said at a time (Unix milliseconds)."""
    name = user_receipt_id(tenant, user_id)
    receipt = find_user_receipt(tenant, name)
    if receipt and (receipt.erased_at is None or said_at <= receipt.erased_at):
        put_repeat_request(tenant, name, user_id)
