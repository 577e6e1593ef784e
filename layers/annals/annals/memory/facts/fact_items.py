"""Facts as items of the state table.

All facts of a lineage (a memory space's, of one subject and predicate, of one user where they are a user's) share a
partition and are sorted by when they began to hold. So a fact's successor stands right after it, and until when a fact
held is never stored: one that arrives late is sorted in where it belongs.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from annals.database.damage import AttributeTypes, decode_item, decode_readable, find_mismatch
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import escape, item_key, partition_key, split_partition_key, unescape
from annals.database.state import find_item, state_item
from annals.errors import DamagedItem
from annals.json_text import dump
from annals.memory.keys import MEMORY_PREFIX, is_memory_sk
from annals.memory.sources import SourceRef
from annals.settings import settings

ACTIVE, SUPERSEDED = "active", "superseded"

FACT_PREFIX = "fact-"
"""How the ids of facts begin."""

SOURCE_PREFIX = "F#"
"""How the sort keys of references from a conversation to a fact begin."""

FactKey = tuple[str, str]
"""The partition key and the sort key of a fact's own item."""

FACT_ATTRIBUTES: AttributeTypes = {
    "tenant": str, "fact_id": str, "memory_space_id": str, "fact": str, "fact_type": str, "confidence": int,
    "subject": str, "predicate": str, "object": str, "valid_from": int, "created_at": int, "tags": list,
    "metadata": dict, "message_ids": list,
}  # fmt: skip
"""The attributes that every fact has, with their types."""

_YEAR_1_MS = 62_135_596_800_000
"""Added to a time, it makes a positive number of every time that a calendar has."""


@dataclass(frozen=True, kw_only=True)
class StoredFact:
    """A fact. Times are Unix milliseconds; ``message_ids`` name the words in the ledger that it comes from.

    ``local_time`` is ``valid_from`` as it was said, where that was in another zone than UTC. ``salt`` is what the
    digest of the request that made it is salted with, in hexadecimal digits.
    """

    tenant: str
    fact_id: str
    memory_space_id: str
    fact: str
    fact_type: str
    confidence: int
    subject: str
    predicate: str
    object: str
    valid_from: int
    created_at: int
    user_id: str | None = None
    participant_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    conversation_id: str | None = None
    message_ids: tuple[str, ...] = ()
    local_time: str | None = None
    salt: str | None = None

    @property
    def pk(self) -> str:
        """The partition of its lineage: a digest, so that no stream of keys carries words."""
        about = [self.memory_space_id, self.user_id, normalised(self.subject), normalised(self.predicate)]
        return partition_key(self.tenant, "F", sha256(dump(about).encode()).hexdigest())

    @property
    def sk(self) -> str:
        """Its sort key there: by when it began to hold, then by when it was stored."""
        return f"{MEMORY_PREFIX}{self.valid_from + _YEAR_1_MS:015d}#{self.created_at:015d}#{escape(self.fact_id)}"

    @property
    def source_ref(self) -> SourceRef:
        """The words that it comes from."""
        return self.conversation_id, self.message_ids

    @property
    def key(self) -> Item:
        return item_key(self.pk, self.sk)


@dataclass(frozen=True)
class DatedFact:
    """A fact, and the one of its lineage that holds after it."""

    fact: StoredFact
    successor: StoredFact | None = None

    @property
    def source_ref(self) -> SourceRef:
        return self.fact.source_ref

    @property
    def valid_to(self) -> int | None:
        return self.successor.valid_from if self.successor else None

    @property
    def valid_to_local_time(self) -> str | None:
        return self.successor.local_time if self.successor else None

    @property
    def superseded_by(self) -> str | None:
        return self.successor.fact_id if self.successor else None

    @property
    def status(self) -> str:
        return SUPERSEDED if self.successor else ACTIVE


def is_fact_id(memory_id: str) -> bool:
    """Whether an id in the search index is a fact's."""
    return memory_id.startswith(FACT_PREFIX)


def normalised(text: str) -> str:
    """The same text whatever its case, its spaces and its form of Unicode."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def is_facts_pk(pk: str) -> bool:
    """Whether a key is a lineage's."""
    return split_partition_key(pk)[1] == "F"


def split_fact_key(pk: str, sk: str) -> tuple[str, str]:
    """The tenant and the id of the fact that a key names."""
    return split_partition_key(pk)[0], unescape(sk.rsplit("#", 1)[1])


def pointer_key(tenant: str, fact_id: str) -> Item:
    """The key of the pointer from a fact's id to its key."""
    return item_key(partition_key(tenant, "FI", fact_id), "FACT")


def sources_pk(tenant: str, conversation_id: str) -> str:
    """The partition of the references from a conversation to the facts and memories that come from it."""
    return partition_key(tenant, "FS", conversation_id)


def source_key(tenant: str, conversation_id: str, fact_id: str) -> Item:
    """The key of the reference from a conversation to one fact."""
    return item_key(sources_pk(tenant, conversation_id), f"{SOURCE_PREFIX}{escape(fact_id)}")


