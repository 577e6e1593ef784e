"""The genesis: what a conversation was when it was created. It is the ledger's entry 0 and never changes.

It names the type, the participants with the memory space, and the metadata of the creation. Only an erasure takes its
words, and then there is no genesis to be read any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from annals.database.damage import report_damage
from annals.errors import ConversationNotFound, DamagedEntry
from annals.json_text import dump
from annals.ledger.entry import GENESIS, NO_HASH, OPEN, Entry, Record
from annals.ledger.keys import conversation_pk, entry_sk, split_conversation_pk
from annals.ledger.read import walk
from annals.times import from_rfc3339, to_rfc3339

USER_AGENT, AGENT_AGENT = "user-agent", "agent-agent"


@dataclass(frozen=True)
class Genesis:
    """Type, participants and creation metadata of a conversation.

    ``session_id`` is the name under which an application finds it, if it is a session. ``created_at`` is when it was
    created, in Unix milliseconds; of an imported one that may be long before ``stored_at``.
    """

    tenant: str
    conversation_id: str
    type: str
    participants: Mapping[str, str]
    metadata: Mapping[str, Any]
    created_by: str
    created_at: int
    stored_at: int
    session_id: str | None = None

    @property
    def memory_space_id(self) -> str | None:
        return self.participants.get("memorySpaceId")

    @property
    def user_id(self) -> str | None:
        """The user whose conversation it is, if it is somebody's."""
        return self.participants.get("userId")

    @property
    def members(self) -> tuple[str | None, str | None]:
        """The two ids by which the conversation is found: user and agent, or both agents."""
        if self.type == AGENT_AGENT:
            return self.participants["agent1"], self.participants["agent2"]
        return self.participants.get("userId"), self.participants.get("agentId")

    def is_of(self, kind: str, participants: Mapping[str, str]) -> bool:
        """Whether the conversation is of this type and has these participants."""
        return self.type == kind and dict(self.participants) == dict(participants)


def genesis_entry(genesis: Genesis, entry_id: str) -> Entry:
    """The ledger's entry 0 for a new conversation."""
    body = {
        "type": genesis.type,
        "participants": dict(genesis.participants),
        **({} if genesis.session_id is None else {"sessionId": genesis.session_id}),
        "metadata": dict(genesis.metadata),
        "createdBy": genesis.created_by,
        **({} if genesis.created_at == genesis.stored_at else {"createdAt": to_rfc3339(genesis.created_at)}),
    }
    return Entry(
        pk=conversation_pk(genesis.tenant, genesis.conversation_id),
        entry_id=entry_id,
        records=(Record.new(0, GENESIS, dump(body).encode()),),
        count=0,
        state=OPEN,
        at=genesis.stored_at,
        prev=NO_HASH,
    ).chained()


def get_genesis(tenant: str, conversation_id: str) -> Genesis:
    """A conversation's genesis; this process reads it once. Raises ConversationNotFound."""
    return get_genesis_entry(conversation_pk(tenant, conversation_id))[0]


def find_genesis(tenant: str, conversation_id: str) -> Genesis | None:
    """A conversation's genesis, or None where there is no such conversation, or only an erased one."""
    with suppress(ConversationNotFound):
        return get_genesis(tenant, conversation_id)
    return None


@lru_cache(maxsize=10_000)
def get_genesis_entry(pk: str) -> tuple[Genesis, Entry]:
    """A conversation's genesis with the ledger's entry that holds it. Raises ConversationNotFound."""
    tenant, conversation_id = split_conversation_pk(pk)
    entry = next(walk(pk, last=0), None)
    if entry is None or entry.records[0].body is None:
        raise ConversationNotFound(conversation_id)
    body = entry.records[0].json_body()
    if entry.records[0].kind != GENESIS or body is None:
        raise report_damage(DamagedEntry(pk, entry_sk(0), "it is not the genesis that was written"))
    genesis = Genesis(
        tenant=tenant,
        conversation_id=conversation_id,
        type=body["type"],
        participants=body["participants"],
        metadata=body["metadata"],
        created_by=body["createdBy"],
        created_at=from_rfc3339(body["createdAt"]) if "createdAt" in body else entry.at,
        stored_at=entry.at,
        session_id=body.get("sessionId"),
    )
    return genesis, entry
