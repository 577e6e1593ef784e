"""External ids of memories: the ids that callers give them, each unique among those of one owner.

The owner of a user's memory is the user; that of an explicit one is its memory space with the user and the agent that
it names. A pointer leads from an external id to its memory. It is written in the transaction of the memory's creation,
on the condition that there is none, and goes in that of its deletion; its key holds a keyed digest of the id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annals.database.derived_ids import derive_id, find_derived_id
from annals.database.dynamodb import Item, to_item
from annals.database.keys import item_key, partition_key
from annals.database.state import find_item
from annals.errors import MemoryNotFound
from annals.json_text import dump
from annals.memory.memories.memory_items import (
    StoredMemory,
    split_user_memory_id,
    user_memories_pk,
    user_memory_id,
)
from annals.settings import settings

POINTER_PREFIX = "X#"
"""How the sort keys of pointers to a user's memories begin, beside these."""

NAME = "memory"
"""The attribute of a pointer that names the memory: by its id, or by its name among the user's."""


@dataclass(frozen=True)
class ExternalMemoryId:
    """An external id, and whose it is: a user's alone, or of a memory space with a user and an agent."""

    tenant: str
    external_id: str
    user_id: str | None = None
    memory_space_id: str | None = None
    agent_id: str | None = None

    @staticmethod
    def find_of(memory: StoredMemory) -> ExternalMemoryId | None:
        """The external id of a memory, or None."""
        return ExternalMemoryId.of(memory) if memory.external_id is not None else None

    @staticmethod
    def of(memory: StoredMemory) -> ExternalMemoryId:
        """The external id of a memory that has one."""
        external_id = str(memory.external_id)
        if split_user_memory_id(memory.memory_id):
            return ExternalMemoryId(memory.tenant, external_id, memory.user_id)
        return ExternalMemoryId(memory.tenant, external_id, memory.user_id, memory.memory_space_id, memory.agent_id)

    def find_memory_id(self) -> str | None:
        """The id of the memory that has it, or None. Strongly consistent."""
        name = find_derived_id(self.tenant, self.text)
        item = find_item(self._key(name)) if name else None
        return self.memory_id_in(item) if item else None

    def get_memory_id(self) -> str:
        """The same. Raises MemoryNotFound."""
        memory_id = self.find_memory_id()
        if memory_id is None:
            raise MemoryNotFound(self.external_id)
        return memory_id

    def memory_id_in(self, pointer: Item) -> str:
        """The id of the memory to which a pointer leads."""
        name: str = pointer[NAME]["S"]
        return name if self.memory_space_id is not None else user_memory_id(str(self.user_id), name)

    def pointer_put(self, memory: StoredMemory, stale: str | None = None) -> dict[str, Any]:
        """The part of a transaction that lets a memory be found by it, on condition that no other one is.

        ``stale`` is the id of a memory that is gone, to which a pointer may still lead.
        """
        values = {":stale": {"S": self._name(stale)}} if stale else {}
        return {
            "Put": {
                "TableName": settings().state_table,
                "Item": {**self._made_key(), **to_item({NAME: self._name(memory.memory_id)})},
                "ConditionExpression": "attribute_not_exists(pk)" + (f" OR {NAME} = :stale" if stale else ""),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                **({"ExpressionAttributeValues": values} if values else {}),
            }
        }

    def pointer_delete(self) -> dict[str, Any]:
        """The part of a transaction that deletes its pointer."""
        return {"Delete": {"TableName": settings().state_table, "Key": self._made_key()}}

    @property
    def text(self) -> str:
        """All of it as one text, of which the pointer's key is derived."""
        return dump(["memory", [self.memory_space_id, self.user_id, self.agent_id], self.external_id])

    def _made_key(self) -> Item:
        return self._key(derive_id(self.tenant, self.text))

    def _key(self, name: str) -> Item:
        if self.memory_space_id is None:
            return item_key(user_memories_pk(self.tenant, str(self.user_id)), f"{POINTER_PREFIX}{name}")
        return item_key(partition_key(self.tenant, "X", name), "X")

    def _name(self, memory_id: str) -> str:
        """What a pointer has of a memory's id: of a user's memory, nothing that names the user."""
        user_and_name = split_user_memory_id(memory_id)
        return user_and_name[1] if user_and_name else memory_id


def pointer_deletes(memory: StoredMemory) -> list[dict[str, Any]]:
    """The parts of a transaction that delete the pointer to a memory, if it has an external id."""
    external_id = ExternalMemoryId.find_of(memory)
    return [external_id.pointer_delete()] if external_id else []
