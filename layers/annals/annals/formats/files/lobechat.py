"""LobeChat's export of all data: tables of sessions, topics and messages, which are brought together by topic.

The messages wait in a file of their own until all are read, so that an export may be of any size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..messages import to_annals
from .conversation import AppConversation, dump
from .values import file_part, get_label, get_object, get_objects, get_text, image_part, without_blanks

APP = "lobechat"

TABLES = {"sessions", "topics", "messages", "messagePlugins"}
"""The tables that are read of an export."""

INBOX = "inbox"
"""The session of messages that are in none."""

ROLES = {"user", "assistant", "system", "tool"}


def tables_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The tables of an export; None if this is none."""
    for name in ("state", "data"):
        tables = value.get(name)
        if isinstance(tables, Mapping) and isinstance(tables.get("messages"), list):
            return tables
    return None


class Tables:
    """The tables of an export while they are read. ``conversations`` gives what they hold, topic by topic."""

    def __init__(self) -> None:
        import sqlite3

        self._titles: dict[tuple[str, str], str] = {}
        self._plugins: dict[str, Mapping[str, Any]] = {}
        self._rows = sqlite3.connect("")
        self._rows.execute(
            "CREATE TABLE rows (session TEXT, topic TEXT, thread TEXT, at TEXT, place INTEGER, row TEXT)"
        )
        self._count = 0

    def close(self) -> None:
        """Drop what waits."""
        self._rows.close()

    def add(self, table: str, row: Any) -> None:
        """Add a row of a table."""
        if not isinstance(row, Mapping):
            return
        if table == "messages":
            key = [get_text(row, name) for name in ("sessionId", "topicId", "threadId")]
            self._count += 1
            at = row.get("createdAt")
            at_text = f"{at:020.3f}" if isinstance(at, (int, float)) and not isinstance(at, bool) else str(at or "")
            self._rows.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", [*key, at_text, self._count, dump(row)])
        elif table == "messagePlugins":
            self._plugins[get_text(row, "id")] = row
        elif table in ("sessions", "topics"):
            title = get_label(row, "title") or get_label(row.get("meta"), "title")
            self._titles[table, get_text(row, "id")] = title

    def conversations(self) -> Iterator[AppConversation]:
        """The conversations, in the order in which they began."""
        keys = "SELECT session, topic, thread FROM rows GROUP BY session, topic, thread ORDER BY min(at), min(place)"
        for session, topic, thread in self._rows.execute(keys).fetchall():
            query = "SELECT row FROM rows WHERE session = ? AND topic = ? AND thread = ? ORDER BY at, place"
            rows = [json.loads(row) for (row,) in self._rows.execute(query, (session, topic, thread))]
            source_id = ":".join([session or INBOX, topic or "default", *([thread] if thread else [])])
            yield AppConversation(
                APP,
                source_id,
                [message for row in rows if (message := self._read_message(row))],
                self._titles.get(("topics", topic)) or self._titles.get(("sessions", session)) or "",
                next((row["createdAt"] for row in rows if row.get("createdAt")), None),
            )

    def _read_message(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        role, id_ = get_text(row, "role"), get_text(row, "id")
        message: dict[str, Any] = {"role": role if role in ROLES else "assistant"}
        parts = [part for part in _parts(row, get_text(row, "content")) if part]
        content: Any = get_text(row, "content") if all(part["type"] == "text" for part in parts) else parts
        fields: dict[str, Any] = {}
        if calls := [_call(call) for call in get_objects(row, "tools")]:
            fields["tool_calls"] = calls
        if role == "tool":
            plugin = {**self._plugins.get(id_, {}), **get_object(row, "plugin")}
            fields["tool_call_id"] = get_text(row, "tool_call_id") or get_text(plugin, "toolCallId") or id_
            message |= without_blanks({"name": get_label(plugin, "apiName", "identifier")})
        if thinking := get_text(row.get("reasoning"), "content"):
            fields["reasoning_content"] = thinking
        error = get_label(row.get("error"), "message", "type")
        if not content and not fields and not error:
            return None
        message |= {**fields, "content": content or (error if not fields else "")}
        kept = {"model": get_label(row, "model", "fromModel") or get_label(row.get("extra"), "fromModel")}
        return {
            **to_annals(message),
            "timestamp": row.get("createdAt"),
            "externalId": id_,
            **({"metadata": kept} if kept["model"] else {}),
            **({"status": "incomplete"} if error else {}),
        }


def _parts(row: Mapping[str, Any], text: str) -> Iterator[dict[str, Any]]:
    if text:
        yield {"type": "text", "text": text}
    for image in get_objects(row, "imageList"):
        yield image_part(get_text(image, "url"), get_label(image, "alt", "id"))
    for file in get_objects(row, "fileList"):
        yield file_part(get_label(file, "name"), get_label(file, "id"), get_label(file, "fileType"))
    for name in row["files"] if isinstance(row.get("files"), list) else ():
        if isinstance(name, str):
            yield file_part("", name[:256])


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    name = get_label(call, "apiName", "identifier")
    function = {"name": name, "arguments": get_text(call, "arguments") or "{}"}
    return {"id": get_label(call, "id"), "type": "function", "function": function}
