"""Reading memories: one as it is now, its versions, and those that were made of a conversation.

``memory_lists`` lists memories by a filter, from the search index.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.read import get_tail
from annals.database.damage import decode_readable
from annals.database.state import read_partition
from annals.errors import ConversationErased, ConversationNotFound, DamagedItem, MemoryNotFound, VersionNotFound
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id
from annals.ledger.read import read_records
from annals.ledger.rewound import Rewound
from annals.ledger.versions import is_rewound
from annals.memory.memories.memory_items import (
    DELETED,
    Address,
    StoredMemory,
    find_memory_item,
    from_memory_item,
    split_raw_id,
)
from annals.memory.memories.memory_references import list_memory_ids_of
from annals.memory.memories.raw_memories import to_raw_memory
from annals.memory.sources import SourceRef, with_existing_sources


def get_memory(caller: Caller, memory_id: str) -> StoredMemory:
    """A memory that the caller may see. Raises MemoryNotFound."""
    memory = get_stored_memory(caller.tenant, memory_id)
    if not caller.may_see(memory.memory_space_id) or not with_existing_sources(caller.tenant, [memory], _ref_of):
        raise MemoryNotFound(memory_id)
    return memory


def _ref_of(memory: StoredMemory) -> SourceRef:
    """The words that a memory was made of. Those of a raw one's own message were looked for when it was read."""
    raw = split_raw_id(memory.memory_id)
    return (None, ()) if raw and memory.message_ids == (message_id(raw[1]),) else memory.source_ref


def get_stored_memory(tenant: str, memory_id: str) -> StoredMemory:
    """A memory as it is now, as it is stored or as its message says, whoever may see it. Raises MemoryNotFound."""
    memory = find_memory_item(Address.of(tenant, memory_id).current)
    if raw := split_raw_id(memory_id):
        # A message's memory is there as long as its words are, whatever was made of them.
        raw_memory = _find_in_ledger(tenant, *raw)
        memory = memory or raw_memory if raw_memory else None
    if memory is None or memory.status == DELETED:
        raise MemoryNotFound(memory_id)
    return memory


def _find_in_ledger(tenant: str, conversation_id: str, seq: int) -> StoredMemory | None:
    """A raw memory as its message says it, or None where there is no such message, or it is rewound, or redacted."""
    pk = conversation_pk(tenant, conversation_id)
    try:
        rewound = Rewound.at(pk, get_tail(tenant, conversation_id))
        genesis = get_genesis(tenant, conversation_id)
    except (ConversationErased, ConversationNotFound):
        return None
    for entry in read_records(pk, seq, seq):
        for record in entry.records:
            if record.seq == seq and record.body and not is_rewound(rewound, pk, record):
                return to_raw_memory(record, entry, genesis)
    return None


def list_memories_of(tenant: str, conversation_id: str) -> Iterator[StoredMemory]:
    """The memories that were made of a conversation's messages, but for those that cannot be read."""
    for memory_id in list_memory_ids_of(tenant, conversation_id):
        with suppress(MemoryNotFound, DamagedItem):
            yield get_stored_memory(tenant, memory_id)


def get_version(memory: StoredMemory, number: int) -> StoredMemory:
    """A version of a memory. Raises VersionNotFound for one that never was, or is no longer stored."""
    if number == memory.version:
        return memory
    # A number that no version has would make a key that no table takes.
    can_exist = 0 < number < memory.version
    version = find_memory_item(memory.address.version(number)) if can_exist else None
    if version is None or not _with_sources(memory, [version]):
        raise VersionNotFound(memory.memory_id, number)
    return version


def get_version_at(memory: StoredMemory, moment: int) -> StoredMemory:
    """The version of a memory that was in force at a moment in Unix milliseconds. Raises VersionNotFound."""
    for version in (memory, *previous_versions(memory)):
        if version.updated_at <= moment:
            return version
    raise VersionNotFound(memory.memory_id)


def previous_versions(memory: StoredMemory) -> list[StoredMemory]:
    """The versions before this one that are stored, the newest first."""
    if memory.version == 1:
        return []
    address = memory.address
    versions = read_partition(address.pk, address.version_prefix, ScanIndexForward=False)
    # Where others changed it meanwhile, this version is among them, and newer ones may be.
    return _with_sources(
        memory, [each for each in decode_readable(versions, from_memory_item) if each.version < memory.version]
    )


def _with_sources(memory: StoredMemory, versions: list[StoredMemory]) -> list[StoredMemory]:
    """The versions of a memory whose words are still there; those that come from the memory's own need no look."""
    others = [version for version in versions if _ref_of(version) != _ref_of(memory)]
    gone = {version.version for version in others}
    gone -= {version.version for version in with_existing_sources(memory.tenant, others, _ref_of)}
    return [version for version in versions if version.version not in gone]
