"""Reading an import: a file's lines, as ``formats.files`` gives them, become conversations to be stored.

All of it is read and checked before anything is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from pydantic import ValidationError

from annals.api.problems import from_validation
from annals.conversations.create import NewConversation
from annals.conversations.genesis import USER_AGENT
from annals.conversations.heads import metadata_text
from annals.conversations.import_models import ConversationLine, MessageLine, RedactedLine, RunLine, parse_line
from annals.conversations.message_models import NewMessage
from annals.conversations.run_items import NewRun
from annals.database.derived_ids import derive_id
from annals.errors import AnnalsError, InvalidInput, InvalidJson, RequestTooLarge
from annals.formats.files.conversation import Broken, Line, Place
from annals.formats.files.opening import FileTooLarge, UnreadableFile
from annals.formats.files.reading import read_file
from annals.formats.lines import FIELDS as CHAT_FIELDS
from annals.formats.lines import read_line
from annals.json_text import dump, parse
from annals.ledger.append import NewRecord
from annals.ledger.entry import PREAMBLE
from annals.ledger.entry_items import require_size
from annals.ledger.messages import INCOMPLETE, SUPERSEDES, new_message
from annals.ledger.part_storing import require_storable
from annals.privacy.masking import mask_all

MAX_LINES = 100_000
"""How many lines one request may have."""

MAX_CONVERSATIONS = 5_000
"""How many conversations one request may import."""

MAX_UNPACKED_BYTES = 32 * 1024 * 1024
"""How many bytes a compressed body may hold."""


@dataclass(frozen=True)
class Owners:
    """Whose conversations are that don't say it themselves: their type and participants."""

    type: str
    participants: Mapping[str, str]


GetOwners = Callable[[], Owners]
"""Called where a conversation doesn't say whose it is. Raises InvalidInput where the request doesn't say it either."""


@dataclass(frozen=True)
class ImportOptions:
    """How a file is read.

    Parameters
    ----------
    get_owners : whose the conversations are that don't say it themselves
    tenant : into which they are imported
    memory_space_id : the space of conversations of a user, or with an agent, that name none
    skip_broken : a conversation that cannot be read, or stored, is left out instead of all being refused
    """

    get_owners: GetOwners
    tenant: str
    memory_space_id: str | None = None
    skip_broken: bool = False


@dataclass(frozen=True)
class IncomingMessage:
    """A message of an import: its fields, and the record that would hold them.

    ``message_id`` is the id that it has in the file, and ``supersedes`` the position of the message that it supersedes
    among those of its conversation.
    """

    fields: Mapping[str, Any]
    record: NewRecord
    archived: bool = False
    message_id: str | None = None
    supersedes: int | None = None

    @property
    def thread_id(self) -> str | None:
        """The thread that it belongs to."""
        return self.fields.get("threadId")


@dataclass
class IncomingConversation:
    """A conversation of an import, or a part of one after its first ``offset`` messages.

    ``place`` is where in the file it is. ``sealed_at`` is the number of messages at which the conversation was closed,
    if it was.
    """

    new: NewConversation
    conversation_id: str
    place: Place
    offset: int = 0
    sealed_at: int | None = None
    messages: list[IncomingMessage] = field(default_factory=list)
    preamble: NewRecord | None = None
    runs: list[NewRun] = field(default_factory=list)
    _external_ids: dict[str, int] = field(default_factory=dict)
    _positions: dict[str, int] = field(default_factory=dict)

    def add(self, message: IncomingMessage) -> None:
        """Add its next message. Raises InvalidInput DUPLICATE_VALUES where one before it has its external id.

        That may be the one which it supersedes.
        """
        message, position = self._linked(message), len(self.messages)
        external_id = message.record.external_id
        if external_id is not None:
            if self._external_ids.get(external_id, message.supersedes) != message.supersedes:
                raise InvalidInput("DUPLICATE_VALUES", f"a message before has the externalId {external_id!r}, too.")
            self._external_ids[external_id] = position
        if message.message_id is not None:
            self._positions[message.message_id] = position
        self.messages.append(message)

    def _linked(self, message: IncomingMessage) -> IncomingMessage:
        """A message with the position of the one that it supersedes, which then is known to be incomplete.

        What it says it supersedes may be no message of the file's part: then it supersedes nothing.
        """
        if SUPERSEDES not in message.fields:
            return message
        position = self._positions.get(message.fields[SUPERSEDES])
        fields = {name: value for name, value in message.fields.items() if name != SUPERSEDES}
        if position is not None:
            # An export shows only that it is archived.
            earlier = self.messages[position]
            incomplete = {**earlier.fields, "status": INCOMPLETE}
            self.messages[position] = replace(earlier, fields=incomplete, record=new_message(incomplete))
        return replace(message, fields=fields, record=new_message(fields), supersedes=position)

    @property
    def preamble_content(self) -> str | None:
        """The text of the preamble."""
        return json.loads(self.preamble.body)["content"] if self.preamble else None

    @property
    def is_more_than_messages(self) -> bool:
        """Whether there is a preamble, a run, an archive mark or a seal."""
        is_marked = self.is_sealed or any(message.archived for message in self.messages)
        return is_marked or self.preamble is not None or bool(self.runs)

    @property
    def is_sealed(self) -> bool:
        """Whether this is the end of a conversation that was closed."""
        return self.sealed_at == self.offset + len(self.messages)

    def with_creation(self) -> IncomingConversation:
        """The same, created when its first message was said, where the file doesn't say when it was."""
        said = [message.record.said_at for message in self.messages if message.record.said_at is not None]
        if self.new.created_at is None and said:
            self.new = replace(self.new, created_at=min(said))
        return self


