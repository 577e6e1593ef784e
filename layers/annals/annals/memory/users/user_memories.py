"""What is remembered of users: memories of their own, in one partition a user, in the order of time.

They are memories like all others, with versions and in the search index; and their lists are strongly consistent.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from annals.access.caller import Caller
from annals.answers import Room, fitting_counted
from annals.conversations.metadata import merge_patch
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import read_partition
from annals.errors import DamagedItem, InvalidInput, MemoryNotFound
from annals.memory import adapters
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
    SearchUserMemories,
    Topic,
    TopicList,
    UserMemoriesFound,
    UserMemory,
)
from annals.search import engine
from annals.search.protocol import USER_MEMORY, Filters
from annals.times import now_ms, to_rfc3339

NAME_CHARS = 20
"""How long a memory's name is: the microsecond when it was made, then what tells it from another one of that."""

WRITERS = 8
"""How many memories are deleted side by side."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Wanted:
    """Which memories of a user are meant; each restricts on its own."""

    agent_id: str | None = None
    topic: str | None = None
    memory_space_id: str | None = None

    def keeps(self, memory: StoredMemory) -> bool:
        """Whether a memory is one of them."""
        return (
            self.agent_id in (None, memory.agent_id)
            and self.memory_space_id in (None, memory.memory_space_id)
            and (self.topic is None or self.topic in memory.tags)
        )


def new_user_memory(caller: Caller, user_id: str, said: NewUserMemory) -> StoredMemory:
    """A new memory of a user."""
    at = now_ms()
    name = f"{time.time_ns() // 1_000:014x}{secrets.token_hex(3)}"
    return StoredMemory(
        tenant=caller.tenant,
        memory_id=user_memory_id(user_id, name),
        memory_space_id=said.memory_space_id or "",
        content=said.memory,
        content_type="custom",
        source_type=USER_MEMORY,
        user_id=user_id,
        agent_id=said.agent_id,
        tags=tuple(said.topics),
        metadata=said.metadata,
        input=said.input,
        created_at=at,
        updated_at=at,
    )


def find_user_memory(caller: Caller, user_id: str, memory_id: str) -> StoredMemory:
    """A user's memory that the caller may see. Raises MemoryNotFound, for another user's, too."""
    require_memory_of(user_id, memory_id)
    return get_memory(caller, memory_id)


def require_memory_of(user_id: str, memory_id: str) -> None:
    """Raise MemoryNotFound for an id that is not of a memory of this user."""
    named = split_user_memory_id(memory_id)
    if named is None or named[0] != user_id:
        raise MemoryNotFound(memory_id)


def to_user_change(memory: StoredMemory, said: PatchUserMemory) -> dict[str, Any]:
    """What a patch changes of a memory. Raises InvalidInput MISSING_REQUIRED_FIELD where it says nothing."""
    change = {
        "content": said.memory,
        "tags": tuple(said.topics) if said.topics is not None else None,
        "input": said.input,
        "agent_id": said.agent_id,
        "metadata": merge_patch(memory.metadata, said.metadata) if said.metadata is not None else None,
    }
    made = {name: value for name, value in change.items() if value is not None}
    if not made:
        detail = "A change names memory, topics, input, agentId or metadata."
        raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="memory")
    return made


def walk_user_memories(
    caller: Caller, user_id: str, wanted: Wanted | None = None, *, newest_first: bool = False, behind: str | None = None
) -> Iterator[StoredMemory]:
    """A user's memories that the caller may see, by time, those behind the one of a name. Strongly consistent."""
    pk = user_memories_pk(caller.tenant, user_id)
    start = {"ExclusiveStartKey": item_key(pk, f"{MEMORY_PREFIX}{behind[:NAME_CHARS]}")} if behind else {}
    chosen = wanted or Wanted()
    for memory in decode_readable(
        read_partition(pk, MEMORY_PREFIX, ScanIndexForward=not newest_first, **start), from_memory_item
    ):
        if memory.status == ACTIVE and caller.may_see(memory.memory_space_id) and chosen.keeps(memory):
            yield memory


