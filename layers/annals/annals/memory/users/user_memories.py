"""What is remembered of users: memories of their own, in one partition a user, in the order of time.

They are memories like all others, with versions and in the search index; and their lists are strongly consistent.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from annals.access.caller import Caller
from annals.answers import Room, fitting_counted
from annals.conversations.metadata import merge_patch
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_partition
from annals.errors import DamagedItem, InvalidInput, MemoryNotFound
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_deletion import delete_damaged_memory, delete_memory
from annals.memory.memories.memory_items import (
    ACTIVE,
    StoredMemory,
    from_memory_item,
    salvage_memory,
    split_memory_key,
    split_user_memory_id,
    user_memories_pk,
    user_memory_id,
)
from annals.memory.memories.memory_reads import get_memory
from annals.memory.users.models import (
    NewUserMemory,
    PatchUserMemory,
    Topic,
    TopicList,
    UserMemory,
)
from annals.search.protocol import USER_MEMORY
from annals.times import now_ms, to_rfc3339

NAME_CHARS = 20
"""How long a memory's name is: the microsecond when it was made, then what tells it from another one of that."""

WRITERS = 8
"""How many memories are deleted side by side."""


@dataclass(frozen=True)
class UserMemoryFilter:
    """A filter of a user's memories; each condition restricts on its own."""

    agent_id: str | None = None
    topic: str | None = None
    memory_space_id: str | None = None

    def matches(self, memory: StoredMemory) -> bool:
        """Whether a memory meets all conditions."""
        return (
            self.agent_id in (None, memory.agent_id)
            and self.memory_space_id in (None, memory.memory_space_id)
            and (self.topic is None or self.topic in memory.tags)
        )


def new_user_memory(caller: Caller, user_id: str, body: NewUserMemory) -> StoredMemory:
    """A new memory of a user, not stored yet."""
    at = now_ms()
    name = f"{time.time_ns() // 1_000:014x}{secrets.token_hex(3)}"
    return StoredMemory(
        tenant=caller.tenant,
        memory_id=user_memory_id(user_id, name),
        memory_space_id=body.memory_space_id or "",
        content=body.memory,
        content_type="custom",
        source_type=USER_MEMORY,
        user_id=user_id,
        agent_id=body.agent_id,
        tags=tuple(body.topics),
        metadata=body.metadata,
        input=body.input,
        created_at=at,
        updated_at=at,
        external_id=body.external_id,
    )


def get_user_memory(caller: Caller, user_id: str, memory_id: str) -> StoredMemory:
    """A user's memory that the caller may see. Raises MemoryNotFound, for another user's, too."""
    require_memory_of(user_id, memory_id)
    return get_memory(caller, memory_id)


def require_memory_of(user_id: str, memory_id: str) -> None:
    """Raise MemoryNotFound for an id that is not of a memory of this user."""
    user_and_name = split_user_memory_id(memory_id)
    if user_and_name is None or user_and_name[0] != user_id:
        raise MemoryNotFound(memory_id)


def to_user_change(memory: StoredMemory, body: PatchUserMemory) -> dict[str, Any]:
    """The fields that a patch gives a memory. Raises InvalidInput MISSING_REQUIRED_FIELD for a patch of nothing."""
    fields = {
        "content": body.memory,
        "tags": tuple(body.topics) if body.topics is not None else None,
        "input": body.input,
        "agent_id": body.agent_id,
        "metadata": merge_patch(memory.metadata, body.metadata) if body.metadata is not None else None,
    }
    change = {name: value for name, value in fields.items() if value is not None}
    if not change:
        detail = "A change names memory, topics, input, agentId or metadata."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="memory")
    return change


def walk_user_memories(
    caller: Caller,
    user_id: str,
    memory_filter: UserMemoryFilter | None = None,
    *,
    newest_first: bool = False,
    after: str | None = None,
) -> Iterator[StoredMemory]:
    """A user's memories that the caller may see, by time, those that come after the one of a name.

    Strongly consistent.
    """
    pk = user_memories_pk(caller.tenant, user_id)
    start = {"ExclusiveStartKey": item_key(pk, f"{MEMORY_PREFIX}{after[:NAME_CHARS]}")} if after else {}
    items = read_partition(pk, MEMORY_PREFIX, ScanIndexForward=not newest_first, **start)
    for memory in decode_readable(items, from_memory_item):
        if memory.status != ACTIVE or not caller.may_see(memory.memory_space_id):
            continue
        if memory_filter is None or memory_filter.matches(memory):
            yield memory


def list_user_memories(
    caller: Caller, user_id: str, memory_filter: UserMemoryFilter, limit: int, *, newest_first: bool, after: str | None
) -> tuple[list[UserMemory], str | None]:
    """A page of a user's memories after the one of a name, and the name after which the next page begins."""
    items: list[UserMemory] = []
    room, last = Room(), after
    for memory in walk_user_memories(caller, user_id, memory_filter, newest_first=newest_first, after=after):
        item = present_user_memory(memory)
        if len(items) == limit or not room.takes(item):
            return items, last
        items.append(item)
        last = memory.address.name
    return items, None


def count_topics(caller: Caller, user_id: str) -> TopicList:
    """The topics of a user's memories, the most frequent first, then by name, as many as the answer has room for."""
    counts = Counter(topic for memory in walk_user_memories(caller, user_id) for topic in dict.fromkeys(memory.tags))
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    items, left_out = fitting_counted(Topic(topic=topic, count=count) for topic, count in ordered)
    return {"items": items, **left_out}  # type: ignore[typeddict-item]


def clear_user_memories(caller: Caller, user_id: str) -> int:
    """Delete all memories of one user that the caller may see, archived ones too; how many this request deleted."""
    items = read_partition(user_memories_pk(caller.tenant, user_id), MEMORY_PREFIX)
    with ThreadPoolExecutor(WRITERS) as writers:
        return sum(writers.map(lambda item: _clear(caller, item), items))


def _clear(caller: Caller, item: Item) -> bool:
    """Delete a memory that the caller may see, even a damaged one, and return whether this call did."""
    try:
        memory, delete = from_memory_item(item), delete_memory
    except DamagedItem:
        memory = salvage_memory(item, *split_memory_key(item["pk"]["S"], item["sk"]["S"]))
        delete = delete_damaged_memory
    return caller.may_see(memory.memory_space_id) and delete(memory)


def present_user_memory(memory: StoredMemory) -> UserMemory:
    """The API's user memory."""
    values: dict[str, object] = {
        "memoryId": memory.memory_id,
        "externalId": memory.external_id,
        "userId": memory.user_id,
        "memory": memory.content,
        "topics": list(memory.tags),
        "input": memory.input,
        "agentId": memory.agent_id,
        "memorySpaceId": memory.memory_space_id or None,
        "metadata": dict(memory.metadata),
        "version": memory.version,
        "createdAt": to_rfc3339(memory.created_at),
        "updatedAt": to_rfc3339(memory.updated_at),
    }
    return cast("UserMemory", {name: value for name, value in values.items() if value is not None})
