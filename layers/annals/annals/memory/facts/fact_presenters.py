"""Facts as the API shows them."""

from __future__ import annotations

from typing import cast

from annals.memory.facts.fact_documents import from_fact_document, valid_to_local_time
from annals.memory.facts.fact_items import DatedFact, StoredFact
from annals.memory.facts.models import Fact
from annals.memory.sources import present_source_ref
from annals.search.documents import Document
from annals.times import to_rfc3339


def present_fact(dated: DatedFact) -> Fact:
    """The API's fact."""
    return _present(dated.fact, dated.valid_to, dated.superseded_by, dated.valid_to_local_time)


def present_fact_document(document: Document) -> Fact:
    """A fact as the search index has it."""
    return _present(*from_fact_document(document), valid_to_local_time(document))


def _present(fact: StoredFact, valid_to: int | None, superseded_by: str | None, until: str | None) -> Fact:
    values: dict[str, object] = {
        "factId": fact.fact_id,
        "memorySpaceId": fact.memory_space_id,
        "fact": fact.fact,
        "factType": fact.fact_type,
        "confidence": fact.confidence,
        "subject": fact.subject,
        "predicate": fact.predicate,
        "object": fact.object,
        "validFrom": to_rfc3339(fact.valid_from),
        "validFromLocalTime": fact.local_time,
        "validTo": None if valid_to is None else to_rfc3339(valid_to),
        "validToLocalTime": until,
        "supersededBy": superseded_by,
        "sourceRef": present_source_ref(fact.source_ref),
        "userId": fact.user_id,
        "participantId": fact.participant_id,
        "tags": list(fact.tags),
        "metadata": dict(fact.metadata),
        "createdAt": to_rfc3339(fact.created_at),
    }
    return cast("Fact", {name: value for name, value in values.items() if value is not None})