def batch_key(tenant: str, conversation_id: str, batch: str) -> Item:
    """The key of the item that says which facts of a turn are stored."""
    return item_key(sources_pk(tenant, conversation_id), f"B#{batch}")


def keys_of(fact: StoredFact) -> list[Item]:
    """The keys of all items of a fact, its own first."""
    keys = [fact.key, pointer_key(fact.tenant, fact.fact_id)]
    if fact.conversation_id is not None:
        keys.append(source_key(fact.tenant, fact.conversation_id, fact.fact_id))
    return keys


def items_of(fact: StoredFact) -> list[Item]:
    """All items of a fact: itself, and the pointers from its id and its conversation. Raises RequestTooLarge."""
    own, *leading = keys_of(fact)
    pointer = to_item({"place": [fact.pk, fact.sk], "messageIds": list(fact.message_ids)})
    fields = {
        "fact": fact.fact,
        "tags": list(fact.tags),
        "metadata": fact.metadata,
        "sourceRef": list(fact.message_ids),
    }
    item = state_item(own, {"fact": dump(asdict(fact))}, kind="fact", fields=fields)
    return [item, *({**key, **pointer} for key in leading)]


def find_dated_fact(pk: str, sk: str) -> DatedFact | None:
    """The fact of a key with its successor, or None where there is none. Raises DamagedItem."""
    items = _items(pk, "sk >= :sk", sk, 2)
    if not items or items[0]["sk"]["S"] != sk:
        return None
    return DatedFact(from_fact_item(items[0]), _in_lineage(items[1]) if len(items) > 1 else None)


def find_affected_facts(pk: str, sk: str) -> list[DatedFact]:
    """What a change of a fact concerns: the fact before it, and itself, where they are there and can be read."""
    before = _items(pk, "sk < :sk", sk, 1, ScanIndexForward=False)
    items = _items(pk, "sk >= :sk", before[0]["sk"]["S"] if before else sk, 3)
    with_next = [(item, after) for item, after in zip(items, [*items[1:], None], strict=False) if item["sk"]["S"] <= sk]
    return [
        DatedFact(fact, _in_lineage(after) if after else None)
        for item, after in with_next
        for fact in decode_readable([item], from_fact_item)
    ]


def has_fact(pk: str, sk: str) -> bool:
    """Whether there is a fact of a key, even one that cannot be read."""
    return bool(_items(pk, "sk = :sk", sk, 1, ProjectionExpression="pk"))


def find_fact_key(tenant: str, fact_id: str) -> FactKey | None:
    """The key of the fact of an id, or None. Raises DamagedItem."""
    item = find_item(pointer_key(tenant, fact_id))
    return get_fact_key(item) if item else None


def get_fact_key(item: Mapping[str, Any]) -> FactKey:
    """The key of the fact to which an item points. Raises DamagedItem."""

    def read(item: Mapping[str, Any]) -> FactKey:
        pk, sk = from_item(item)["place"]
        if not isinstance(pk, str) or not isinstance(sk, str) or not pk.startswith("T#") or not is_memory_sk(sk):
            raise TypeError
        return pk, sk

    return decode_item(item, read)


def _items(pk: str, condition: str, sk: str, limit: int, **more: Any) -> list[Item]:
    response = client().query(
        TableName=settings().state_table,
        KeyConditionExpression=f"pk = :pk AND {condition}",
        ExpressionAttributeValues={":pk": {"S": pk}, ":sk": {"S": sk}},
        Limit=limit,
        ConsistentRead=True,
        **more,
    )
    items: list[Item] = response["Items"]
    return items


def _in_lineage(item: Item) -> StoredFact:
    """A fact as far as the one before it needs it: of one that cannot be read, its key says since when it holds."""
    return next(decode_readable([item], from_fact_item), None) or _from_key(item["pk"]["S"], item["sk"]["S"])


def _from_key(pk: str, sk: str) -> StoredFact:
    tenant, fact_id = split_fact_key(pk, sk)
    _, since, stored, _ = sk.split("#", 3)
    return StoredFact(
        tenant=tenant,
        fact_id=fact_id,
        memory_space_id="",
        fact="",
        fact_type="",
        confidence=0,
        subject="",
        predicate="",
        object="",
        valid_from=int(since) - _YEAR_1_MS,
        created_at=int(stored),
    )


def from_fact_item(item: Mapping[str, Any]) -> StoredFact:
    """The fact of a stored item. Raises DamagedItem."""
    return decode_item(item, _from_item)


def _from_item(item: Mapping[str, Any]) -> StoredFact:
    values = json.loads(from_item(item)["fact"])
    if reason := find_mismatch(values, FACT_ATTRIBUTES, {}):
        raise DamagedItem(item["pk"]["S"], item["sk"]["S"], reason)
    return StoredFact(**{**values, "tags": tuple(values["tags"]), "message_ids": tuple(values["message_ids"])})
