"""Reading an import: an exported ``jsonl`` or ``csv`` file, or one conversation of another program's format per line.

All of it is read and checked before anything is stored.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from annals import csv_text
from annals.api.problems import from_validation
from annals.conversations.create import NewConversation
from annals.conversations.formats import COLUMNS, JSON_COLUMNS
from annals.conversations.heads import metadata_text
from annals.conversations.import_models import ConversationLine, MessageLine, RedactedLine, parse_line
from annals.conversations.message_models import NewMessage
from annals.database.derived_ids import derive_id
from annals.errors import AnnalsError, InvalidInput, InvalidJson, RequestTooLarge
from annals.formats.lines import FIELDS as LINE_FIELDS
from annals.formats.lines import read_line
from annals.json_text import dump, parse
from annals.ledger.append import NewRecord
from annals.ledger.entry import PREAMBLE
from annals.ledger.entry_items import require_size
from annals.ledger.messages import HIDDEN_STATUSES, INCOMPLETE, SUPERSEDES, new_message
from annals.ledger.part_storing import require_storable
from annals.privacy.masking import mask_all

MAX_LINES = 100_000
"""How many lines one request may have."""

MAX_CONVERSATIONS = 5_000
"""How many conversations one request may import."""

CSV_BEGIN = "conversationId,kind,messageId,"
"""How an exported CSV file begins."""


@dataclass(frozen=True)
class Owners:
    """Whose conversations are that don't say it themselves: their type and participants."""

    type: str
    participants: Mapping[str, str]


GetOwners = Callable[[], Owners]
"""Called where a conversation doesn't say whose it is. Raises InvalidInput where the request doesn't say it either."""


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

    ``sealed_at`` is the number of messages at which the conversation was closed, if it was.
    """

    new: NewConversation
    conversation_id: str
    offset: int = 0
    sealed_at: int | None = None
    messages: list[IncomingMessage] = field(default_factory=list)
    preamble: NewRecord | None = None
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
        """Whether there is a preamble, an archive mark or a seal."""
        return self.preamble is not None or self.is_sealed or any(message.archived for message in self.messages)

    @property
    def is_sealed(self) -> bool:
        """Whether this is the end of a conversation that was closed."""
        return self.sealed_at == self.offset + len(self.messages)


def parse_import(text: str, get_owners: GetOwners, tenant: str) -> list[IncomingConversation]:
    """The conversations of an import, in the order of their lines; those of other programs come last.

    The id of a conversation of another program is derived from its line, so a line that is there twice is one
    conversation.

    Parameters
    ----------
    get_owners : whose the conversations of other programs, and those of a CSV file, are
    tenant : into which they are imported

    Raises
    ------
    InvalidInput : a line is damaged; the field is ``line 17``
    EntryTooLarge, RequestTooLarge : a message, or a conversation's metadata, cannot be stored
    RequestTooLarge : there are more lines, or conversations, than one request may have
    """
    if (count := text.count("\n") + 1) > MAX_LINES:
        raise RequestTooLarge(f"The body has {count} lines; one request brings up to {MAX_LINES}. Send it in parts.")
    parser = _Parser(get_owners, tenant)
    text = text.removeprefix("\ufeff")
    if text.startswith(CSV_BEGIN):
        _parse_csv(parser, text, get_owners())
        return [*parser.conversations.values()]
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            with _naming_line(number):
                parser.parse_json_line(line.strip())
    return [*parser.conversations.values(), *parser.chats()]


def _parse_csv(parser: _Parser, text: str, owners: Owners) -> None:
    """Parse the rows of an exported CSV file, which doesn't say whose its conversations are."""
    rows = csv_text.rows(text)
    _, columns = next(rows)
    number = 1
    try:
        for number, cells in rows:
            with _naming_line(number):
                parser.parse_row(_row_as_json(columns, cells), owners)
    except csv.Error as error:
        raise InvalidInput("INVALID_FORMAT", f"Behind line {number}: {error}.", field=f"line {number}") from None