@dataclass(frozen=True)
class BrokenConversation:
    """A conversation of a file that cannot be read, or stored: where it is, and why."""

    place: Place
    refusal: AnnalsError
    conversation_id: str | None = None


@dataclass(frozen=True)
class ParsedImport:
    """The conversations of a file, and those that are broken."""

    conversations: list[IncomingConversation]
    broken: list[BrokenConversation]


def parse_import(body: bytes, options: ImportOptions) -> ParsedImport:
    """The conversations of a file, in its order; chats, which have no id of their own, come last.

    The id of a chat is derived from its line, so a line that is there twice is one conversation.

    Raises
    ------
    InvalidInput : a line is damaged, and the field is ``line 17`` or ``conversation 17``; or the body as a whole
    EntryTooLarge, RequestTooLarge : a message, or a conversation's metadata, cannot be stored
    RequestTooLarge : there are more lines, or conversations, than one request may have
    """
    parser = _Parser(options)
    try:
        for number, item in enumerate(read_file(BytesIO(body), MAX_UNPACKED_BYTES), start=1):
            if number > MAX_LINES:
                detail = f"The body has more than the {MAX_LINES} lines that one request brings. Send it in parts."
                raise RequestTooLarge(detail)
            parser.take(item)
        return parser.finish()
    except FileTooLarge as error:
        raise RequestTooLarge(f"The body cannot be imported: {error}.", field="body") from None
    except UnreadableFile as error:
        raise InvalidInput("INVALID_FORMAT", f"The body cannot be read: {error}.", field="body") from None
    except _OwnersMissing as missing:
        raise missing.refusal from None


class _OwnersMissing(Exception):
    """A conversation needs owners that the request doesn't name: no fault of the file."""

    def __init__(self, refusal: InvalidInput) -> None:
        super().__init__()
        self.refusal = refusal


