"""Reading a file of conversations: what it is shows in what it holds, and it comes as the lines that an import takes.

A file of JSON lines is read line by line, so that a damaged line is skipped alone. Any other JSON is read value by
value: the conversations of an array one after another, however many there are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import Any, BinaryIO, Union

from .. import csv_text
from ..agent_framework import is_message as is_agent_framework
from ..lines import FIELDS as CHAT_FIELDS
from ..lines import read_line
from ..messages import is_langchain_dump
from . import agent_framework, annals_json, chatgpt, claude, cortex, librechat, open_webui
from .conversation import AppConversation, Broken, BrokenConversation, Line, Place, digest, dump, to_line
from .json_reader import MAX_CHARS, BrokenJson, JsonReader, to_null
from .ledger_file import LedgerConversation, is_entry, is_header
from .lobechat import TABLES, Tables, tables_of
from .opening import UnreadableFile, open_texts

TAKEN = (
    "ChatGPT's and Claude's exports (zip or conversations.json), LibreChat's, Open WebUI's, LobeChat's and Cortex's "
    "JSON, ShareGPT, chats of OpenAI's, Anthropic's, Bedrock's or the AI SDK's shape, LangChain's messages, "
    "sessions, threads and histories of Microsoft Agent Framework, and "
    "Annals' own json, jsonl, csv and ledger"
)
"""What an import takes, in words."""

UNKNOWN = f"it is nothing that an import takes: {TAKEN}"

APPS = (chatgpt, claude, open_webui, librechat, agent_framework)
"""The apps whose conversations are one JSON object each, which is read as one of the app's."""

WITH_OWN_IDS = (annals_json, cortex)
"""The same of those whose conversations keep their ids."""

LISTS = ("conversations", "chats")
"""The names by which an object holds conversations."""

CSV_BEGIN = "conversationId,kind,messageId,"
"""How an exported CSV file begins."""

MAX_FIRST_CHUNKS = 8
"""How many chunks of a text are read to see whether its first line is JSON by itself."""

JSON_CELLS = ("parts", "metadata")
"""The columns of a CSV file that hold JSON."""

HIDDEN_STATUSES = ("redacted", "damaged")
"""The statuses of messages without content."""

Item = Union[Line, Broken]  # noqa: UP007 - Python 3.10 evaluates it


def read_file(file: BinaryIO, max_bytes: int | None = None) -> Iterator[Item]:
    """The lines of a file, and what is broken in it.

    Parameters
    ----------
    file : plain, gzip or zip, at its beginning; it can be gone back in
    max_bytes : how much it may hold, unpacked

    Raises
    ------
    UnreadableFile : it is damaged as a whole, or too large
    """
    reader = _Reader()
    for text in open_texts(file, max_bytes):
        yield from reader.read(text.chunks)


def chat_lines(line: Line) -> Iterator[Line]:
    """The lines of a chat that is too large to be one line; it is named by what it says. None where it is no chat."""
    messages = read_line(line.value)
    if messages is None:
        return
    name = f"chat-{digest(line.text)}"
    metadata = {field: value for field, value in line.value.items() if field not in CHAT_FIELDS}
    yield to_line(line.place, {"type": "conversation", "conversationId": name, "source": "chat", "metadata": metadata})
    for number, message in enumerate(messages, start=1):
        fields = message if isinstance(message, Mapping) else {"content": message}
        own = {"type": "message", "conversationId": name, **fields}
        yield to_line(line.place._replace(message=number), own)


def is_own_line(value: Mapping[str, Any]) -> bool:
    """Whether this is a line of Annals' own: a conversation, a message, or a run."""
    if value.get("type") == "run":
        return "runId" in value
    return value.get("type") in ("conversation", "message") and not value.keys() & {"data", "contents"}


def is_message(value: Any) -> bool:
    """Whether this is a message by itself, of whatever shape."""
    if not isinstance(value, Mapping) or is_own_line(value):
        return False
    if isinstance(value.get("role"), str) and value.keys() & {"content", "parts", "tool_calls", "function_call"}:
        return True
    return {"from", "value"} <= value.keys() or is_langchain_dump(value) or is_agent_framework(value)


def _is_chat(messages: Any) -> bool:
    return isinstance(messages, list) and bool(messages) and all(map(is_message, messages))