def _row_as_json(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A row as a line of JSON would be; an empty cell is left out."""
    if not set(columns) <= set(COLUMNS) or len(cells) != len(columns):
        raise InvalidInput("INVALID_FORMAT", f"a row must have the {len(columns)} cells of the export's columns.")
    row = dict(zip(columns, cells, strict=True))
    values: dict[str, Any] = {name: cell for name, cell in row.items() if cell and name != "seq"}
    values |= {name: parse(values[name]) for name in JSON_COLUMNS if name in values}
    if values.get("status") not in HIDDEN_STATUSES:
        values["content"] = row.get("content", "")
    return {"type": "message", **values}


class _Parser:
    """Parses lines, and keeps the conversations of those so far, by id."""

    def __init__(self, get_owners: GetOwners, tenant: str) -> None:
        self._get_owners = get_owners
        self._tenant = tenant
        self._chats: dict[str, tuple[dict[str, Any], list[IncomingMessage]]] = {}
        self.conversations: dict[str, IncomingConversation] = {}

    def parse_json_line(self, line: str) -> None:
        """Parse a line. Raises AnnalsError or ValidationError."""
        value = parse(line)
        if not isinstance(value, dict):
            raise InvalidInput("INVALID_FORMAT", "a line must be a JSON object.")
        if (messages := read_line(value)) is not None:
            self._parse_chat(value, messages, line)
        elif parsed := parse_line(value):
            self._add(parsed)
        else:
            raise InvalidInput("INVALID_FORMAT", "type must be conversation or message.")
        if len(self.conversations) + len(self._chats) > MAX_CONVERSATIONS:
            detail = f"one request brings up to {MAX_CONVERSATIONS} conversations, and this is one more: send parts."
            raise RequestTooLarge(detail)

    def parse_row(self, values: dict[str, Any], owners: Owners) -> None:
        """Parse a message of a CSV file; its conversation comes with the first one. Raises as ``parse_json_line``."""
        conversation_id = values.get("conversationId", "")
        if conversation_id not in self.conversations:
            line = {
                "type": "conversation",
                "conversationType": owners.type,
                "participants": owners.participants,
                "conversationId": conversation_id,
            }
            self._add_conversation(ConversationLine.model_validate(line))
        if parsed := parse_line(values):
            self._add(parsed)

    def _add(self, line: ConversationLine | MessageLine | RedactedLine) -> None:
        if isinstance(line, ConversationLine):
            self._add_conversation(line)
        else:
            self._add_message(line)

    def _add_conversation(self, line: ConversationLine) -> None:
        if line.conversation_id in self.conversations:
            raise InvalidInput("DUPLICATE_VALUES", f"conversation {line.conversation_id!r} was there before.")
        metadata_text(line.metadata)
        sealed_at = line.message_count if line.status == "sealed" else None
        incoming = IncomingConversation(line.to_new(), line.conversation_id, line.offset, sealed_at)
        self.conversations[line.conversation_id] = incoming

    def _add_message(self, line: MessageLine | RedactedLine) -> None:
        if line.conversation_id not in self.conversations:
            raise InvalidInput("INVALID_FORMAT", f"no line before this one is conversation {line.conversation_id!r}.")
        incoming = self.conversations[line.conversation_id]
        if line.kind == "message":
            message = _to_incoming(line.stored_fields(), archived=line.status == "archived")
            incoming.add(replace(message, message_id=line.message_id))
        elif isinstance(line, MessageLine):
            incoming.preamble = NewRecord(PREAMBLE, dump({**line.stored_fields(), "role": "system"}).encode())
            require_size(incoming.preamble.body)

    def _parse_chat(self, value: dict[str, Any], messages: list[Any], line: str) -> None:
        metadata = mask_all({name: part for name, part in value.items() if name not in LINE_FIELDS})
        metadata_text(metadata)
        incoming = [_to_incoming(message.stored_fields()) for message in _parse_chat_messages(messages)]
        self._chats[line] = (metadata, incoming)

    def chats(self) -> Iterator[IncomingConversation]:
        """The conversations of other programs' formats, with the request's owners. Raises InvalidInput."""
        if not self._chats:
            return
        owners = self._get_owners()
        for line, (metadata, messages) in self._chats.items():
            conversation_id = f"conv-{derive_id(self._tenant, dump([owners.type, owners.participants, line]))}"
            new = NewConversation(owners.type, owners.participants, metadata, conversation_id)
            yield IncomingConversation(new, conversation_id, messages=messages)


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
def _naming_line(number: int) -> Iterator[None]:
    """Name the line in errors that are raised while it is parsed."""
    try:
        yield
    except ValidationError as error:
        raise _of_line(number, from_validation(error.errors())) from None
    except AnnalsError as error:
        raise _of_line(number, error) from None


def _of_line(number: int, error: AnnalsError) -> AnnalsError:
    if isinstance(error, InvalidJson):
        error = InvalidInput("INVALID_FORMAT", error.detail)
    error.detail = f"Line {number}: {error.detail}"
    error.field = f"line {number}"
    return error
