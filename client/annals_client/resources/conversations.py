"""Conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Literal

from typing_extensions import Required, TypedDict, Unpack

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec, Steps
from annals_client.errors import AnnalsError, NotFound
from annals_client.files import Destination
from annals_client.filters import ConversationFilter, ToolCalls, conversation_body, conversation_query
from annals_client.importing import ImportFile, OnRead, Part, Source, open_source
from annals_client.listing import ListSpec
from annals_client.methods import Download, Resource, S, StepsMethod, call, listing, saving
from annals_client.models import (
    Analytics,
    ContextWindow,
    Conversation,
    ConversationHit,
    DeletedMany,
    ImportAnswer,
    Imported,
    Imports,
    Message,
    ProviderContext,
    Receipt,
    Rewound,
    Summary,
    Verified,
)
from annals_client.wire import Time

CONVERSATION = "/v1/conversations/{conversationId}"

Hits = list[ConversationHit]
Formulas = Literal["guard", "keep"]
PartsInExports = Literal["inline", "references"]
"""What becomes of texts in CSV that a spreadsheet would compute."""

MessageFormat = Literal["openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt"]
"""The shapes of messages of providers, frameworks and training files."""

Format = Literal["json", "jsonl", "csv", "openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt", "ledger"]


class Participants(TypedDict, total=False):
    """Who takes part: a user and/or an agent with a memory space, or two ``agents``."""

    user_id: str | None
    agent_id: str | None
    participant_id: str | None
    agents: tuple[str, str] | None
    memory_space_id: str | None


class MissingConversation(TypedDict, total=False):
    """A conversation that is made if it is missing, by whoever writes to it first. ``metadata`` is for a new one.

    With a ``session_id`` it is a session, and one that exists must be the same.
    """

    participants: Required[Participants]
    metadata: Mapping[str, Any] | None
    session_id: str | None


class TurnConversation(TypedDict, total=False):
    """A conversation that a turn makes if it is missing, as far as the turn does not say it."""

    participants: Participants
    metadata: Mapping[str, Any] | None


class Conversations(Resource[S]):
    """Make, find, list, search and erase conversations."""

    @call("POST /v1/conversations", Conversation, Repeat.WITH_KEY)
    def create(
        self,
        *,
        conversation_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        idempotency_key: str | None = None,
        **participants: Unpack[Participants],
    ) -> RequestSpec:
        """Make a conversation, of a user and/or an agent or of two agents.

        With a ``session_id``, it is that session of its user and its memory space, as far as these are given.

        Raises
        ------
        Conflict : CONVERSATION_ALREADY_EXISTS, SESSION_ALREADY_EXISTS
        Erased : a conversation of this id was erased
        ValidationFailed : INVALID_PARTICIPANTS and others
        """
        given = wire.body(conversation_id=conversation_id, metadata=metadata, session_id=session_id)
        return RequestSpec(body={**between(participants), **given}, key=idempotency_key)

    @call("PUT /v1/conversations/by-participants", Conversation)
    def get_or_create(
        self, *, metadata: Mapping[str, Any] | None = None, **participants: Unpack[Participants]
    ) -> RequestSpec:
        """The conversation of these participants: the one there is, or a new one. Two agents may come in any order."""
        return RequestSpec(body={**between(participants), **wire.body(metadata=metadata)})

    @call("PUT /v1/conversations/by-session", Conversation)
    def get_or_create_session(
        self, session_id: str, *, metadata: Mapping[str, Any] | None = None, **participants: Unpack[Participants]
    ) -> RequestSpec:
        """The conversation that is a session: the one there is, or a new one.

        A session is found by its id, its user and its memory space, as far as these are given: the same ``session_id``
        of two users is two sessions. Other participants and ``metadata`` are for a new one. Once it is erased, the
        session's id is free for a new conversation.

        Raises
        ------
        ValidationFailed : INVALID_PARTICIPANTS and others
        """
        return RequestSpec(body={**between(participants), **wire.body(session_id=session_id, metadata=metadata)})

    @call("GET /v1/conversations/by-session", Conversation)
    def _get_session(self, session_id: str, user_id: str | None, memory_space_id: str | None) -> RequestSpec:
        query = wire.query(session_id=session_id, user_id=user_id, memory_space_id=memory_space_id)
        return RequestSpec(query=query)

    @StepsMethod
    def find_session(
        self, session_id: str, *, user_id: str | None = None, memory_space_id: str | None = None
    ) -> Steps[Conversation | None]:
        """The conversation that is a session of this user and memory space; None if there is none."""
        try:
            found: Conversation = yield Conversations._get_session.call(session_id, user_id, memory_space_id)
        except NotFound as missing:
            if missing.problem.code != "SESSION_NOT_FOUND":
                raise
            return None
        return found

    @call(f"GET {CONVERSATION}", Conversation)
    def get(
        self, conversation_id: str, *, include: Sequence[Literal["messages", "summary", "facts"]] = ()
    ) -> RequestSpec:
        """A conversation, with its newest messages, its summary, its facts if asked for. Raises NotFound, or Erased."""
        return RequestSpec(_of(conversation_id), query=wire.query(include=[*include] or None))

    @listing("GET /v1/conversations", Conversation)
    def list(
        self,
        *,
        limit: int | None = None,
        page_size: int = 100,
        sort_by: Literal["createdAt", "updatedAt", "lastMessageAt", "messageCount"] | None = None,
        sort_order: Literal["asc", "desc"] | None = None,
        **conditions: Unpack[ConversationFilter],
    ) -> ListSpec:
        """The conversations that a filter matches, the newest activity first unless said otherwise.

        ``limit`` is how many at most; without it, all. They are read in pages of ``page_size``.
        """
        order = wire.query(sort_by=sort_by, sort_order=sort_order)
        return ListSpec(RequestSpec(query={**conversation_query(**conditions), **order}), limit, page_size)

    @call("GET /v1/conversations/count", int, inside="count")
    def count(self, **conditions: Unpack[ConversationFilter]) -> RequestSpec:
        """How many conversations a filter matches."""
        return RequestSpec(query=conversation_query(**conditions))

    @call(f"PATCH {CONVERSATION}", Conversation, Repeat.WITH_KEY)
    def update(
        self,
        conversation_id: str,
        metadata: Mapping[str, Any],
        *,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Merge a patch into a conversation's metadata; None removes a key.

        Raises
        ------
        PreconditionFailed : the conversation's version is not ``if_match``
        """
        return RequestSpec(_of(conversation_id), body={"metadata": metadata}, if_match=if_match, key=idempotency_key)

    @call(f"DELETE {CONVERSATION}", Receipt)
    def erase(self, conversation_id: str) -> RequestSpec:
        """Erase a conversation. Where its receipt's status is ``erasing``, ask ``receipts.get`` for the end of it."""
        return RequestSpec(_of(conversation_id))

    @call(f"POST {CONVERSATION}/seal", Conversation)
    def seal(self, conversation_id: str) -> RequestSpec:
        """Close a conversation: it takes no more messages."""
        return RequestSpec(_of(conversation_id))

    @call(f"POST {CONVERSATION}/archive", Conversation)
    def archive(self, conversation_id: str, *, before: Time) -> RequestSpec:
        """Archive the messages before a seq or a time: histories leave them out unless they are asked for."""
        return RequestSpec(_of(conversation_id), body=wire.body(before=before))

    @call(f"POST {CONVERSATION}/rewind", Rewound, Repeat.WITH_KEY)
    def rewind(
        self,
        conversation_id: str,
        *,
        to_seq: int | None = None,
        message_id: str | None = None,
        messages: int | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Take back the messages after a seq or a message, or the newest ``messages``; give one of the three.

        Readers get them no more, unless they ask with ``include_rewound``; the ledger keeps them. Of what there is not,
        nothing is taken back.

        Raises
        ------
        NotFound, Erased : there is no such conversation, or no such message
        Conflict : CONVERSATION_SEALED and others
        PreconditionFailed : the newest record is not ``if_match``
        """
        target = wire.body(to_seq=to_seq, message_id=message_id, messages=messages)
        return RequestSpec(_of(conversation_id), body=target, if_match=if_match, key=idempotency_key)

    @StepsMethod
    def clear_messages(self, conversation_id: str, *, idempotency_key: str | None = None) -> Steps[Rewound]:
        """Take back all messages of a conversation, which goes on empty; ``rewind`` says what that is."""
        rewound: Rewound = yield Conversations.rewind.call(conversation_id, to_seq=0, idempotency_key=idempotency_key)
        return rewound

    @call(f"POST {CONVERSATION}/preamble", Message, Repeat.WITH_KEY)
    def preamble(
        self,
        conversation_id: str,
        content: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Put a text before the first message, replacing an earlier one. It is not counted."""
        return RequestSpec(
            _of(conversation_id), body=wire.body(content=content, metadata=metadata), key=idempotency_key
        )

    @call(f"POST {CONVERSATION}/summarize", Summary)
    def summarize(self, conversation_id: str, *, model: str | None = None) -> RequestSpec:
        """Bring a conversation's summary up to its newest message. Of a long one, ``to_seq`` says how far it came.

        Raises
        ------
        Unavailable : MODEL_UNAVAILABLE
        """
        return RequestSpec(_of(conversation_id), body=wire.body(model=model))

    @call("POST /v1/conversations/delete-many", DeletedMany, Repeat.NEVER)
    def delete_many(
        self, *, dry_run: bool = False, confirm: bool = False, **conditions: Unpack[ConversationFilter]
    ) -> RequestSpec:
        """Erase all conversations that a filter matches, or only say which they are.

        Raises
        ------
        Conflict : DELETE_MANY_THRESHOLD_EXCEEDED, more than ten match and that is not confirmed
        ValidationFailed : MISSING_REQUIRED_FIELD for an empty filter
        """
        options = wire.body(dry_run=dry_run, confirm=confirm)
        return RequestSpec(body={"filter": conversation_body(**conditions), **options})

    @call("POST /v1/conversations/search", Hits, inside="items")
    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        consistent: bool | None = None,
        **conditions: Unpack[ConversationFilter],
    ) -> RequestSpec:
        """Conversations by their messages, the best first, each with its best messages. Raises Unavailable."""
        body = wire.body(query=query, limit=limit, consistent=consistent)
        return RequestSpec(body={**body, "filter": conversation_body(**conditions)})

    @saving(f"GET {CONVERSATION}/export")
    def export(
        self,
        conversation_id: str,
        to: Destination,
        *,
        format: Format = "jsonl",  # noqa: A002 - the API's word
        include_metadata: bool | None = None,
        formulas: Formulas | None = None,
        parts: PartsInExports | None = None,
    ) -> Download:
        """Write a conversation with all its messages into a file; how many bytes it has.

        ``to`` is a path, whose file is there when it is complete, or a binary file. In ``csv``, what a spreadsheet
        would compute is guarded by an apostrophe, unless ``formulas`` is ``keep``. ``parts`` says whether large parts
        of messages are ``inline`` or ``references``; by default the formats of other programs have them inline.
        """
        options = wire.query(format=format, include_metadata=include_metadata, formulas=formulas, parts=parts)
        return Download(RequestSpec(_of(conversation_id), query=options), to)

    @saving("GET /v1/conversations/export")
    def export_many(
        self,
        to: Destination,
        *,
        format: Format = "jsonl",  # noqa: A002 - the API's word
        include_metadata: bool | None = None,
        formulas: Formulas | None = None,
        parts: PartsInExports | None = None,
        **conditions: Unpack[ConversationFilter],
    ) -> Download:
        """Write all conversations that a filter matches into one file, the oldest first; how many bytes it has."""
        options = wire.query(format=format, include_metadata=include_metadata, formulas=formulas, parts=parts)
        return Download(RequestSpec(query={**conversation_query(**conditions), **options}), to)

    @call("POST /v1/conversations/import", ImportAnswer)
    def _import(self, lines: bytes, query: Mapping[str, str]) -> RequestSpec:
        return RequestSpec(lines=lines, query=query)

    @StepsMethod
    def import_(
        self,
        source: Source,
        *,
        skip_broken: bool = False,
        dry_run: bool = False,
        on_read: OnRead | None = None,
        **owners: Unpack[Participants],
    ) -> Steps[Imports]:
        """Bring conversations in from a file, which is recognised by what it holds (docs/import.md).

        It may be of any size, plain, gzip or zip, and is sent in parts. A file of more than one part is read twice:
        first all of it is checked, so that nothing is stored of a file that is refused. What is there already is left,
        so that an import that broke off is completed by sending the file again.

        Parameters
        ----------
        source : a path, a binary file, or lines
        skip_broken : leave out conversations that cannot be read or stored; the result's ``broken`` names them
        dry_run : store nothing, and return what would be imported
        on_read : called with how many bytes of the file were read so far; they count anew when it is read again
        owners : whose the conversations are that do not name their participants, as other apps' do

        Raises
        ------
        Conflict : a conversation holds other messages than the file
        InvalidArgument, ValidationFailed : ``field`` names the line, or the conversation, of the file
        """
        with open_source(source) as opened:
            file = ImportFile(opened, on_read, skip_broken=skip_broken)
            query = {**_owners(owners), **wire.query(skip_broken=skip_broken or None)}
            parts = file.parts()
            first = list(islice(parts, 2))
            if dry_run or len(first) > 1 or file.broken:
                checked = yield from _send(file, chain(first, parts), {**query, "dryRun": "true"})
                if dry_run:
                    return checked
                first, parts = [], file.parts()
            return (yield from _send(file, chain(first, parts), query))

    @call(f"GET {CONVERSATION}/verify", Verified)
    def verify(self, conversation_id: str, *, parts: bool | None = None) -> RequestSpec:
        """Have the server read a conversation's whole chain, and say whether it is what was appended.

        With ``parts``, those that are stored beside the messages are checked, too.
        """
        return RequestSpec(_of(conversation_id), query=wire.query(parts=parts))

    @call(f"GET {CONVERSATION}/context", ContextWindow)
    def context(
        self,
        conversation_id: str,
        max_tokens: int,
        *,
        include_summary: bool | None = None,
        tool_calls: ToolCalls | None = None,
    ) -> RequestSpec:
        """The newest messages that fit a budget of tokens, oldest first, after the preamble if that is asked for.

        A call of a tool comes with its results, or not at all. With the ``tool_calls`` ``unfinished``, those of turns
        that have a reply are left out, and a reply comes with its question.
        """
        bounds = wire.query(max_tokens=max_tokens, include_summary=include_summary, tool_calls=tool_calls)
        return RequestSpec(_of(conversation_id), query=bounds)

    @call(f"GET {CONVERSATION}/context", ProviderContext)
    def context_as(
        self,
        conversation_id: str,
        max_tokens: int,
        format: MessageFormat,  # noqa: A002 - the API's word
        *,
        include_summary: bool | None = None,
        tool_calls: ToolCalls | None = None,
    ) -> RequestSpec:
        """The same as ``context``, in the shape of a provider's messages, as a request to its model takes them.

        ``system`` of the answer is what the system says, where the shape has that beside the messages.
        """
        bounds = wire.query(max_tokens=max_tokens, include_summary=include_summary, tool_calls=tool_calls)
        return RequestSpec(_of(conversation_id), query={**bounds, **wire.query(format=format)})

    @call(f"GET {CONVERSATION}/analytics", Analytics)
    def analytics(self, conversation_id: str) -> RequestSpec:
        """Counts by role and participant, tokens, response times and turns per day."""
        return RequestSpec(_of(conversation_id))


