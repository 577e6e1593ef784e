"""Vectors in the embedded index, compared in two stages: first by two bits of each number, then exactly.

For the first stage each space has blocks with the codes of its vectors: which of their numbers are positive, and which
are large. That is a sixteenth of the vectors, so that a search reads and compares all of a space's codes in
milliseconds. The exact cosine is counted of those alone that look nearest. Few memories are all compared exactly.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import apsw
import numpy as np
from numpy.typing import NDArray

from annals.search.embedded.sql import Selection, Space, one_of, space_of

KINDS: tuple[Literal["own", "window"], ...] = ("own", "window")
BLOCK = 512
"""So many vectors a block holds at most."""
LARGE = 0.7
"""What counts as large, in standard deviations of a unit vector's numbers."""
RESCORED = 600
"""So many of each kind are compared exactly, at first; more where a filter lets few of them through."""
RESCORED_PER_HIT = 4
"""And at least so many for each that is to be found."""
ROUGH_FACTOR = 8
"""So many times as many are chosen by their signs alone before."""
GROWTH = 4
"""By how much more are compared exactly where too few of them pass the filters."""
CACHE_BYTES = 64_000_000
"""So much of what was read is kept, or the last of it where that alone is more."""
NEW_VERSION = "UPDATE space SET version = random() WHERE id = ?"

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
Vector32 = NDArray[np.float32]
Cosines = tuple[Rows, Vector32]
"""Memories, and the cosine of each."""


class BlockCache:
    """What a connection has read of the spaces' blocks, until these change. What was searched last stays longest."""

    def __init__(self) -> None:
        self._lists: OrderedDict[tuple[str, tuple[tuple[int, int], ...]], tuple[Rows, Codes]] = OrderedDict()

    def read(self, database: apsw.Connection, spaces: Sequence[Space], kind: str, width: int) -> tuple[Rows, Codes]:
        """The memories in the blocks of some spaces, and the codes of their vectors."""
        key = (kind, tuple((space.id, space.version) for space in spaces))
        blocks = self._lists.pop(key, None) or _read_blocks(database, [space.id for space in spaces], kind, width)
        self._lists[key] = blocks
        while len(self._lists) > 1 and sum(codes.nbytes for _, codes in self._lists.values()) > CACHE_BYTES:
            self._lists.popitem(last=False)
        return blocks


def _read_blocks(database: apsw.Connection, space_ids: Sequence[int], kind: str, width: int) -> tuple[Rows, Codes]:
    condition = one_of("space", space_ids)
    query = f"SELECT rows, codes FROM block WHERE of = ? AND {condition.sql}"  # noqa: S608
    blocks: list[Any] = database.execute(query, (kind, *condition.values)).fetchall()
    rows = np.frombuffer(b"".join(packed for packed, _ in blocks), np.int64)
    codes = np.frombuffer(b"".join(bits for _, bits in blocks), np.uint64).reshape(-1, width)
    return rows, np.asfortranarray(codes)  # they are compared column by column


def add(database: apsw.Connection, kind: str, vectors: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Put vectors into the blocks of their memories' spaces; memories come in the order of their numbers."""
    by_space: dict[int, list[tuple[int, Sequence[float]]]] = defaultdict(list)
    for row, vector in vectors:
        by_space[space_of(row)].append((row, vector))
    for space_id, added in by_space.items():
        rows = np.array([row for row, _ in added], np.int64)
        codes = _encode(np.array([vector for _, vector in added], np.float32))
        _append(database, space_id, kind, rows, codes)
        database.execute(NEW_VERSION, (space_id,))


def remove(database: apsw.Connection, rows: Sequence[int]) -> None:
    """Take the vectors of memories out of the blocks."""
    by_space: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_space[space_of(row)].append(row)
    for space_id, removed in by_space.items():
        database.execute(NEW_VERSION, (space_id,))
        query = "SELECT id, rows, codes FROM block WHERE space = ? AND last >= ? AND first <= ?"
        blocks: list[Any] = database.execute(query, (space_id, min(removed), max(removed))).fetchall()
        for block, packed, bits in blocks:
            stored = np.frombuffer(packed, np.int64)
            stays = ~np.isin(stored, removed)
            if not stays.any():
                database.execute("DELETE FROM block WHERE id = ?", (block,))
            elif not stays.all():
                codes = np.frombuffer(bits, np.uint64).reshape(len(stored), -1)[stays]
                change = (stored[stays].tobytes(), codes.tobytes(), block)
                database.execute("UPDATE block SET rows = ?, codes = ? WHERE id = ?", change)


def find_nearest(
    database: apsw.Connection, cache: BlockCache, selection: Selection, vector: Sequence[float], depth: int
) -> dict[str, dict[int, float]]:
    """The nearest memories by own text and by window, with their cosines, nearest first.

    More and more are compared exactly, until enough of them pass the filters, or all have been compared.
    """
    query = np.array(vector, np.float32)
    code = _encode(query[None])
    lists = [_read_selected(database, cache, selection, kind, code) for kind in KINDS]
    compared = max(RESCORED, RESCORED_PER_HIT * depth)
    while True:
        candidates = [_choose_candidates(rows, codes, code, compared) for rows, codes in lists]
        cosines = _cosines(database, selection, np.union1d(*candidates), query)
        passed = [int(np.isin(rows, cosines[kind][0]).sum()) for kind, rows in zip(KINDS, candidates, strict=True)]
        if min(passed) >= depth or compared >= max(len(rows) for rows, _ in lists):
            return {kind: _best(*cosines[kind], depth) for kind in KINDS}
        compared *= GROWTH


def _encode(vectors: Vector32) -> Codes:
    """Two bits of each number, first all signs and then which are large, each filled up to whole numbers of 64 bits."""
    is_large = np.abs(vectors) > LARGE / np.sqrt(vectors.shape[1])
    planes = [np.packbits(plane, axis=1) for plane in (vectors > 0, is_large)]
    return np.hstack([np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64) for bits in planes])