class _Reader:
    """Reads the texts of one file; conversations are counted through all of them."""

    def __init__(self) -> None:
        self._count = 0
        self._seen: dict[str, str] = {}

    def read(self, chunks: Iterator[str]) -> Iterator[Item]:
        """The lines of one text."""
        first = _first_line(chunks)
        chunks = chain([first], chunks)
        if first.startswith(CSV_BEGIN):
            yield from _read_csv(chunks)
        elif _is_lines(first):
            yield from self._read_lines(chunks)
        else:
            yield from self._read_values(JsonReader(chunks))

    def _read_lines(self, chunks: Iterator[str]) -> Iterator[Item]:
        ledger: LedgerConversation | None = None
        loose: list[Any] = []
        is_own = False
        for number, line in enumerate(_lines(chunks), start=1):
            place, text = Place(f"line {number}"), line.strip()
            if not text:
                continue
            try:
                value = json.loads(text, parse_constant=to_null)
            except (ValueError, RecursionError) as error:
                yield Broken(place, f"it is not JSON: {error}", is_within=is_own)
                continue
            is_object = isinstance(value, dict)
            is_own = is_object and is_own_line(value)
            if is_object and is_header(value):
                yield from _end(ledger)
                ledger = LedgerConversation(value, place)
            elif is_object and ledger and is_entry(value):
                ledger.add(value, place)
            elif is_message(value):
                loose.append(value)
            else:
                yield from self._convert(value, place, text)
        yield from _end(ledger)
        if loose:
            yield _chat(loose, self._next_place())

    def _read_values(self, reader: JsonReader) -> Iterator[Item]:
        try:
            while begin := reader.peek():
                if begin == "[":
                    if messages := (yield from self._read_array(reader)):
                        yield _chat(messages, self._next_place())
                elif begin == "{":
                    yield from self._read_object(reader)
                else:
                    yield Broken(self._next_place(), UNKNOWN, is_end=True)
                    return
        except BrokenJson as error:
            yield Broken(self._next_place(), str(error), is_end=True)

    def _read_array(self, reader: JsonReader) -> Generator[Item, None, list[Any]]:
        """The lines of an array's conversations. Where it holds the messages of one, these are returned."""
        messages: list[Any] = []
        for _ in reader.elements():
            value = reader.value()
            if is_message(value):
                messages.append(value)
            else:
                yield from self._convert(value, self._next_place())
        return messages

    def _read_object(self, reader: JsonReader) -> Iterator[Item]:
        """An object: a conversation, or what holds conversations. Only of one that is large, parts are read apart."""
        if small := reader.small_value():
            yield from self._convert(small[0], self._next_place)
            return
        value: dict[str, Any] = {}
        with closing(Tables()) as tables:
            is_apart = False
            for name in reader.members():
                begin = reader.peek()
                if name in LISTS and begin == "[":
                    value[name] = yield from self._read_array(reader)
                    is_apart = not value[name]
                elif name in ("state", "data") and begin == "{":
                    is_apart = _read_tables(reader, tables, value.setdefault(name, {})) or is_apart
                else:
                    value[name] = reader.value()
            yield from self._of_tables(tables)
        if not is_apart:
            yield from self._convert(value, self._next_place)

    def _convert(self, value: Any, place: Any, text: str | None = None) -> Iterator[Item]:
        """The lines of a value: a line of Annals' own or a chat as it is, a conversation of an app in lines.

        Parameters
        ----------
        place : where it is, or what gives that where it is one conversation
        """
        if isinstance(value, Mapping) and (tables := tables_of(value)) is not None:
            yield from self._convert_tables(tables)
        elif (within := _conversations_in(value)) is not None:
            for each in within:
                yield from self._convert(each, self._next_place)
        else:
            yield from self._convert_one(value, place() if callable(place) else place, text)

    def _convert_one(self, value: Any, place: Place, text: str | None) -> Iterator[Item]:
        """The lines of one conversation, or of a line of Annals' own."""
        if not isinstance(value, Mapping):
            yield Broken(place, "it is no JSON object") if not _is_chat(value) else _chat(value, place)
        elif is_own_line(value):
            yield Line(place, value, text or dump(value))
        elif app := next((app for app in APPS if app.is_conversation(value)), None):
            yield from self._read_app(app.read(value), place)
        elif known := next((known for known in WITH_OWN_IDS if known.is_conversation(value)), None):
            yield from known.lines(value, place)
        elif isinstance(value.get("items"), list) and _is_chat(value["items"]):
            others = {name: each for name, each in value.items() if name != "items"}
            yield to_line(place, {"conversations": value["items"], **others})
        elif "type" not in value and value.keys() & {"messages", "conversations"}:
            yield Line(place, value, text or dump(value))
        else:
            yield Broken(place, UNKNOWN)

    def _read_app(self, conversation: AppConversation, place: Place) -> Iterator[Item]:
        """The lines of an app's conversation, once: one that comes again is broken."""
        before = self._seen.setdefault(conversation.name, place.name)
        if before != place.name:
            yield Broken(place._replace(title=conversation.title), f"it was there before, as {before}")
        else:
            yield from conversation.lines(place)

    def _convert_tables(self, tables: Mapping[str, Any]) -> Iterator[Item]:
        with closing(Tables()) as read:
            for name in TABLES & tables.keys():
                for row in tables[name] if isinstance(tables[name], list) else ():
                    read.add(name, row)
            yield from self._of_tables(read)

    def _of_tables(self, tables: Tables) -> Iterator[Item]:
        for conversation in tables.conversations():
            yield from self._read_app(conversation, self._next_place())

    def _next_place(self) -> Place:
        self._count += 1
        return Place(f"conversation {self._count}")


