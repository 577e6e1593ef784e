"""The lines of an import: an exported ``jsonl`` file, or one conversation of OpenAI's per line.

All of them are read and checked before anything is stored.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from annals import csv_text
from annals.api.fields import ConversationId, MaskedJson, MessageId, Model, Time, Word
from annals.api.problems import from_validation
from annals.conversations.create import NewConversation
from annals.conversations.derived_ids import derive_id
from annals.conversations.formats import COLUMNS, JSON_COLUMNS
from annals.conversations.genesis import USER_AGENT
from annals.conversations.heads import metadata_text
from annals.conversations.message_models import NewMessage
from annals.conversations.models import ConversationType, Participants
from annals.conversations.openai_chat import from_openai
from annals.errors import AnnalsError, InvalidInput, InvalidJson, RequestTooLarge
from annals.json_text import dump, parse
from annals.ledger.append import NewRecord
from annals.ledger.entry import PREAMBLE
from annals.ledger.entry_items import require_size
from annals.ledger.messages import HIDDEN_STATUSES, new_message
from annals.privacy.masking import mask_all
from annals.times import to_rfc3339

MAX_LINES = 100_000
MAX_CONVERSATIONS = 5_000
"""How many lines, and how many conversations, one request may bring."""

CSV_BEGIN = "conversationId,kind,messageId,"
"""How an exported CSV file begins."""

OWNER_PARAMS = ("type", "memorySpaceId", "userId", "agentId", "participantId", "agent1", "agent2")
"""The query parameters that say whose the conversations of OpenAI's format are."""

LINE_FIELDS = {"type", "conversationId", "messageId", "seq", "kind", "status"}
"""The fields of a message's line that are no part of what is stored of it."""


class ConversationLine(Model):
    """A conversation. ``offset`` says how many of its messages came in earlier parts of the file.

    What an export says beside that follows from the ledger, and is not stored.
    """

    type: Literal["conversation"]
    conversation_type: ConversationType
    conversation_id: ConversationId
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0
    status: Literal["active", "sealed", "archived"] = "active"
    message_count: Annotated[int | None, Field(ge=0)] = None
    version: int | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    last_message_at: Time | None = None
    head_hash: Word | None = None


class MessageLine(NewMessage):
    """A message, or a preamble. Its id and seq are given anew."""

    type: Literal["message"]
    conversation_id: ConversationId
    message_id: MessageId | None = None
    seq: int | None = None
    kind: Literal["message", "preamble"] = "message"
    status: Literal["incomplete", "archived"] | None = None  # type: ignore[assignment] # an export says more

    def said(self) -> dict[str, Any]:
        """What is stored: all that the line says of the message itself."""
        said = {name: value for name, value in super().said().items() if name not in LINE_FIELDS}
        return {**said, "status": "incomplete"} if self.status == "incomplete" else said


class RedactedLine(Model):
    """A message that was withdrawn, or damaged, before it was exported: its place is kept."""

    type: Literal["message"]
    conversation_id: ConversationId
    message_id: MessageId | None = None
    seq: int | None = None
    kind: Literal["message", "preamble"] = "message"
    status: Literal["redacted", "damaged"]
    timestamp: Time | None = None

    def said(self) -> dict[str, Any]:
        """What is stored: that it was redacted, and when it was said."""
        at = {} if self.timestamp is None else {"timestamp": to_rfc3339(self.timestamp)}
        return {"status": "redacted", **at}


@dataclass(frozen=True)
class IncomingMessage:
    """A message that an import brings, and the record that would hold it."""

    said: Mapping[str, Any]
    record: NewRecord
    archived: bool = False


@dataclass
class IncomingConversation:
    """A conversation that an import brings, or a part of one behind its first ``offset`` messages."""

    new: NewConversation
    conversation_id: str
    offset: int = 0
    sealed_at: int | None = None
    messages: list[IncomingMessage] = field(default_factory=list)
    preamble: NewRecord | None = None

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


