"""How values of a graph's state are written as JSON, so that what grows is written once.

A value becomes a **cell**. What is small stands in it, as JSON (see ``packing``): ``["msgpack", "hello"]``. What is
larger stands beside it in **pieces**, each stored under its digest:

- a list, or a dict, is a sequence of cells. Its entries are gathered in leaves, the digests of leaves in nodes, those
  of nodes in others; a cell holds the end of each of these levels, what is not full yet. Where a leaf ends is decided
  by its own entries. So whoever appends an entry writes that entry, a leaf from time to time, and nothing else;
  whoever removes the first one writes a leaf or two.
- other bytes are one piece, or several where they are more than a request takes.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any
from zlib import crc32

from annals_client.integrations.langgraph.packing import Packing, unpack

INLINE_BYTES = 2048
"""Up to how many bytes a value stands in its cell."""

LEAF_BYTES, LEAF_BYTES_MIN = 8192, 2048
"""A leaf is full from the first of these; from the second on, an entry in four ends it."""

NODE_DIGESTS, NODE_DIGESTS_MIN = 64, 8
"""The same for a node, by its number of digests; from the second on, one in eight ends it."""

PART_BYTES = 750_000
"""The most bytes of a piece."""

MANY = 64
"""From how many entries on a list is a sequence, without a look at its bytes."""

MAX_DEPTH = 4
"""How deep sequences stand in each other; JSON takes 64 levels, of which each takes four."""

DIGEST_BYTES = 18

Cell = Any
"""A value as JSON."""

Piece = list[Any]
"""What is stored under a digest: serialised bytes, or entries of a sequence, or digests."""


class CellWriter:
    """Writes values as cells; ``pieces`` are what has to be stored before them."""

    def __init__(self, packing: Packing) -> None:
        self.pieces: dict[str, Piece] = {}
        self._packing = packing

    def write(self, value: Any, depth: int = 0) -> Cell:
        """The cell of a value."""
        is_sequence = type(value) in (list, dict) and depth < MAX_DEPTH
        if is_sequence and len(value) > MANY:
            return self._sequence(value, depth)
        kind, content = self._packing.dump(value)
        if len(content) <= INLINE_BYTES:
            return self._packing.pack(kind, content)
        return self._sequence(value, depth) if is_sequence else self._large(kind, content)

    def _large(self, kind: str, content: bytes) -> Cell:
        parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
        return {"type": kind, "parts": [self._seal(self._packing.pack("", part)) for part in parts]}

    def _sequence(self, value: list[Any] | dict[Any, Any], depth: int) -> Cell:
        if isinstance(value, dict):
            pairs = ([self.write(key, depth + 1), self.write(of, depth + 1)] for key, of in value.items())
            return {"dict": self._levels(pairs)}
        return {"list": self._levels(self.write(entry, depth + 1) for entry in value)}

    def _levels(self, entries: Iterable[Cell]) -> list[list[Any]]:
        levels: list[list[Any]] = [[]]
        size = 0
        for entry in entries:
            text = _text(entry)
            size += len(text)
            levels[0].append(entry)
            if size >= LEAF_BYTES or (size >= LEAF_BYTES_MIN and crc32(text) % 4 == 0):
                self._close(levels, 0)
                size = 0
        return levels

    def _close(self, levels: list[list[Any]], level: int) -> None:
        """Make a piece of the end of a level, and add its digest to the level above."""
        digest = self._seal(levels[level])
        levels[level] = []
        if level + 1 == len(levels):
            levels.append([])
        above = levels[level + 1]
        above.append(digest)
        count = len(above)
        if count >= NODE_DIGESTS or (count >= NODE_DIGESTS_MIN and crc32(digest.encode()) % 8 == 0):
            self._close(levels, level + 1)

    def _seal(self, piece: Piece) -> str:
        digest = urlsafe_b64encode(sha256(_text(piece)).digest()[:DIGEST_BYTES]).decode()
        self.pieces[digest] = piece
        return digest


Wanted = tuple[str, int]
"""A digest, and what its piece is: 0 for bytes, 1 for a leaf, more for a node, so many levels above the entries."""

BYTES, LEAF = 0, 1


def wanted_by_cell(cell: Cell) -> Iterator[Wanted]:
    """The pieces that a cell, or an entry of a sequence, names itself."""
    if isinstance(cell, list):
        if not isinstance(cell[0], str):  # an entry of a dict: two cells
            yield from _wanted_by_entries(cell)
        return
    for digest in cell.get("parts", ()):
        yield digest, BYTES
    for level, end in enumerate(_levels_of(cell)):
        yield from _wanted_by_entries(end) if level == 0 else ((digest, level) for digest in end)


def wanted_by_piece(piece: Piece, kind: int) -> Iterator[Wanted]:
    """The pieces that a piece names."""
    if kind == LEAF:
        yield from _wanted_by_entries(piece)
    elif kind > LEAF:
        yield from ((digest, kind - 1) for digest in piece)


def _wanted_by_entries(entries: Iterable[Cell]) -> Iterator[Wanted]:
    for entry in entries:
        yield from wanted_by_cell(entry)


def read_cell(cell: Cell, piece_of: Callable[[str], Piece], packing: Packing) -> Any:
    """The value of a cell whose pieces are all there."""
    if isinstance(cell, list):
        return packing.load(*unpack(cell))
    if "parts" in cell:
        return packing.load(cell["type"], b"".join(unpack(piece_of(digest))[1] for digest in cell["parts"]))
    entries = _entries(_levels_of(cell), piece_of)
    if "dict" in cell:
        return {read_cell(key, piece_of, packing): read_cell(of, piece_of, packing) for key, of in entries}
    return [read_cell(entry, piece_of, packing) for entry in entries]


def cell_size(value: Any) -> int:
    """How many bytes a cell or a piece takes as JSON."""
    return len(_text(value))


def _entries(levels: list[list[Any]], piece_of: Callable[[str], Piece]) -> Iterator[Any]:
    """The entries of a sequence. The oldest are those of the highest level."""
    for level in range(len(levels) - 1, 0, -1):
        for digest in levels[level]:
            yield from _entries_under(digest, level, piece_of)
    yield from levels[0]


def _entries_under(digest: str, level: int, piece_of: Callable[[str], Piece]) -> Iterator[Any]:
    for part in piece_of(digest):
        if level == LEAF:
            yield part
        else:
            yield from _entries_under(part, level - 1, piece_of)


def _levels_of(cell: Mapping[str, Any]) -> list[list[Any]]:
    levels: list[list[Any]] = cell.get("list") or cell.get("dict") or []
    return levels


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
