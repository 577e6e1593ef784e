"""The calls of a turn whose model the caller runs: the user's message first, the reply when it is there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeVar, cast
from uuid import NAMESPACE_OID, uuid5

from pydantic import TypeAdapter, ValidationError

from annals_client import wire
from annals_client.calls import Call, Steps
from annals_client.chunks import Progress, Reply
from annals_client.embeddings import Embedded, GenerateEmbedding, require_function, said_text, with_embedding
from annals_client.errors import (
    AnnalsError,
    Problem,
    ReplyNotStored,
    Stored,
    StreamEmpty,
    StreamFailed,
    ValidationFailed,
)
from annals_client.events import Result
from annals_client.formats.streams.reply import omitted
from annals_client.formats.streams.usage import token_counts
from annals_client.models import Remembered, Usage
from annals_client.resources.facts import NewFact
from annals_client.resources.turns import Turn, Turns
from annals_client.shapes import said_body

logger = logging.getLogger("annals_client")

T = TypeVar("T")

ExtractFacts = Callable[[str, str], "Iterable[NewFact] | Awaitable[Iterable[NewFact] | None] | None"]
"""Finds facts in what was said, and what was answered."""

FACTS: TypeAdapter[list[NewFact]] = TypeAdapter(list[NewFact])


@dataclass(frozen=True)
class Hooks:
    """Whom to tell of a reply: of each chunk, how much there is, that it failed, that it is stored.

    What a hook raises is logged, and changes nothing.
    """

    on_chunk: Callable[[Any], Any] | None = None
    on_progress: Callable[[Progress], Any] | None = None
    on_error: Callable[[AnnalsError], Any] | None = None
    on_complete: Callable[[Result], Any] | None = None

    def require_functions(self) -> None:
        """Raise TypeError for a hook that would have to be awaited."""
        for hook in (self.on_chunk, self.on_progress, self.on_error, self.on_complete):
            if iscoroutinefunction(hook):
                raise TypeError("Annals calls its hooks; those that are coroutines need AsyncAnnals")


@dataclass(frozen=True)
class Extracted:
    """The facts that the caller's function found in a turn, or why there are none."""

    facts: Sequence[NewFact] = ()
    problem: str | None = None


