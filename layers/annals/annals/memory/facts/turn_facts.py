"""The facts of a turn: those that the caller states and those that are extracted, each stored once.

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
from annals.memory.facts.extraction import TurnLine, get_extractor
from annals.memory.facts.fact_creation import create_batch
from annals.memory.facts.fact_items import FACT_PREFIX, DatedFact, StoredFact
from annals.memory.facts.fact_presenters import present_fact
from annals.memory.facts.fact_reads import find_batch
from annals.memory.facts.models import FactStatement, NewFact, NewTurnFacts, TurnFactsResponse
from annals.memory.sources import Source
from annals.times import SaidTime

EXTRACTION_S = 20.0
"""How long extracting the facts of a turn may take, a second try included."""

MAX_STATED_BYTES = 350_000
"""How many bytes of JSON the facts that a caller states of one turn may take together."""

FACTS_SHARE = 0.5
"""How much of an answer's room the facts of a turn may take beside its memories."""

STATED, EXTRACTED = "said", "extracted"
"""The kinds of a turn's facts: each kind is stored together, under a name that follows from these words."""

NO_EXTRACTOR = "No facts were extracted: there is no chat model that could (CHAT_URL)."


@dataclass(frozen=True)
class TurnSource:
    """A stored turn: its conversation and messages, when it was stored, and whether an earlier request stored it.

    ``at`` is in Unix milliseconds; ``local_time`` is when it was said, where that was in another zone than UTC.
    ``stated`` and ``extracted`` are the names of the facts that the caller states, and of those that are extracted:
    those under another name are stored beside them.
    """

    genesis: Genesis
    message_ids: tuple[str, ...]
    at: int
    replayed: bool = False
    stated: str = STATED
    extracted: str = EXTRACTED
    local_time: str | None = None

    def said(self, turn: NewTurnFacts) -> SaidTime:
        """When the turn was said: as its request says, or else when it was stored."""
        return turn.timestamp or SaidTime(self.at, self.local_time)


@dataclass(frozen=True)
class TurnFacts:
    """A turn's facts. ``extracted`` is whether extraction was done, None if none was requested; else the problem."""

    facts: Sequence[DatedFact] = ()
    extracted: bool | None = None
    problem: str | None = None

    def present(self) -> TurnFactsResponse:
        """As the API shows them."""
        facts, left_out = fitting_counted(map(present_fact, self.facts), Room(FACTS_SHARE))
        response = TurnFactsResponse(facts=facts)
        if left_out:
            response["factsOmitted"] = left_out["omitted"]
        if self.extracted is not None:
            response["factsExtracted"] = self.extracted
        if self.problem is not None:
            response["factsProblem"] = self.problem
        return response


def require_facts_fit(facts: Sequence[NewFact]) -> None:
    """Raise RequestTooLarge for facts that could not be stored together."""
    if sum(len(fact.model_dump_json(by_alias=True).encode()) for fact in facts) > MAX_STATED_BYTES:
        raise RequestTooLarge(f"The facts of one turn take at most {MAX_STATED_BYTES} bytes.", field="facts")


def store_facts(source: TurnSource, turn: NewTurnFacts, lines: Sequence[TurnLine]) -> TurnFacts:
    """Store the facts of a turn that is stored: those that it states, and, if requested, those that are extracted.

    An extraction that fails leaves the turn and its own facts as they are; the answer names the problem.
    """
    stated: list[DatedFact] = []
    if turn.facts:
        stated = _find_earlier(source, source.stated) or _store(source, turn, source.stated, turn.facts)
    if not turn.extract_facts:
        return TurnFacts(stated)
    earlier = _find_earlier(source, source.extracted)
    if earlier is not None:
        return TurnFacts([*stated, *earlier], extracted=True)
    extractor = get_extractor()
    if extractor is None:
        return TurnFacts(stated, extracted=False, problem=NO_EXTRACTOR)
    try:
        statements = extractor.extract(lines, source.said(turn).text, within_s=EXTRACTION_S)
    except ChatUnavailable as failure:
        return TurnFacts(stated, extracted=False, problem=f"No facts were extracted: {failure.detail}")
    return TurnFacts([*stated, *_store(source, turn, source.extracted, statements)], extracted=True)


def find_turn_facts(source: TurnSource) -> TurnFacts:
    """The facts of a turn that are stored."""
    stated, extracted = find_batch(*_batch(source, source.stated)), find_batch(*_batch(source, source.extracted))
    return TurnFacts([*(stated or ()), *(extracted or ())], extracted=None if extracted is None else True)


def _find_earlier(source: TurnSource, kind: str) -> list[DatedFact] | None:
    """The facts of a kind that an earlier request stored; None where none did."""
    return find_batch(*_batch(source, kind)) if source.replayed else None


def _store(source: TurnSource, turn: NewTurnFacts, kind: str, statements: Sequence[FactStatement]) -> list[DatedFact]:
    tenant, conversation_id, batch = _batch(source, kind)
    facts = [
        _new_fact(source, turn, f"{FACT_PREFIX}{batch}-{number:02d}", statement)
        for number, statement in enumerate(statements)
    ]
    try:
        return create_batch(Source(tenant, conversation_id, source.message_ids), batch, facts)
    except MessageRedacted:
        # What was redacted meanwhile states nothing any more.
        return []


def _batch(source: TurnSource, kind: str) -> tuple[str, str, str]:
    """Tenant, conversation, and the name that the facts of a kind have together, which follows from the turn."""
    tenant, conversation_id = source.genesis.tenant, source.genesis.conversation_id
    name = "#".join([conversation_pk(tenant, conversation_id), source.message_ids[0], kind])
    return tenant, conversation_id, sha256(name.encode()).hexdigest()[:20]


def _new_fact(source: TurnSource, turn: NewTurnFacts, fact_id: str, statement: FactStatement) -> StoredFact:
    since = statement.valid_from or source.said(turn)
    return StoredFact(
        tenant=source.genesis.tenant,
        fact_id=fact_id,
        memory_space_id=turn.memory_space_id,
        fact=statement.fact,
        fact_type=statement.fact_type,
        confidence=statement.confidence,
        subject=statement.subject,
        predicate=statement.predicate,
        object=statement.object,
        valid_from=since.ms,
        local_time=since.local,
        created_at=source.at,
        user_id=turn.user_id,
        participant_id=turn.participant_id,
        tags=tuple(statement.tags) if isinstance(statement, NewFact) else (),
        metadata=statement.metadata if isinstance(statement, NewFact) else {},
        conversation_id=source.genesis.conversation_id,
        message_ids=source.message_ids,
    )
