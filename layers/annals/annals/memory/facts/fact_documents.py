"""Facts in the search index: the sentence is what is searched, the rest is document by filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annals.memory.facts.fact_items import DatedFact, StoredFact, normalised
from annals.search.documents import SOMEBODY, Document

FACT = "annals:fact"
"""Under this name a document's metadata hold what makes it a fact; a caller's own metadata stand beside it."""

NAMED = ("subject", "predicate", "object", "fact_type")


def to_fact_document(dated: DatedFact, owner: str = SOMEBODY) -> Document:
    """What the index holds of a fact that belongs to an owner; one that is superseded has that as its status."""
    fact = dated.fact
    about = {
        **{name: getattr(fact, name) for name in NAMED},
        "confidence": fact.confidence,
        "created_at": fact.created_at,
        "named": {name: normalised(getattr(fact, name)) for name in NAMED},
        "valid_to": dated.valid_to,
        "superseded_by": dated.superseded_by,
        **({"valid_to_local": dated.valid_to_local_time} if dated.valid_to_local_time else {}),
    }
    return Document(
        tenant=fact.tenant,
        memory_id=fact.fact_id,
        memory_space_id=fact.memory_space_id,
        content=fact.fact,
        window=fact.fact,
        content_type="fact",
        source_type="conversation" if fact.conversation_id else "system",
        user_id=fact.user_id,
        participant_id=fact.participant_id,
        owner=owner,
        tags=fact.tags,
        metadata={FACT: about, **{name: value for name, value in fact.metadata.items() if name != FACT}},
        conversation_id=fact.conversation_id,
        message_ids=fact.message_ids,
        at=fact.valid_from,
        local_time=fact.local_time,
        updated_at=fact.created_at,
        status=dated.status,
    )


def is_fact(document: Document) -> bool:
    """Whether a document is a fact's; an explicit memory may call its content one, too."""
    return FACT in document.metadata


def without_fact(document: Document) -> Document:
    """The document with the caller's own metadata alone."""
    return replace(document, metadata={name: value for name, value in document.metadata.items() if name != FACT})


def valid_to(document: Document) -> int | None:
    """Until when a fact held, as the index knows it."""
    until: int | None = document.metadata[FACT]["valid_to"]
    return until


def valid_to_local_time(document: Document) -> str | None:
    """Until when a fact held, as it was said, where that was in another zone than UTC."""
    until: str | None = document.metadata[FACT].get("valid_to_local")
    return until


def from_fact_document(document: Document) -> tuple[StoredFact, int | None, str | None]:
    """A fact as the index holds it, until when it held, and the id of the one that followed it."""
    about: Mapping[str, Any] = document.metadata[FACT]
    fact = StoredFact(
        tenant=document.tenant,
        fact_id=document.memory_id,
        memory_space_id=document.memory_space_id,
        fact=document.content,
        **{name: about[name] for name in NAMED},
        confidence=about["confidence"],
        created_at=about["created_at"],
        valid_from=document.at,
        local_time=document.local_time,
        user_id=document.user_id,
        participant_id=document.participant_id,
        tags=document.tags,
        metadata=without_fact(document).metadata,
        conversation_id=document.conversation_id,
        message_ids=document.message_ids,
    )
    return fact, about["valid_to"], about["superseded_by"]


def filter_terms(names: Mapping[str, str | None]) -> dict[str, str]:
    """The index's filter for facts with these names, whatever their case and spaces."""
    return {f"{FACT}.named.{name}": normalised(value) for name, value in names.items() if value is not None}