def _conversations_in(value: Any) -> list[Any] | None:
    """The conversations that a list, or an object around one, holds; None where the value is one itself."""
    if isinstance(value, list):
        has_objects = any(isinstance(each, (Mapping, list)) for each in value)
        return value if not value or (has_objects and not _is_chat(value)) else None
    if not isinstance(value, Mapping):
        return None
    if cortex.is_file(value):
        try:
            return _conversations_in(json.loads(value["data"]))
        except (ValueError, RecursionError):
            return None
    return next((value[name] for name in LISTS if _holds_conversations(value.get(name))), None)


def _holds_conversations(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, Mapping) and _is_conversation(each) for each in value)


def _is_conversation(value: Mapping[str, Any]) -> bool:
    is_known = any(each.is_conversation(value) for each in (*APPS, *WITH_OWN_IDS))
    return is_known or isinstance(value.get("messages"), list)


def _chat(messages: list[Any], place: Place) -> Line:
    """A line for the messages of one conversation."""
    name = "conversations" if all("value" in each for each in messages) else "messages"
    return to_line(place, {name: messages})


def _end(ledger: LedgerConversation | None) -> Iterator[Item]:
    """The lines of a conversation of a ledger that has been read."""
    if ledger is None:
        return
    try:
        yield from ledger.lines()
    except BrokenConversation as error:
        yield Broken(ledger.place, str(error))


def _read_tables(reader: JsonReader, tables: Tables, others: dict[str, Any]) -> bool:
    """Read the tables of LobeChat's export, if that is what an object is; what else it holds goes into ``others``."""
    is_found = False
    for name in reader.members():
        if name in TABLES and reader.peek() == "[":
            is_found = is_found or name == "messages"
            for _ in reader.elements():
                tables.add(name, reader.value())
        else:
            others[name] = reader.value()
    return is_found


def _read_csv(chunks: Iterator[str]) -> Iterator[Item]:
    """The rows of an exported CSV file as lines; a conversation's own line comes with its first row."""
    rows = csv_text.rows(_lines(chunks))
    seen: set[str] = set()
    number = 1
    try:
        _, columns = next(rows)
        for number, cells in rows:
            place = Place(f"line {number}")
            if len(cells) != len(columns):
                yield Broken(place, f"a row must have the {len(columns)} cells of its columns", is_within=True)
                continue
            try:
                line = _row_as_line(dict(zip(columns, cells, strict=True)))
            except (ValueError, RecursionError) as error:
                yield Broken(place, f"a cell is not JSON: {error}", is_within=True)
                continue
            name = str(line.get("conversationId", ""))
            if name not in seen:
                seen.add(name)
                yield to_line(place, {"type": "conversation", "conversationId": name})
            yield to_line(place, line)
    except csv.Error as error:
        yield Broken(Place(f"line {number}"), f"behind it, the file is no CSV: {error}", is_end=True)


def _row_as_line(row: Mapping[str, str]) -> dict[str, Any]:
    """A row as a message's line; an empty cell is left out."""
    values: dict[str, Any] = {name: cell for name, cell in row.items() if cell and name != "seq"}
    values.update({name: json.loads(values[name]) for name in JSON_CELLS if name in values})
    if values.get("status") not in HIDDEN_STATUSES:
        values["content"] = row.get("content", "")
    return {"type": "message", **values}


def _first_line(chunks: Iterator[str]) -> str:
    """The beginning of a text: as much as its first line has, up to what a request may carry."""
    text = next(chunks, "")
    for _ in range(MAX_FIRST_CHUNKS):
        line = text.lstrip()
        if not line.startswith("{") or "\n" in line or not (more := next(chunks, "")):
            break
        text += more
    return text


def _is_lines(first: str) -> bool:
    """Whether a text is JSON lines: its first line, or where that is damaged the second one, is JSON by itself."""
    line, _, rest = first.lstrip().partition("\n")
    if _is_json(line):
        return True
    return line.startswith("{") and rest.startswith("{") and _is_json(rest.partition("\n")[0])


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False


def _lines(chunks: Iterator[str]) -> Iterator[str]:
    """The lines of a text, each with its end. Raises UnreadableFile for one that is too long to be held."""
    pieces: list[str] = []
    held = 0
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for line in whole:
            yield "".join([*pieces, line, "\n"])
            pieces, held = [], 0
        pieces.append(rest)
        held += len(rest)
        if held > MAX_CHARS:
            raise UnreadableFile(f"a line has more than {MAX_CHARS} characters")
    if last := "".join(pieces):
        yield last