def parse_import(text: str, query: Mapping[str, str], tenant: str) -> list[IncomingConversation]:
    """The conversations of an import, in the order of their lines; those of OpenAI's format come last.

    A conversation of OpenAI's format is named for its line, so a line that is there twice is one conversation.

    Parameters
    ----------
    query : whose the conversations of OpenAI's format are, by the names of PARTICIPANTS
    tenant : where they are brought in

    Raises
    ------
    InvalidInput : a line is damaged; the field is ``line 17``
    EntryTooLarge, RequestTooLarge : a message, or a conversation's metadata, cannot be stored
    RequestTooLarge : there are more lines, or conversations, than one request may bring
    """
    if (count := text.count("\n") + 1) > MAX_LINES:
        raise RequestTooLarge(f"The body has {count} lines; one request brings up to {MAX_LINES}. Send it in parts.")
    lines = _Lines(query, tenant)
    text = text.removeprefix("\ufeff")
    if text.startswith(CSV_BEGIN):
        _take_csv(lines, text, query)
        return [*lines.found.values()]
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            with _named(number):
                lines.take(line.strip())
    return [*lines.found.values(), *lines.owned()]


def _take_csv(lines: _Lines, text: str, query: Mapping[str, str]) -> None:
    """Take the rows of an exported CSV file; whose its conversations are, only the query says."""
    kind, participants = _owners(query)
    rows = csv_text.rows(text)
    _, columns = next(rows)
    number = 1
    try:
        for number, cells in rows:
            with _named(number):
                lines.take_row(_said_in_row(columns, cells), kind, participants)
    except csv.Error as error:
        raise InvalidInput("INVALID_FORMAT", f"Behind line {number}: {error}.", field=f"line {number}") from None


def _said_in_row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """What a row says, as a line of JSON would; an empty cell says nothing."""
    if not set(columns) <= set(COLUMNS) or len(cells) != len(columns):
        raise InvalidInput("INVALID_FORMAT", f"a row must have the {len(columns)} cells of the export's columns.")
    row = dict(zip(columns, cells, strict=True))
    said: dict[str, Any] = {name: cell for name, cell in row.items() if cell and name != "seq"}
    said |= {name: parse(said[name]) for name in JSON_COLUMNS if name in said}
    if said.get("status") not in HIDDEN_STATUSES:
        said["content"] = row.get("content", "")
    return {"type": "message", **said}


