"""The facts of a turn: those that the caller brought and those that were extracted, each stored once.

The turn comes first; its facts follow in transactions of their own, under ids that follow from the turn. So whoever
sends a request again, after whatever broke, finds the turn's facts or stores them, and never stores them twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from annals.answers import Room, fitting_counted
from annals.conversations.genesis import Genesis
from annals.errors import ChatUnavailable, MessageRedacted, RequestTooLarge
from annals.ledger.keys import conversation_pk
from annals.memory import adapters, sources
from annals.memory.facts.extraction import TurnLine
from annals.memory.facts.fact_items import FACT_PREFIX, DatedFact, StoredFact
from annals.memory.facts.models import FactStatement, KeptFacts, NewFact, NewTurnFacts
from annals.memory.facts.store import find_batch, keep_batch
from annals.memory.memories.presenters import present_fact
from annals.times import to_rfc3339

EXTRACTION_S = 20.0
"""How long extracting the facts of a turn may take, a second try included."""

MAX_SAID_BYTES = 350_000
"""How much the facts of one turn may say together."""

FACTS_SHARE = 0.5
"""How much of an answer's room the facts of a turn may take beside its memories."""

SAID, EXTRACTED = "said", "extracted"
"""The kinds of a turn's facts: each kind is stored together."""

NO_EXTRACTOR = "No facts were extracted: there is no chat model that could (CHAT_URL)."


@dataclass(frozen=True)
class Source:
    """A stored turn: its conversation and messages, when it was stored, and whether an earlier request stored it.

    ``said`` is the name of the facts that the turn brings: those of another name are stored beside them.
    """

    genesis: Genesis
    message_ids: tuple[str, ...]
    at: int
    replayed: bool = False
    said: str = SAID


@dataclass(frozen=True)
class TurnFacts:
    """A turn's facts. ``extracted`` is whether extraction was done, None if it was not asked for; else the problem."""

    known: Sequence[DatedFact] = ()
    extracted: bool | None = None
    problem: str | None = None

    def show(self) -> KeptFacts:
        """What the API says of them."""
        facts, left_out = fitting_counted(map(present_fact, self.known), Room(FACTS_SHARE))
        shown = KeptFacts(facts=facts)
        if left_out:
            shown["factsOmitted"] = left_out["omitted"]
        if self.extracted is not None:
            shown["factsExtracted"] = self.extracted
        if self.problem is not None:
            shown["factsProblem"] = self.problem
        return shown


def require_facts_fit(facts: Sequence[NewFact]) -> None:
    """Raise RequestTooLarge for facts that could not be stored together."""
    if sum(len(fact.model_dump_json(by_alias=True).encode()) for fact in facts) > MAX_SAID_BYTES:
        raise RequestTooLarge(f"The facts of one turn take at most {MAX_SAID_BYTES} bytes.", field="facts")


def store_facts(source: Source, turn: NewTurnFacts, said: Sequence[TurnLine]) -> TurnFacts:
    """Store the facts of a turn that is stored: those it came with, and, if asked for, those that are extracted.

    An extraction that fails leaves the turn and its own facts as they are, and is told.
    """
    brought = (_earlier(source, source.said) or _keep(source, turn, source.said, turn.facts)) if turn.facts else []
    if not turn.extract_facts:
        return TurnFacts(brought)
    earlier = _earlier(source, EXTRACTED)
    if earlier is not None:
        return TurnFacts([*brought, *earlier], extracted=True)
    extractor = adapters.extractor()
    if extractor is None:
        return TurnFacts(brought, extracted=False, problem=NO_EXTRACTOR)
    at = source.at if turn.timestamp is None else turn.timestamp
    try:
        found = extractor.extract(said, to_rfc3339(at), within_s=EXTRACTION_S)
    except ChatUnavailable as failure:
        return TurnFacts(brought, extracted=False, problem=f"No facts were extracted: {failure.detail}")
    return TurnFacts([*brought, *_keep(source, turn, EXTRACTED, found)], extracted=True)


def find_turn_facts(source: Source) -> TurnFacts:
    """The facts of a turn that are stored."""
    brought, extracted = find_batch(*_batch(source, SAID)), find_batch(*_batch(source, EXTRACTED))
    return TurnFacts([*(brought or ()), *(extracted or ())], extracted=None if extracted is None else True)


def _earlier(source: Source, kind: str) -> list[DatedFact] | None:
    """The facts of a kind that an earlier request stored; None where none did."""
    return find_batch(*_batch(source, kind)) if source.replayed else None


def _keep(source: Source, turn: NewTurnFacts, kind: str, said: Sequence[FactStatement]) -> list[DatedFact]:
    tenant, conversation_id, batch = _batch(source, kind)
    facts = [_fact(source, turn, f"{FACT_PREFIX}{batch}-{place:02d}", each) for place, each in enumerate(said)]
    try:
        return keep_batch(sources.Source(tenant, conversation_id, source.message_ids), batch, facts)
    except MessageRedacted:
        # What was withdrawn meanwhile states nothing any more.
        return []


def _batch(source: Source, kind: str) -> tuple[str, str, str]:
    """Tenant, conversation, and the name that the facts of a kind have together, which follows from the turn."""
    tenant, conversation_id = source.genesis.tenant, source.genesis.conversation_id
    named = "#".join([conversation_pk(tenant, conversation_id), source.message_ids[0], kind])
    return tenant, conversation_id, sha256(named.encode()).hexdigest()[:20]


def _fact(source: Source, turn: NewTurnFacts, fact_id: str, said: FactStatement) -> StoredFact:
    since = source.at if turn.timestamp is None else turn.timestamp
    return StoredFact(
        tenant=source.genesis.tenant,
        fact_id=fact_id,
        memory_space_id=turn.memory_space_id,
        fact=said.fact,
        fact_type=said.fact_type,
        confidence=said.confidence,
        subject=said.subject,
        predicate=said.predicate,
        object=said.object,
        valid_from=since if said.valid_from is None else said.valid_from,
        created_at=source.at,
        user_id=turn.user_id,
        participant_id=turn.participant_id,
        tags=tuple(said.tags) if isinstance(said, NewFact) else (),
        metadata=said.metadata if isinstance(said, NewFact) else {},
        conversation_id=source.genesis.conversation_id,
        message_ids=source.message_ids,
    )
