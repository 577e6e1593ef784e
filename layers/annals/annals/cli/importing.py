"""``annals import``: a file of any size, sent in parts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from annals.cli.files import CommandFailed, open_lines
from annals.cli.progress import byte_bar
from annals.cli.service import Refused, Service, post

PART_BYTES = 2_000_000
"""How much of a file one request takes: as much as is stored well before it times out."""

PART_CONVERSATIONS = 500


@dataclass
class Part:
    """The lines of one request, and which lines of the file they are."""

    lines: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    size: int = 0
    conversations: set[str] = field(default_factory=set)

    def add(self, line: bytes, number: int) -> None:
        self.lines.append(line)
        self.numbers.append(number)
        self.size += len(line) + 1

    def takes(self, line: bytes) -> bool:
        """Whether there is room for another line."""
        fits = self.size + len(line) < PART_BYTES and len(self.conversations) < PART_CONVERSATIONS
        return fits or not self.lines


@dataclass
class _Begun:
    """A conversation's own line, where it stands, and how many of its messages came so far."""

    said: dict[str, Any]
    number: int
    count: int

    def line(self) -> bytes:
        """The line with which a further part of the conversation begins."""
        return json.dumps({**self.said, "offset": self.count}, ensure_ascii=False).encode()


def run(service: Service, path: Path, owners: Mapping[str, str]) -> None:
    """Send the file and say what was stored. Raises CommandFailed."""
    found: dict[str, tuple[int, int]] = {}
    with open_lines(path) as file, service.client() as client, byte_bar("imported", file.size) as bar:
        for part in parts(file.lines()):
            for each in _send(client, part, owners):
                imported, skipped = found.get(each["conversationId"], (0, 0))
                found[each["conversationId"]] = (imported + each["imported"], skipped + each["skipped"])
            bar.update(file.position() - bar.n)
    imported, skipped = (sum(each[place] for each in found.values()) for place in (0, 1))
    sys.stdout.write(f"{len(found)} conversations: {imported} messages imported, {skipped} there before\n")


def parts(lines: Iterable[bytes]) -> Iterator[Part]:
    """The parts in which lines are sent: a conversation that goes on in another part is begun again there."""
    part = Part()
    begun: dict[str, _Begun] = {}
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line:
            continue
        if not part.takes(line):
            yield part
            part = Part()
        _place(part, line, number, begun)
    if part.lines:
        yield part


def _place(part: Part, line: bytes, number: int, begun: dict[str, _Begun]) -> None:
    """Add a line to a part, behind the line of its conversation."""
    said = _said(line, number)
    conversation_id = said.get("conversationId")
    if said.get("type") == "conversation" and isinstance(conversation_id, str):
        begun[conversation_id] = _Begun(said, number, said.get("offset", 0))
    elif said.get("type") == "message" and conversation_id in begun:
        own = begun[conversation_id]
        if conversation_id not in part.conversations:
            part.add(own.line(), own.number)
        own.count += said.get("kind", "message") == "message"
    part.conversations.add(str(conversation_id or number))
    part.add(line, number)


def _said(line: bytes, number: int) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"line {number} is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise CommandFailed(f"line {number} is no JSON object")
    return said


def _send(client: httpx.Client, part: Part, owners: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        answer = post(client, "/v1/conversations/import", b"\n".join(part.lines), owners)
    except Refused as refusal:
        raise CommandFailed(_in_file(refusal, part)) from None
    conversations: list[dict[str, Any]] = answer["conversations"]
    return conversations


def _in_file(refusal: Refused, part: Part) -> str:
    """What the service said, with the number that the line has in the file."""
    named = re.fullmatch(r"line ([0-9]+)", refusal.field or "")
    if not named:
        return str(refusal)
    number = part.numbers[int(named[1]) - 1]
    return re.sub(r"Line [0-9]+", f"Line {number}", str(refusal), count=1)