def _of(conversation_id: str) -> dict[str, str]:
    return {"conversation_id": conversation_id}


def _send(file: ImportFile, parts: Iterator[Part], query: Mapping[str, str]) -> Steps[Imports]:
    """Send the parts of a file; what became of each conversation, over all parts."""
    results: dict[str, Imported] = {}
    for part in parts:
        try:
            answer = yield Conversations._import.call(part.content, query)
        except AnnalsError as refusal:
            raise part.in_file(refusal) from None
        for each in answer.conversations:
            before = results.get(each.conversation_id, Imported(conversation_id="", imported=0, skipped=0))
            sums = {"imported": before.imported + each.imported, "skipped": before.skipped + each.skipped}
            results[each.conversation_id] = each.model_copy(update=sums)
        for broken in answer.broken:
            file.leave_out(*part.broken_in_file(broken))
    return Imports(results.values(), file.broken.values())


def _owners(participants: Participants) -> dict[str, str]:
    owners: dict[str, Any] = dict(participants)
    if agents := owners.pop("agents", None):
        owners |= {"type": "agent-agent", "agent1": agents[0], "agent2": agents[1]}
    return wire.query(**owners)


def between(participants: Participants) -> dict[str, Any]:
    """The type and participants of a conversation."""
    kind = "agent-agent" if participants.get("agents") else "user-agent"
    return {"type": kind, "participants": wire.body(**participants)}
