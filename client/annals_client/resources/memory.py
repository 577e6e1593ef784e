"""Memory: turns that are remembered, and searched."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload
from uuid import uuid4

from typing_extensions import Required, Unpack

from annals_client import wire
from annals_client.calls import RequestSpec
from annals_client.chunks import Progress, Reply
from annals_client.embeddings import GenerateEmbedding
from annals_client.errors import AnnalsError
from annals_client.events import Result
from annals_client.filters import MemoryFilter, ToolCalls, memory_body
from annals_client.following import AsyncTurnStream, TurnStream
from annals_client.methods import S, call
from annals_client.models import Hit, Recollection
from annals_client.own_turn import ExtractFacts, Hooks, OwnTurn
from annals_client.relay import AsyncRelay, Relay, require_stream
from annals_client.resources.turns import RememberedTurn, TurnFields, Turns, turn_body
from annals_client.senders import AsyncSender, Sender
from annals_client.wire import NOT_GIVEN

C = TypeVar("C")

Hits = list[Hit]

RecallScope = Literal["user", "space"]
"""Whose words are recalled: the user's own and what belongs to nobody, or everybody's in the space."""


class Question(MemoryFilter, total=False):
    """What a search of the memories takes, beside a text.

    ``consistent`` finds what was stored a moment ago, and needs ``conversation_id``; ``explain`` says how the scores
    came about. ``embedding`` is a vector to search by: of the caller's own model in a memory space that takes its
    vectors, else of the server's.
    """

    embedding: Sequence[float]
    memory_space_id: str
    limit: int
    min_score: float
    consistent: bool
    explain: bool


class AskedTurn(RememberedTurn, total=False):
    """A turn that the server's model is to answer; ``history`` is how many recent messages the model gets.

    With the ``tool_calls`` ``unfinished`` it gets no calls and results of turns that have a reply.

    It also gets what is remembered: with a ``user_id`` what is that user's own or nobody's, or what everybody in the
    space said where ``recall_scope`` is ``space``. ``filter`` narrows that.
    """

    model: str
    instructions: str
    history: int
    on_failure: Literal["keep", "discard"]
    recall_scope: RecallScope
    tool_calls: ToolCalls
    filter: MemoryFilter
    idempotency_key: str | None


class RelayedTurn(TurnFields, total=False):
    """A turn that the caller's model answers, how its chunks are read, and whom to tell of them.

    ``extract_facts`` may be a function that is given what was said and what was answered, once the reply is whole, and
    returns facts; with ``AsyncAnnals`` also a coroutine function. What it raises leaves the turn as it is:
    ``facts_problem`` of the result names it.

    ``generate_embedding`` makes the vectors of both messages, in a memory space that takes such; with ``AsyncAnnals``
    it may be a coroutine function. What it raises leaves a message without one: ``embedding_problem`` names it.

    ``text_of`` says what a chunk of an unknown kind adds to the reply. What stands between ``<think>`` and ``</think>``
    goes to the reply's parts; where ``think_tags`` is False, it is a part of the text.
    """

    user_message: Required[object]
    user_name: str | None
    extract_facts: bool | ExtractFacts
    generate_embedding: GenerateEmbedding | None
    on_failure: Literal["keep", "discard"]
    idempotency_key: str | None
    text_of: Callable[[Any], str] | None
    think_tags: bool
    on_chunk: Callable[[Any], Any] | None
    on_progress: Callable[[Progress], Any] | None
    on_error: Callable[[AnnalsError], Any] | None
    on_complete: Callable[[Result], Any] | None


class Remembering(Turns[S]):
    """Remember turns, stream replies, search."""

    @call("POST /v1/memory/search", Hits, inside="items")
    def search(self, query: str | None = None, **question: Unpack[Question]) -> RequestSpec:
        """Find memories by meaning and by word, the best first.

        Raises
        ------
        Unavailable : SEARCH_UNAVAILABLE
        ValidationFailed : INVALID_EMBEDDING, INVALID_RANGE and others
        """
        return RequestSpec(body=_question(query, question))

    @call("POST /v1/memory/recall", Recollection)
    def recall(
        self,
        query: str | None = None,
        *,
        max_tokens: int | None = None,
        history: int | None = None,
        history_of: str | None = None,
        recall_scope: RecallScope | None = None,
        tool_calls: ToolCalls | None = None,
        filter: MemoryFilter | None = None,  # noqa: A002 - the API's name
        **question: Unpack[Question],
    ) -> RequestSpec:
        """Find facts and memories, and lay them out as text for a prompt, within ``max_tokens``.

        With a ``user_id`` that is what belongs to this user or to nobody, and the user's own memories of no space;
        without one, or with the ``recall_scope`` ``space``, what everybody in the space said. Filters narrow it; the
        one for the user whom a memory names stands in ``filter``, as ``{"user_id": …}``. ``history`` is how many
        recent messages of the conversation ``history_of`` come beside it; with the ``tool_calls`` ``unfinished``,
        without the calls and results of turns that have a reply.

        Raises
        ------
        Conflict : PARTICIPANT_MISMATCH, where ``history_of`` is another user's
        and what ``search`` raises
        """
        body = _question(query, {name: value for name, value in question.items() if name != "user_id"})
        body["filter"] |= memory_body(**(filter or {}))
        body |= wire.body(max_tokens=max_tokens, history=history, conversation_id=history_of)
        body |= wire.body(recall_scope=recall_scope, tool_calls=tool_calls)
        return RequestSpec(body=body | _for_user(question))

    @overload
    def remember_stream(self: Remembering[Sender], **turn: Unpack[AskedTurn]) -> TurnStream: ...
    @overload
    def remember_stream(self: Remembering[AsyncSender], **turn: Unpack[AskedTurn]) -> AsyncTurnStream: ...
    @overload
    def remember_stream(
        self: Remembering[Sender], *, response_stream: Iterable[C], **turn: Unpack[RelayedTurn]
    ) -> Relay[C]: ...
    @overload
    def remember_stream(
        self: Remembering[AsyncSender], *, response_stream: AsyncIterable[C] | Iterable[C], **turn: Unpack[RelayedTurn]
    ) -> AsyncRelay[C]: ...
    def remember_stream(self, *, response_stream: Any = NOT_GIVEN, **turn: Any) -> Any:
        """Store a turn while its reply streams: the user's message before the first word, the reply after the last.

        Without ``response_stream`` the server's model answers; iterate the result for its events. With it, the
        caller's own model does: ``response_stream`` is an iterable of str, of bytes, or of a provider's chunks (OpenAI,
        Anthropic, Bedrock, Gemini, Mistral, Cohere, Ollama, LangChain, the Agents SDK, the AI SDK); iterate the result
        for the same chunks. Calls of tools, reasoning and usage go to the reply's parts, and the reason of its end to
        ``finish_reason``; a reply that the model cut off, or whose end is missing, is marked incomplete. See AskedTurn
        and RelayedTurn for what else it takes.

        Nothing happens before the first step of the iteration. Who does not need the pieces calls ``result()``, or with
        ``AsyncAnnals`` awaits what this returns: both wait for the end, and give what is stored of the turn.

        Raises
        ------
        TypeError : ``response_stream`` is no iterable of chunks, but None, or a str; while iterating: the first chunk
            is of a kind that nobody knows, and ``text_of`` is not given
        StreamFailed, while iterating : the reply broke off; ``stored`` says what is kept
        StreamEmpty, while iterating : the reply had no word in it; the user's message is kept
        ReplyNotStored, while iterating : the reply of the caller's model came, and was refused where it was to be
            stored; its ``text`` is the reply
        """
        if response_stream is NOT_GIVEN:
            return self._ask(**turn)
        return self._relay(response_stream, **turn)

    def _ask(self, *, idempotency_key: str | None = None, **turn: Any) -> TurnStream | AsyncTurnStream:
        request, sender = RequestSpec(body=turn_body(**turn) | _for_user(turn), key=idempotency_key), self.sender
        return TurnStream(sender, request) if isinstance(sender, Sender) else AsyncTurnStream(sender, request)

    def _relay(
        self,
        source: Any,
        *,
        text_of: Callable[[Any], str] | None = None,
        think_tags: bool = True,
        idempotency_key: str | None = None,
        **named: Any,
    ) -> Relay[Any] | AsyncRelay[Any]:
        hooks = Hooks(**{name: named.pop(name) for name in Hooks.__dataclass_fields__ if name in named})
        turn, sender = OwnTurn.of(idempotency_key or str(uuid4()), **named), self.sender
        reply = Reply(think_tags=think_tags, text_of=text_of)
        if isinstance(sender, Sender):
            require_stream(source, Iterable)
            hooks.require_functions()
            turn.require_functions()
            return Relay(sender, source, turn, reply, hooks)
        require_stream(source, AsyncIterable, Iterable)
        return AsyncRelay(sender, source, turn, reply, hooks)


def _for_user(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """For whom it is recalled. None is sent, too, and refused: it must not mean everybody."""
    return {"userId": arguments["user_id"]} if "user_id" in arguments else {}


def _question(query: str | None, question: Mapping[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = dict(question)
    conditions = {name: rest.pop(name) for name in MemoryFilter.__annotations__ if name in rest}
    space = wire.conditions(**{name: rest.pop(name) for name in ("memory_space_id",) if name in rest})
    return {**wire.body(query=query, **space, **rest), "filter": memory_body(**conditions)}