@dataclass(frozen=True)
class OwnTurn:
    """A turn whose model the caller runs.

    Parameters
    ----------
    key : from which the Idempotency-Keys of its calls follow
    fields : what both messages have in common
    question : what the user's message has beside that
    facts : those that the caller states
    extract_facts : whether the server is to look for facts in the turn
    extractor : the caller's function that does
    generate_embedding : the caller's function that makes the vectors of both texts
    on_failure : what becomes of a reply that breaks off
    """

    key: str
    fields: Mapping[str, Any]
    question: Mapping[str, Any]
    facts: Sequence[NewFact] | None = None
    extract_facts: bool = False
    extractor: ExtractFacts | None = field(default=None)
    generate_embedding: GenerateEmbedding | None = field(default=None)
    on_failure: Literal["keep", "discard"] = "keep"

    @staticmethod
    def of(
        key: str,
        *,
        facts: Iterable[NewFact] | None = None,
        extract_facts: bool | ExtractFacts = False,
        generate_embedding: GenerateEmbedding | None = None,
        on_failure: Literal["keep", "discard"] = "keep",
        **named: Any,
    ) -> OwnTurn:
        """The turn that arguments say. Raises TypeError and InvalidArgument for what no request can carry."""
        for name in named.keys() - Turn.__annotations__.keys():
            raise TypeError(f"remember_stream() got an unexpected keyword argument {name!r}")
        question: dict[str, Any] = {name: named.pop(name) for name in ("user_message", "user_name") if name in named}
        if "user_message" not in question or "memory_space_id" not in named:
            raise TypeError("remember_stream() needs memory_space_id and user_message")
        turn = OwnTurn(
            key,
            named,
            question,
            facts=None if facts is None else require_facts(facts),
            extract_facts=extract_facts is True,
            extractor=extract_facts if callable(extract_facts) else None,
            generate_embedding=generate_embedding,
            on_failure=on_failure,
        )
        # Whatever a request cannot carry is refused here, before any is sent.
        turn._begin(None)
        turn._reply("msg-001", {"content": "."}, turn.facts or ())
        return turn

    def require_functions(self) -> None:
        """Raise TypeError for a function that would have to be awaited."""
        require_function(self.generate_embedding)
        if iscoroutinefunction(self.extractor):
            raise TypeError("Annals calls extract_facts; one that is a coroutine function needs AsyncAnnals")

    @property
    def words(self) -> str:
        """What the user said, as text."""
        said = self._begin(None).body or {}
        return said_text(said.get("userMessage"))

    def begin(self, embedded: Embedded) -> Steps[Remembered]:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        return (yield from _ask(self._begin(embedded.vector)))

    def complete(
        self, begun: Remembered, reply: Reply, extracted: Extracted | None, embedded: Embedded
    ) -> Steps[Result]:
        """Store the whole reply with the turn's facts. A reply that the model cut off is stored as incomplete.

        Raises ReplyNotStored, with the reply's text, where that cannot be; StreamEmpty without one.
        """
        text, reader = reply.text, reply.reader
        if not reader.is_reply:
            reason = f" ({reader.finish_reason})" if reader.finish_reason else ""
            detail = f"The reply was empty{reason}. The user's message is kept."
            raise StreamEmpty(Problem(0, "STREAM_EMPTY", "Empty reply", detail), _stored(begun), text)
        facts = [*(self.facts or ()), *(extracted.facts if extracted else ())]
        try:
            vector = embedded.vector
            remembered = yield from self._store_reply(begun, reply, facts, is_cut=reader.is_cut, vector=vector)
        except AnnalsError as refusal:
            raise ReplyNotStored(refusal.problem, _stored(begun), text) from refusal
        return _result(remembered, reply, extracted, embedded)

    def break_off(self, begun: Remembered, reply: Reply, failure: BaseException) -> Steps[StreamFailed]:
        """Store the reply as far as it came, if that is asked for and there is any; the error to raise."""
        with suppress(UnicodeDecodeError):  # half a character is none
            reply.end()
        text, outcome = reply.text, "The user's message is kept, the reply is not."
        stored = _stored(begun)
        if self.on_failure == "keep" and reply.reader.is_reply:
            try:
                remembered = yield from self._store_reply(begun, reply, self.facts or (), is_cut=True)
                stored, outcome = _stored(remembered), "What came of the reply is kept, marked incomplete."
            except AnnalsError:
                logger.exception("What came of the reply to %s could not be stored", stored.message_ids[0])
        detail = f"The reply broke off ({type(failure).__name__}: {failure}). {outcome}"
        return StreamFailed(Problem(0, "STREAM_FAILED", "Reply failed", detail), stored, text)

    def _store_reply(
        self,
        begun: Remembered,
        reply: Reply,
        facts: Sequence[NewFact],
        *,
        is_cut: bool,
        vector: list[float] | None = None,
    ) -> Steps[Remembered]:
        """Store the reply, with its parts; without them where they are refused, and the text alone is not."""
        reader, parts = reply.reader, reply.reader.parts
        said: dict[str, Any] = {"content": reply.text, "finish_reason": reader.finish_reason}
        if is_cut:
            said["status"] = "incomplete"
        if vector is not None:
            said["embedding"] = vector
        conversation = begun.conversation
        message_id, within = conversation.message_ids[0], {"conversation_id": conversation.conversation_id}
        if parts is None:
            return (yield from _ask(self._reply(message_id, said, facts, **within)))
        try:
            return (yield from _ask(self._reply(message_id, {**said, "parts": parts}, facts, **within)))
        except ValidationFailed:
            if not reader.has_words:
                raise
        said["parts"] = omitted(parts)
        return (yield from _ask(self._reply(message_id, said, facts, part="assistant without parts", **within)))

    def _begin(self, vector: list[float] | None) -> Call[Remembered]:
        fields = {name: value for name, value in self.fields.items() if name != "participant_id"}
        question = dict(self.question)
        if vector is not None:
            question["user_message"] = with_embedding(said_body(question["user_message"]), "user", vector)
        return Turns.remember.call(**fields, **question, idempotency_key=self._key("user"))

    def _reply(
        self,
        message_id: str,
        said: Mapping[str, Any],
        facts: Sequence[NewFact],
        *,
        part: str = "assistant",
        conversation_id: str | None = None,
    ) -> Call[Remembered]:
        fields = {**self.fields, "conversation_id": conversation_id or self.fields.get("conversation_id")}
        return Turns.remember_reply.call(
            message_id,
            agent_response={"role": "assistant", **said},
            facts=facts or None,
            extract_facts=self.extract_facts,
            idempotency_key=self._key(part),
            **fields,
        )

    def _key(self, part: str) -> str:
        """The Idempotency-Key of one of the turn's calls."""
        return str(uuid5(NAMESPACE_OID, f"{part} {self.key}"))


def require_facts(facts: Iterable[NewFact]) -> list[NewFact]:
    """Facts as they are. Raises InvalidArgument for what is none."""
    stated = list(facts)
    try:
        FACTS.validate_python(stated, strict=True)
    except ValidationError as failure:
        (first, *_) = failure.errors()
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise wire.invalid(f"facts{where}", first["msg"]) from None
    return stated


def _result(remembered: Remembered, reply: Reply, extracted: Extracted | None, embedded: Embedded) -> Result:
    values = {**dict(remembered), "embedding_problem": embedded.problem}
    if extracted is not None:
        values |= {"facts_extracted": extracted.problem is None, "facts_problem": extracted.problem}
    counts = token_counts(reply.reader.usage)
    usage = None if counts is None else Usage(input_tokens=counts[0], output_tokens=counts[1])
    return Result(**values, full_response=reply.text, usage=usage, finish_reason=reply.reader.finish_reason)


def _ask(call: Call[T]) -> Steps[T]:
    return cast("T", (yield call))


def _stored(remembered: Remembered) -> Stored:
    return Stored(remembered.conversation.conversation_id, tuple(remembered.conversation.message_ids))