def list_user_memories(
    caller: Caller, user_id: str, wanted: Wanted, limit: int, *, newest_first: bool, behind: str | None
) -> tuple[list[UserMemory], str | None]:
    """A page of a user's memories behind the one of a name, and the name behind which the next page begins."""
    walked = walk_user_memories(caller, user_id, wanted, newest_first=newest_first, behind=behind)
    shown: list[UserMemory] = []
    room, last = Room(), behind
    for memory in walked:
        item = present_user_memory(memory)
        if len(shown) == limit or not room.takes(item):
            return shown, last
        shown.append(item)
        last = _name_of(memory)
    return shown, None


def search_user_memories(caller: Caller, user_id: str, asked: SearchUserMemories) -> UserMemoriesFound:
    """The memories of a user that a search wants. Raises InvalidInput, and SearchUnavailable for a semantic one.

    Of those for which the answer has no room, the last ones are left out; of the newest, the older ones.
    """
    wanted = Wanted(asked.agent_id, asked.topic, asked.memory_space_id)
    if asked.method == "semantic":
        items, left_out = fitting_counted(_nearest(caller, user_id, asked))
        return {"items": items, **left_out}  # type: ignore[typeddict-item]
    if asked.method == "text":
        words = set(_words(asked.require_query()))
        walked = walk_user_memories(caller, user_id, wanted, newest_first=True)
        found: Iterator[StoredMemory] = filter(lambda each: words <= set(_words(each.content)), walked)
    else:
        found = walk_user_memories(caller, user_id, wanted, newest_first=asked.method == "last_n")
    items, left_out = fitting_counted(map(present_user_memory, islice(found, asked.limit)))
    shown = items[::-1] if asked.method == "last_n" else items
    return {"items": shown, **left_out}  # type: ignore[typeddict-item]


def _nearest(caller: Caller, user_id: str, asked: SearchUserMemories) -> list[UserMemory]:
    """What the search index finds, shown as it is stored now."""
    request = engine.SearchRequest(
        tenant=caller.tenant,
        query=asked.require_query(),
        memory_spaces=caller.spaces,
        memory_space_id=asked.memory_space_id,
        limit=asked.limit,
        filters=Filters(
            user_id=user_id,
            source_type=USER_MEMORY,
            agent_id=asked.agent_id,
            tags_all=(asked.topic,) if asked.topic else (),
        ),
    )
    stored = {memory.memory_id: memory for memory in walk_user_memories(caller, user_id)}
    hits = engine.search(adapters.index(), adapters.embedder(), request)
    return [
        {**present_user_memory(stored[hit.document.memory_id]), "score": hit.score}
        for hit in hits
        if hit.document.memory_id in stored
    ]


def topics_of(caller: Caller, user_id: str) -> TopicList:
    """The topics of a user's memories, the most frequent first, then by name, as many as the answer has room for."""
    counts = Counter(topic for memory in walk_user_memories(caller, user_id) for topic in dict.fromkeys(memory.tags))
    ordered = sorted(counts.items(), key=lambda it: (-it[1], it[0]))
    items, left_out = fitting_counted(Topic(topic=topic, count=count) for topic, count in ordered)
    return {"items": items, **left_out}  # type: ignore[typeddict-item]


def clear_user_memories(caller: Caller, user_id: str) -> int:
    """Delete all memories of one user that the caller may see, archived ones too; how many this request deleted."""
    items = read_partition(user_memories_pk(caller.tenant, user_id), MEMORY_PREFIX)
    with ThreadPoolExecutor(WRITERS) as writers:
        return sum(writers.map(lambda item: _clear(caller, item), items))


def _clear(caller: Caller, item: Item) -> bool:
    """Delete a memory that the caller may see, be it damaged, and say whether this did."""
    try:
        memory, delete = from_memory_item(item), delete_memory
    except DamagedItem:
        memory, delete = (
            salvage_memory(item, *split_memory_key(item["pk"]["S"], item["sk"]["S"])),
            delete_damaged_memory,
        )
    return caller.may_see(memory.memory_space_id) and delete(memory)


def present_user_memory(memory: StoredMemory) -> UserMemory:
    """The API's user memory."""
    shown: dict[str, object] = {
        "memoryId": memory.memory_id,
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
    return cast("UserMemory", {name: value for name, value in shown.items() if value is not None})


def _name_of(memory: StoredMemory) -> str:
    return memory.address.name


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