class _Parser:
    """Parses lines, and keeps the conversations of those so far, by the id that they have in the file."""

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self._owners: Owners | None = None
        self._chats: dict[str, tuple[dict[str, Any], list[IncomingMessage], Place]] = {}
        self._broken: list[BrokenConversation] = []
        self._broken_names: set[str] = set()
        self._last_name = ""
        self.conversations: dict[str, IncomingConversation] = {}

    def take(self, item: Line | Broken) -> None:
        """Take a line of the file, or what is broken in it. Raises AnnalsError, unless what is broken is skipped."""
        value = {} if isinstance(item, Broken) else item.value
        name = str(value.get("conversationId", ""))
        if name in self._broken_names:
            return
        try:
            with _naming(item.place):
                if isinstance(item, Broken):
                    raise InvalidInput("INVALID_FORMAT", f"{item.reason}.")
                self._parse(parse(item.text), item)
        except AnnalsError as refusal:
            if not self._options.skip_broken:
                raise
            self._skip(item.place, refusal, self._last_name if isinstance(item, Broken) and item.is_within else name)
        else:
            self._last_name = name
        if len(self.conversations) + len(self._chats) > MAX_CONVERSATIONS:
            detail = f"one request brings up to {MAX_CONVERSATIONS} conversations, and this is one more: send parts."
            raise _at(item.place, RequestTooLarge(detail))

    def finish(self) -> ParsedImport:
        """The conversations of all lines."""
        conversations = [*self.conversations.values(), *self._read_chats()]
        return ParsedImport([each.with_creation() for each in conversations], self._broken)

    def _skip(self, place: Place, refusal: AnnalsError, name: str) -> None:
        """Leave out the conversation of a name, and note why; without a name, what is in this place."""
        incoming = self.conversations.pop(name, None)
        conversation_id = incoming.conversation_id if incoming else None
        self._broken.append(BrokenConversation(place, refusal, conversation_id))
        if name:
            self._broken_names.add(name)

    def _parse(self, value: Any, item: Line) -> None:
        """Parse a line. Raises AnnalsError or ValidationError."""
        if (messages := read_line(value)) is not None:
            self._parse_chat(value, messages, item)
        elif value.get("type") == "conversation":
            self._parse_conversation(value, item.place)
        elif parsed := parse_line(value):
            self._add(parsed)
        else:
            raise InvalidInput("INVALID_FORMAT", "type must be conversation, message or run.")

    def _parse_conversation(self, value: dict[str, Any], place: Place) -> None:
        """Parse a conversation's line. One of another app has a name instead of an id, and no participants."""
        is_of_app = value.pop("source", None) is not None
        if is_of_app or not value.keys() & {"participants", "conversationType"}:
            owners = self._get_owners()
            value |= {"conversationType": owners.type, "participants": owners.participants}
        line = ConversationLine.model_validate(self._with_space(value))
        if line.conversation_id in self.conversations:
            raise InvalidInput("DUPLICATE_VALUES", f"conversation {line.conversation_id!r} was there before.")
        metadata_text(line.metadata)
        sealed_at = line.message_count if line.status == "sealed" else None
        new = line.to_new()
        if is_of_app:
            new = replace(new, conversation_id=self._derive_id(line.conversation_id))
        incoming = IncomingConversation(new, new.conversation_id or "", place, line.offset, sealed_at)
        self.conversations[line.conversation_id] = incoming

    def _with_space(self, value: dict[str, Any]) -> dict[str, Any]:
        """A conversation's line with the request's memory space, where a user's or an agent's names none."""
        space, participants = self._options.memory_space_id, value.get("participants")
        if space is None or not isinstance(participants, dict) or value.get("conversationType") != USER_AGENT:
            return value
        return {**value, "participants": {"memorySpaceId": space, **participants}}

    def _get_owners(self) -> Owners:
        if self._owners is None:
            try:
                self._owners = self._options.get_owners()
            except InvalidInput as refusal:
                raise _OwnersMissing(refusal) from None
        return self._owners

    def _derive_id(self, text: str) -> str:
        """The id of a conversation of the request's owners, derived from a text."""
        owners = self._get_owners()
        return f"conv-{derive_id(self._options.tenant, dump([owners.type, owners.participants, text]))}"

    def _add(self, line: ConversationLine | MessageLine | RedactedLine | RunLine) -> None:
        if isinstance(line, ConversationLine):
            return
        if line.conversation_id not in self.conversations:
            raise InvalidInput("INVALID_FORMAT", f"no line before this one is conversation {line.conversation_id!r}.")
        incoming = self.conversations[line.conversation_id]
        if isinstance(line, RunLine):
            incoming.runs.append(line.to_new())
        else:
            self._add_message(incoming, line)

    def _add_message(self, incoming: IncomingConversation, line: MessageLine | RedactedLine) -> None:
        if line.kind == "message":
            message = _to_incoming(line.stored_fields(), archived=line.status == "archived")
            incoming.add(replace(message, message_id=line.message_id))
        elif isinstance(line, MessageLine):
            incoming.preamble = NewRecord(PREAMBLE, dump({**line.stored_fields(), "role": "system"}).encode())
            require_size(incoming.preamble.body)

    def _parse_chat(self, value: dict[str, Any], messages: list[Any], item: Line) -> None:
        metadata = mask_all({name: part for name, part in value.items() if name not in CHAT_FIELDS})
        metadata_text(metadata)
        incoming = [_to_incoming(message.stored_fields()) for message in _parse_chat_messages(messages)]
        self._chats[item.text] = (metadata, incoming, item.place)

    def _read_chats(self) -> Iterator[IncomingConversation]:
        """The chats, with the request's owners."""
        for line, (metadata, messages, place) in self._chats.items():
            owners, conversation_id = self._get_owners(), self._derive_id(line)
            new = NewConversation(owners.type, owners.participants, metadata, conversation_id)
            yield IncomingConversation(new, conversation_id, place, messages=messages)


def _parse_chat_messages(messages: list[Any]) -> Iterator[NewMessage]:
    if not messages:
        raise InvalidInput("EMPTY_ARRAY", "messages must not be empty.")
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidInput("INVALID_FORMAT", f"messages[{position}] must be a JSON object.")
        try:
            yield NewMessage.model_validate(message)
        except ValidationError as error:
            errors = [{**each, "loc": ("messages", position, *each["loc"])} for each in error.errors()]
            raise from_validation(errors) from None


def _to_incoming(fields: dict[str, Any], *, archived: bool = False) -> IncomingMessage:
    record = new_message(fields)
    require_storable(record.body)
    return IncomingMessage(fields, record, archived)


@contextmanager
def _naming(place: Place) -> Iterator[None]:
    """Name the place in errors that are raised while it is parsed."""
    try:
        yield
    except ValidationError as error:
        raise _at(place, from_validation(error.errors())) from None
    except AnnalsError as error:
        raise _at(place, error) from None


def _at(place: Place, error: AnnalsError) -> AnnalsError:
    """An error of what is in a place of the file."""
    if isinstance(error, InvalidJson):
        error = InvalidInput("INVALID_FORMAT", error.detail)
    error.detail = place.before(error.detail)
    error.field = place.name
    return error