def _append(database: apsw.Connection, space_id: int, kind: str, rows: Rows, codes: Codes) -> None:
    """Write blocks of a space; where its last one isn't full, that is written anew with them."""
    query = "SELECT id, rows, codes FROM block WHERE space = ? AND of = ? ORDER BY last DESC LIMIT 1"
    last: list[Any] = database.execute(query, (space_id, kind)).fetchall()
    for block, packed, bits in last:
        if len(packed) < BLOCK * rows.itemsize:
            database.execute("DELETE FROM block WHERE id = ?", (block,))
            rows = np.concatenate([np.frombuffer(packed, np.int64), rows])
            codes = np.concatenate([np.frombuffer(bits, np.uint64).reshape(-1, codes.shape[1]), codes])
    for start in range(0, len(rows), BLOCK):
        block_rows, block_codes = rows[start : start + BLOCK], codes[start : start + BLOCK]
        first, last_row = int(block_rows[0]), int(block_rows[-1])
        database.execute(
            "INSERT INTO block (space, of, first, last, rows, codes) VALUES (?, ?, ?, ?, ?, ?)",
            (space_id, kind, first, last_row, block_rows.tobytes(), block_codes.tobytes()),
        )


def _read_selected(
    database: apsw.Connection, cache: BlockCache, selection: Selection, kind: str, code: Codes
) -> tuple[Rows, Codes]:
    """The selected memories, once for each vector, and the vectors' codes."""
    rows, codes = cache.read(database, selection.spaces, kind, code.shape[1])
    if selection.rows is None:
        return rows, codes
    is_selected = np.isin(rows, np.array(selection.rows, np.int64))
    return rows[is_selected], codes[is_selected]


def _choose_candidates(rows: Rows, codes: Codes, code: Codes, count: int) -> Rows:
    """The memories of at least so many vectors that look nearest: by their signs, and of these by the whole code."""
    if count >= len(rows):
        return np.unique(rows)
    signs = code.shape[1] // 2
    rough = _least(_differences(codes[:, :signs], code[:, :signs]), ROUGH_FACTOR * count)
    nearest = _least(_differences(_levels(codes[rough]), _levels(code)), count)
    return np.unique(rows[rough[nearest]])


def _levels(codes: Codes) -> Codes:
    """Which numbers are above each of three levels, so that more bits differ the farther two numbers are apart."""
    signs, large = np.split(codes, 2, axis=1)
    return np.hstack([signs | ~large, signs, signs & large])


def _differences(codes: Codes, code: Codes) -> NDArray[np.uint16]:
    """How many bits differ."""
    counts = np.zeros(len(codes), np.uint16)
    for column, bits in enumerate(code[0]):
        counts += np.bitwise_count(codes[:, column] ^ bits)
    return counts


def _least(distances: NDArray[np.uint16], count: int) -> NDArray[np.intp]:
    """The indexes of at least so many of the least distances; all of equal ones."""
    furthest = np.searchsorted(np.cumsum(np.bincount(distances)), count)
    return np.flatnonzero(distances <= furthest)


def _cosines(database: apsw.Connection, selection: Selection, rows: Rows, query: Vector32) -> dict[str, Cosines]:
    """The cosines of those that pass the filters, by own text and by window."""
    statement = f"""
        SELECT vectors.id, own, win FROM vectors CROSS JOIN memory ON memory.id = vectors.id
        WHERE vectors.id IN (SELECT value FROM json_each(?)) AND {selection.condition.sql}
    """  # noqa: S608
    values = (json.dumps(rows.tolist()), *selection.condition.values)
    stored: list[Any] = database.execute(statement, values).fetchall()
    ids, own, window = zip(*stored, strict=True) if stored else ((), (), ())
    passed = np.array(ids, np.int64)
    return {"own": _compare(passed, own, query), "window": _compare(passed, window, query)}


def _compare(rows: Rows, packed: Sequence[bytes], query: Vector32) -> Cosines:
    """The memories that have vectors, and their cosines; of several vectors the nearest counts."""
    counts = np.array([len(vectors) for vectors in packed], np.int64) // query.nbytes
    has_vectors = counts > 0
    if not has_vectors.any():
        return rows[:0], query[:0]
    joined = np.frombuffer(b"".join(packed), np.float32).reshape(-1, len(query))
    starts = (np.cumsum(counts) - counts)[has_vectors]
    return rows[has_vectors], np.maximum.reduceat(joined @ query, starts)


def _best(rows: Rows, cosines: Vector32, depth: int) -> dict[int, float]:
    order = np.argsort(-cosines, kind="stable")[:depth]
    return dict(zip(rows[order].tolist(), cosines[order].tolist(), strict=True))
