"""Lists of facts, which the search index serves: by when they began to hold, newest first, eventually consistent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from annals.access.caller import Caller
from annals.memory.facts.fact_documents import filter_terms, is_fact, valid_to
from annals.memory.facts.fact_items import ACTIVE, SUPERSEDED
from annals.memory.facts.fact_presenters import present_fact_document
from annals.memory.facts.models import Fact
from annals.memory.index_pages import IndexPosition, list_page, visible_scope
from annals.search.documents import Document
from annals.search.protocol import Filters, Scope


@dataclass(frozen=True, kw_only=True)
class FactFilter:
    """Which facts a list shows.

    Parameters
    ----------
    terms : subject, predicate, object and fact_type, where they are given
    at : a moment in Unix milliseconds: the facts that held then; without it, those that nothing has superseded
    """

    memory_space_id: str | None = None
    user_id: str | None = None
    participant_id: str | None = None
    terms: Mapping[str, str | None] = field(default_factory=dict)
    at: int | None = None
    include_superseded: bool = False

    def scope(self, caller: Caller) -> Scope:
        """What of the index the list is made of."""
        filters = Filters(
            content_type="fact",
            status=(ACTIVE, SUPERSEDED) if self.at is not None or self.include_superseded else ACTIVE,
            user_id=self.user_id,
            participant_id=self.participant_id,
            until=self.at,
            metadata=filter_terms(self.terms),
        )
        return visible_scope(caller, self.memory_space_id, filters)

    def holds_for(self, until: int | None) -> bool:
        """Whether a fact that began in time, and held until then, is listed."""
        return self.at is None or until is None or until > self.at


def list_facts(
    caller: Caller, fact_filter: FactFilter, limit: int, after: IndexPosition | None
) -> tuple[list[Fact], IndexPosition | None]:
    """A page of facts behind a position; it may be short. Also the position of the next page.

    Raises SearchUnavailable.
    """

    def present(document: Document) -> Fact | None:
        if is_fact(document) and fact_filter.holds_for(valid_to(document)):
            return present_fact_document(document)
        return None

    return list_page(fact_filter.scope(caller), limit, after, present)
