"""Messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload

from typing_extensions import NotRequired, TypedDict, Unpack

from annals_client import parts as parts_module
from annals_client import wire
from annals_client.calls import Repeat, RequestSpec, Steps
from annals_client.files import Destination
from annals_client.filters import MessageFilter, Role
from annals_client.listing import ListSpec, collect_items
from annals_client.message_following import AsyncMessageStream, MessageStream
from annals_client.methods import Resource, S, StepsMethod, call, listing
from annals_client.models import (
    Appended,
    DraftMessage,
    DraftPage,
    Message,
    MessagePart,
    PartUpload,
    Rewound,
    SomeMessages,
    Upserted,
)
from annals_client.parts import Content, PartName, PartSource
from annals_client.resources.conversations import Conversations, MissingConversation, between
from annals_client.senders import AsyncSender, Sender
from annals_client.shapes import fields_body, message_body
from annals_client.wire import Time

MESSAGES = "/v1/conversations/{conversationId}/messages"
MESSAGE = MESSAGES + "/{messageId}"

MessageList = list[Message]

DraftList = list[DraftMessage]


class MessageFields(TypedDict, total=False):
    """What a message has, beside an id of your own: a role, and ``content`` or ``parts`` or both.

    ``parts`` and ``metadata`` are any JSON.

    ``content`` may be a list of a provider's content parts; ``tool_calls``, ``tool_call_id`` and others are a
    provider's, and are kept in ``parts``. ``original_role`` is the word that was said for the role.

    ``status`` is ``incomplete`` for what came of a reply that broke off, and ``finish_reason`` is why a model's reply
    ended, in the model's word. ``supersedes`` is the id of an incomplete message of which this one is the whole: lists
    show it alone, in the place of that one. ``importance``, from 0 to 100, and ``tags`` say what it is as a memory.
    ``timestamp`` is when it was said; one in another zone than UTC is kept as it is said in ``local_time``, which a
    message that was read has, too.

    ``embedding`` is the vector that your own model made of the text, in a memory space that takes such.

    In ``parts``, what ``upload`` returned may stand in the place of a large value; ``content_part`` takes it for the
    whole text, where ``content`` is only its beginning.
    """

    role: Role
    original_role: str | None
    content: str | Sequence[Any] | None
    parts: Any
    content_part: Mapping[str, Any] | None
    tool_calls: Sequence[Any] | None
    tool_call_id: str | None
    function_call: Mapping[str, Any] | None
    refusal: str | None
    reasoning_content: str | None
    type: str
    text: str
    name: str | None
    user_id: str | None
    participant_id: str | None
    from_: NotRequired[str | None]
    to: str | None
    thread_id: str | None
    run_id: str | None
    metadata: Mapping[str, Any] | None
    timestamp: Time | None
    local_time: Time | None
    status: Literal["incomplete"] | None
    finish_reason: str | None
    supersedes: str | None
    importance: int | None
    tags: Sequence[str] | None
    embedding: Sequence[float] | None


class NewMessage(MessageFields, total=False):
    """A message to be stored.

    ``external_id`` is an id of your own, unique in the conversation: a message that is sent again with it is stored
    once.
    """

    external_id: str | None


class Messages(Resource[S]):
    """Append messages to conversations, and read them."""

    @call(f"POST {MESSAGES}", Appended, Repeat.WITH_KEY)
    def append(
        self,
        conversation_id: str,
        message: object = None,
        *,
        conversation: MissingConversation | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[NewMessage],
    ) -> RequestSpec:
        """Append a message, by its fields or as a whole.

        ``message`` is a dict, of Annals' or a provider's fields, or a message of an SDK: of OpenAI, Anthropic,
        google-genai, mistralai, LangChain and others; fields beside it are Annals'.

        ``if_match`` is the seq that the message is to follow directly. ``conversation`` makes the conversation if it is
        missing; one that exists must fit it.

        Raises
        ------
        NotFound, Erased : there is no such conversation
        Conflict : CONVERSATION_SEALED, IDEMPOTENCY_KEY_REUSED, EXTERNAL_ID_TAKEN, PARTICIPANT_MISMATCH and others;
            MESSAGE_COMPLETED, MESSAGE_SUPERSEDED
        PreconditionFailed : the newest message is not ``if_match``
        ValidationFailed : ENTRY_TOO_LARGE and others
        """
        given = fields_body(**fields) if message is None else {**message_body(message), **fields_body(**fields)}
        return _append(conversation_id, given, [given], conversation, if_match, idempotency_key)

    @call(f"POST {MESSAGES}", Appended, Repeat.WITH_KEY)
    def append_many(
        self,
        conversation_id: str,
        messages: Iterable[object],
        *,
        conversation: MissingConversation | None = None,
        if_match: int | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Append several messages as one entry: all of them or none. Each is what ``append`` takes, and raises.

        Those whose ``external_id`` is known are stored already; they come first, and the others are appended.
        """
        bodies = [message_body(message) for message in messages]
        return _append(conversation_id, {"messages": bodies}, bodies, conversation, if_match, idempotency_key)

    @call(f"PUT {MESSAGE}", Upserted)
    def upsert(
        self,
        conversation_id: str,
        external_id: str,
        message: object = None,
        *,
        completed: bool = False,
        replace: bool = False,
        revision: int | None = None,
        on_expiry: Literal["keep", "discard"] | None = None,
        conversation: MissingConversation | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[MessageFields],
    ) -> RequestSpec:
        """Say more of a message while it is said, by an id of your own; ``completed`` stores it.

        The message is what ``append`` takes. Its text is added to what was said before, or takes its place with
        ``replace``, or where it comes with parts; other fields are as they were last given. A call whose ``revision``
        is not larger than the last one's changes nothing: with revisions, a call may be sent twice, and calls may
        overtake each other. Without, each call has an ``idempotency_key``, which a draft knows of its last eight.
        ``on_expiry`` is what becomes of a message that nobody completes: kept as incomplete, or discarded.

        Raises
        ------
        NotFound, Erased : there is no such conversation; the message is redacted
        Conflict : MESSAGE_COMPLETED, CONVERSATION_SEALED, TOO_MANY_DRAFTS
        ValidationFailed : ENTRY_TOO_LARGE and others
        """
        given = fields_body(**fields) if message is None else {**message_body(message), **fields_body(**fields)}
        of_upsert = wire.body(completed=completed, replace=replace, revision=revision, on_expiry=on_expiry)
        has_order = revision is not None and idempotency_key is None
        return RequestSpec(
            {**_of(conversation_id), "message_id": external_id},
            body={**given, **of_upsert, **_missing(conversation)},
            key=idempotency_key,
            repeat=Repeat.SAFELY if has_order else Repeat.WITH_KEY,
        )

    @overload
    def follow(self: Messages[Sender], conversation_id: str, external_id: str) -> MessageStream: ...
    @overload
    def follow(self: Messages[AsyncSender], conversation_id: str, external_id: str) -> AsyncMessageStream: ...
    def follow(self, conversation_id: str, external_id: str) -> MessageStream | AsyncMessageStream:
        """Follow a message while it is said: iterate the result for its events, the stored message last.

        Nothing happens before the first step of the iteration, which raises NotFound where nothing is said.
        """
        request, sender = RequestSpec({**_of(conversation_id), "message_id": external_id}), self.sender
        return MessageStream(sender, request) if isinstance(sender, Sender) else AsyncMessageStream(sender, request)

    @StepsMethod
    def drafts(self, conversation_id: str) -> Steps[DraftList]:
        """The messages of a conversation that are being said, the one that was begun first at the beginning."""
        page: DraftPage = yield Messages._drafts.call(conversation_id)
        return [message for message in page.items if isinstance(message, DraftMessage)]

    @call(f"GET {MESSAGES}", DraftPage)
    def _drafts(self, conversation_id: str) -> RequestSpec:
        return RequestSpec(_of(conversation_id), query={"drafts": "true", "limit": "1"})

    @listing(f"GET {MESSAGES}", Message)
    def list(
        self,
        conversation_id: str,
        *,
        order: Literal["asc", "desc"] = "asc",
        limit: int | None = None,
        page_size: int = 100,
        offset: int | None = None,
        after: int | None = None,
        before: int | None = None,
        last_runs: int | None = None,
        **conditions: Unpack[MessageFilter],
    ) -> ListSpec:
        """A conversation's messages, from the beginning, or the newest first; see ``latest``, too.

        Parameters
        ----------
        limit : how many at most; without it, all. They are read in pages of ``page_size``
        offset : how many to pass over, from the end where the list begins
        after, before : the seqs between which to stay
        last_runs : only the newest runs, this many
        """
        bounds = wire.query(order=order, offset=offset, after=after, before=before, last_runs=last_runs)
        return ListSpec(
            RequestSpec(_of(conversation_id), query={**wire.query(**wire.conditions(**conditions)), **bounds}),
            limit,
            page_size,
        )

    @StepsMethod
    def latest(
        self, conversation_id: str, limit: int = 50, *, before: int | None = None, **conditions: Unpack[MessageFilter]
    ) -> Steps[MessageList]:
        """The newest messages in chronological order, ``limit`` at most, up to the seq ``before``."""
        size = max(1, min(limit, 1000))
        walk = Messages.list.walk(
            conversation_id, order="desc", limit=limit, page_size=size, before=before, **conditions
        )
        newest = yield from collect_items(walk)
        return newest[::-1]

    @call(f"GET {MESSAGE}", Message)
    def _get(self, conversation_id: str, message_id: str) -> RequestSpec:
        return RequestSpec({**_of(conversation_id), "message_id": message_id})

    @StepsMethod
    def get(self, conversation_id: str, message_id: str, *, parts: bool = False) -> Steps[Message]:
        """One message; with ``parts``, those that are stored beside it are fetched into it. Raises NotFound."""
        message: Message = yield Messages._get.call(conversation_id, message_id)
        return (yield from Messages.restore.steps(None, conversation_id, message)) if parts else message

    @StepsMethod
    def restore(self, conversation_id: str, message: Message) -> Steps[Message]:
        """A message as it was sent: with the parts that are stored beside it, each in its place, held in memory.

        Raises
        ------
        NotFound : a part is gone, since the message was redacted meanwhile
        """
        fetched: dict[str, bytes] = {}
        for reference in parts_module.references_of(message):
            if reference.sha256 not in fetched:
                found = yield Messages.part.call(conversation_id, message.message_id, reference.sha256)
                fetched[reference.sha256] = yield parts_module.read_call(found.url)
        return parts_module.with_values(message, fetched) if fetched else message

    @call(f"GET {MESSAGE}/parts/{{sha256}}", MessagePart)
    def part(self, conversation_id: str, message_id: str, sha256: str) -> RequestSpec:
        """A part that is stored beside its message, with a URL that works for some minutes. Raises NotFound."""
        return RequestSpec({**_of(conversation_id), "message_id": message_id, "sha256": sha256})

    @StepsMethod
    def download(self, conversation_id: str, message_id: str, part: PartName, to: Destination) -> Steps[int]:
        """Write the bytes of a part into a file; how many they are. They are not held in memory.

        Parameters
        ----------
        part : the reference that stands in the message, or its SHA-256
        to : a path, whose file is there when it is complete, or a binary file
        """
        found = yield Messages.part.call(conversation_id, message_id, parts_module.sha256_of(part))
        size: int = yield parts_module.save_step(found.url, to)
        return size

    @call("POST /v1/parts", PartUpload)
    def _begin_upload(self, content: Content, media_type: str, encoding: str, prefix: str | None) -> RequestSpec:
        described = {"sha256": content.sha256, "size": content.size, "media_type": media_type, "encoding": encoding}
        return RequestSpec(body=wire.body(**described, prefix=prefix))

    @StepsMethod
    def upload(
        self,
        source: PartSource,
        *,
        media_type: str | None = None,
        encoding: Literal["base64", "text", "json"] = "base64",
        prefix: str | None = None,
    ) -> Steps[dict[str, Any]]:
        """Upload a part of up to 100 MB; what is returned goes into the ``parts`` of messages, within a day.

        Parameters
        ----------
        source : a path, bytes, or a binary file; it is read twice, and not held in memory
        media_type : what it is; a path's name says that, too
        encoding : what the value is for which it stands: Base64 of the bytes, the text, or the JSON that they say
        prefix : what stands before the Base64, such as ``data:image/png;base64,``

        Raises
        ------
        ValidationFailed : it is larger
        """
        media_type = media_type or parts_module.media_type_of(source)
        file = parts_module.open_source(source)
        try:
            content = parts_module.read_content(file)
            begun: PartUpload = yield Messages._begin_upload.call(content, media_type, encoding, prefix)
            yield parts_module.put_call(begun.upload, content)
        finally:
            if file is not source:
                file.close()
        return begun.part

    @StepsMethod
    def find(self, conversation_id: str, external_id: str) -> Steps[Message | None]:
        """The message that has an external id, or None."""
        found = yield from collect_items(Messages.list.walk(conversation_id, external_id=external_id))
        return found[0] if found else None

    @call(f"POST {MESSAGES}/get-many", SomeMessages)
    def get_some(self, conversation_id: str, message_ids: Sequence[str]) -> RequestSpec:
        """Messages by their ids, as many as one answer has room for; ``omitted`` are the ids of the others."""
        return RequestSpec(_of(conversation_id), body={"messageIds": [*message_ids]})

    @StepsMethod
    def get_many(self, conversation_id: str, message_ids: Sequence[str]) -> Steps[MessageList]:
        """Many messages by their ids, in stored order; ids of no message are left out."""
        messages: MessageList = []
        left: Sequence[str] = message_ids
        while True:
            some: SomeMessages = yield Messages.get_some.call(conversation_id, left)
            messages += some.items
            if not some.omitted:
                return messages
            left = some.omitted

    @StepsMethod
    def pop(self, conversation_id: str, *, idempotency_key: str | None = None) -> Steps[Message | None]:
        """Take back the newest message, and return it; None where there is none. Two at once take two messages.

        It is a rewind by one message: ``conversations.rewind`` says what that is.
        """
        rewound: Rewound = yield Conversations.rewind.call(conversation_id, messages=1, idempotency_key=idempotency_key)
        return rewound.removed[-1] if rewound.removed else None

    @call(f"POST {MESSAGE}/redact", Message)
    def redact(self, conversation_id: str, message_id: str, *, reason: str) -> RequestSpec:
        """Redact a message: its content goes; its seq, its digest and the chain stay."""
        return RequestSpec({**_of(conversation_id), "message_id": message_id}, body={"reason": reason})


def _append(
    conversation_id: str,
    body: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    conversation: MissingConversation | None,
    if_match: int | None,
    key: str | None,
) -> RequestSpec:
    """An append. Messages that all have external ids are stored once without a key, which would cost more."""
    is_known = key is None and all(message.get("externalId") for message in messages)
    return RequestSpec(
        _of(conversation_id),
        body={**body, **_missing(conversation)},
        if_match=if_match,
        key=key,
        repeat=Repeat.SAFELY if is_known else None,
    )


def _missing(conversation: MissingConversation | None) -> dict[str, Any]:
    """The field of a body that holds a conversation to be made; none without one."""
    if conversation is None:
        return {}
    given = wire.body(metadata=conversation.get("metadata"), session_id=conversation.get("session_id"))
    return {"conversation": {**between(conversation["participants"]), **given}}


def _of(conversation_id: str) -> dict[str, str]:
    return {"conversation_id": conversation_id}