class _Lines:
    """The conversations that were read so far, by id."""

    def __init__(self, query: Mapping[str, str], tenant: str) -> None:
        self._query = query
        self._tenant = tenant
        self._unowned: dict[str, tuple[dict[str, Any], list[IncomingMessage]]] = {}
        self.found: dict[str, IncomingConversation] = {}

    def take(self, line: str) -> None:
        """Read a line. Raises AnnalsError or ValidationError."""
        said = parse(line)
        if not isinstance(said, dict):
            raise InvalidInput("INVALID_FORMAT", "a line must be a JSON object.")
        if "type" not in said and "messages" in said:
            self._take_openai(said, line)
        elif said.get("type") == "conversation":
            self._take_conversation(ConversationLine.model_validate(said))
        elif said.get("type") == "message":
            self._take_any(said)
        else:
            raise InvalidInput("INVALID_FORMAT", "type must be conversation or message.")
        if len(self.found) + len(self._unowned) > MAX_CONVERSATIONS:
            detail = f"one request brings up to {MAX_CONVERSATIONS} conversations, and this is one more: send parts."
            raise RequestTooLarge(detail)

    def take_row(self, said: dict[str, Any], kind: str, participants: Mapping[str, str]) -> None:
        """Take a message of a CSV file; its conversation comes with the first one. Raises as ``take``."""
        conversation_id = said.get("conversationId", "")
        if conversation_id not in self.found:
            own = {"type": "conversation", "conversationType": kind, "participants": participants}
            self._take_conversation(ConversationLine.model_validate({**own, "conversationId": conversation_id}))
        self._take_any(said)

    def _take_any(self, said: dict[str, Any]) -> None:
        is_withdrawn = said.get("status") in HIDDEN_STATUSES
        self._take_message((RedactedLine if is_withdrawn else MessageLine).model_validate(said))

    def _take_conversation(self, line: ConversationLine) -> None:
        if line.conversation_id in self.found:
            raise InvalidInput("DUPLICATE_VALUES", f"conversation {line.conversation_id!r} was there before.")
        metadata_text(line.metadata)
        participants = line.participants.for_type(line.conversation_type)
        new = NewConversation(line.conversation_type, participants, line.metadata, line.conversation_id)
        sealed_at = line.message_count if line.status == "sealed" else None
        self.found[line.conversation_id] = IncomingConversation(new, line.conversation_id, line.offset, sealed_at)

    def _take_message(self, line: MessageLine | RedactedLine) -> None:
        if line.conversation_id not in self.found:
            raise InvalidInput("INVALID_FORMAT", f"no line before this one is conversation {line.conversation_id!r}.")
        brought = self.found[line.conversation_id]
        if line.kind == "message":
            brought.messages.append(_message(line.said(), archived=line.status == "archived"))
        elif isinstance(line, MessageLine):
            brought.preamble = NewRecord(PREAMBLE, dump({**line.said(), "role": "system"}).encode())
            require_size(brought.preamble.body)

    def _take_openai(self, said: dict[str, Any], line: str) -> None:
        metadata = mask_all({name: value for name, value in said.items() if name != "messages"})
        metadata_text(metadata)
        messages = [_message(message.said()) for message in _openai_messages(said["messages"])]
        self._unowned[line] = (metadata, messages)

    def owned(self) -> Iterator[IncomingConversation]:
        """The conversations of OpenAI's format, which are the query's owners'. Raises InvalidInput, ValidationError."""
        if not self._unowned:
            return
        kind, participants = _owners(self._query)
        for line, (metadata, messages) in self._unowned.items():
            conversation_id = f"conv-{derive_id(self._tenant, dump([kind, participants, line]))}"
            new = NewConversation(kind, participants, metadata, conversation_id)
            yield IncomingConversation(new, conversation_id, messages=messages)


def _owners(query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Whose the conversations of OpenAI's format are. Raises InvalidInput, which names the query parameter."""
    said = {name: value for name, value in query.items() if name != "type"}
    try:
        owners = _Owners.model_validate({"type": query.get("type", USER_AGENT), "participants": said})
        return owners.type, owners.participants.for_type(owners.type)
    except ValidationError as error:
        refusal = from_validation(error.errors())
    except InvalidInput as error:
        refusal = error
    refusal.field = (refusal.field or "").removeprefix("participants.")
    raise refusal


class _Owners(Model):
    """Whose the conversations of OpenAI's format are."""

    type: ConversationType
    participants: Participants


def _openai_messages(said: Any) -> Iterator[NewMessage]:
    if not isinstance(said, list):
        raise InvalidInput("INVALID_FORMAT", "messages must be a list.")
    if not said:
        raise InvalidInput("EMPTY_ARRAY", "messages must not be empty.")
    for place, message in enumerate(said):
        if not isinstance(message, dict):
            raise InvalidInput("INVALID_FORMAT", f"messages[{place}] must be a JSON object.")
        try:
            yield NewMessage.model_validate(from_openai(message))
        except ValidationError as error:
            named = [{**each, "loc": ("messages", place, *each["loc"])} for each in error.errors()]
            raise from_validation(named) from None


def _message(said: dict[str, Any], *, archived: bool = False) -> IncomingMessage:
    record = new_message(said)
    require_size(record.body)
    return IncomingMessage(said, record, archived)


@contextmanager
def _named(number: int) -> Iterator[None]:
    """Name the line in what is refused of it."""
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
