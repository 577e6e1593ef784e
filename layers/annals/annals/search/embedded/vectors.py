"""Vectors in the embedded index: a first look at two bits of each number, the exact cosine for what looks near.

For the first look each space has blocks with the signs of its vectors' numbers, with which of these are large, and with
the memories that they are of. Few memories are all compared exactly.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import apsw
import numpy as np
from numpy.typing import NDArray

from annals.search.embedded.sql import Chosen, Space, one_of, space_of

OF: tuple[Literal["own", "window"], ...] = ("own", "window")
BLOCK = 512
"""So many vectors a block holds at most."""
LARGE = 0.7
"""What counts as large, in standard deviations of a unit vector's numbers."""
RESCORED = 600
"""So many of each list are compared exactly, at first; more where a filter lets few of them through."""
RESCORED_FOR_EACH = 4
"""And at least so many for each that is wanted."""
ROUGHLY = 8
"""So many times as many are chosen by their signs alone before."""
MORE = 4
KEPT_BYTES = 64_000_000
"""So much of what was read is kept, or the last list where that alone is more."""
CHANGED = "UPDATE space SET version = random() WHERE id = ?"

Rows = NDArray[np.int64]
Codes = NDArray[np.uint64]
Cosines = tuple[Rows, NDArray[np.float32]]


class Blocks:
    """What a connection has read of the spaces' blocks, until these change. What was searched last stays longest."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[str, tuple[tuple[int, int], ...]], tuple[Rows, Codes]] = OrderedDict()

    def of(self, database: apsw.Connection, spaces: Sequence[Space], of: str, width: int) -> tuple[Rows, Codes]:
        """The memories in the blocks of some spaces, and the codes of their vectors."""
        key = (of, tuple((space.id, space.version) for space in spaces))
        found = self._read.pop(key, None) or _read(database, [space.id for space in spaces], of, width)
        self._read[key] = found
        while len(self._read) > 1 and sum(codes.nbytes for _, codes in self._read.values()) > KEPT_BYTES:
            self._read.popitem(last=False)
        return found


def _read(database: apsw.Connection, spaces: Sequence[int], of: str, width: int) -> tuple[Rows, Codes]:
    condition = one_of("space", spaces)
    query = f"SELECT rows, codes FROM block WHERE of = ? AND {condition.sql}"  # noqa: S608
    blocks: list[Any] = database.execute(query, (of, *condition.values)).fetchall()
    rows = np.frombuffer(b"".join(held for held, _ in blocks), np.int64)
    codes = np.frombuffer(b"".join(bits for _, bits in blocks), np.uint64).reshape(-1, width)
    return rows, np.asfortranarray(codes)  # they are compared column by column


def add(database: apsw.Connection, of: str, vectors: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Put vectors into the blocks of their memories' spaces; memories come in the order of their numbers."""
    by_space: dict[int, list[tuple[int, Sequence[float]]]] = defaultdict(list)
    for row, vector in vectors:
        by_space[space_of(row)].append((row, vector))
    for space, added in by_space.items():
        rows = np.array([row for row, _ in added], np.int64)
        codes = _codes(np.array([vector for _, vector in added], np.float32))
        _append(database, space, of, rows, codes)
        database.execute(CHANGED, (space,))


def remove(database: apsw.Connection, rows: Sequence[int]) -> None:
    """Take the vectors of memories out of the blocks."""
    by_space: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        by_space[space_of(row)].append(row)
    for space, gone in by_space.items():
        database.execute(CHANGED, (space,))
        query = "SELECT id, rows, codes FROM block WHERE space = ? AND last >= ? AND first <= ?"
        blocks: list[Any] = database.execute(query, (space, min(gone), max(gone))).fetchall()
        for block, packed, codes in blocks:
            held = np.frombuffer(packed, np.int64)
            kept = ~np.isin(held, gone)
            if not kept.any():
                database.execute("DELETE FROM block WHERE id = ?", (block,))
            elif not kept.all():
                left = np.frombuffer(codes, np.uint64).reshape(len(held), -1)[kept]
                change = (held[kept].tobytes(), left.tobytes(), block)
                database.execute("UPDATE block SET rows = ?, codes = ? WHERE id = ?", change)


def nearest(
    database: apsw.Connection, blocks: Blocks, chosen: Chosen, vector: Sequence[float], depth: int
) -> dict[str, dict[int, float]]:
    """The nearest memories by own text and by window, with their cosines, nearest first."""
    asked = np.array(vector, np.float32)
    code = _codes(asked[None])
    seen = [_seen(database, blocks, chosen, of, code) for of in OF]
    compared = max(RESCORED, RESCORED_FOR_EACH * depth)
    while True:
        near = [_near(rows, codes, code, compared) for rows, codes in seen]
        found = _cosines(database, chosen, np.union1d(*near), asked)
        passed = [int(np.isin(rows, found[of][0]).sum()) for of, rows in zip(OF, near, strict=True)]
        if min(passed) >= depth or compared >= max(len(rows) for rows, _ in seen):
            return {of: _best(*found[of], depth) for of in OF}
        compared *= MORE


def _codes(vectors: NDArray[np.float32]) -> Codes:
    """Two bits of each number, first all signs and then which are large, each filled up to whole numbers of 64 bits."""
    large = np.abs(vectors) > LARGE / np.sqrt(vectors.shape[1])
    planes = [np.packbits(plane, axis=1) for plane in (vectors > 0, large)]
    return np.hstack([np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64) for bits in planes])


def _append(database: apsw.Connection, space: int, of: str, rows: Rows, codes: Codes) -> None:
    query = "SELECT id, rows, codes FROM block WHERE space = ? AND of = ? ORDER BY last DESC LIMIT 1"
    blocks: list[Any] = database.execute(query, (space, of)).fetchall()
    for block, held, earlier in blocks:
        if len(held) < BLOCK * rows.itemsize:
            database.execute("DELETE FROM block WHERE id = ?", (block,))
            rows = np.concatenate([np.frombuffer(held, np.int64), rows])
            codes = np.concatenate([np.frombuffer(earlier, np.uint64).reshape(-1, codes.shape[1]), codes])
    for start in range(0, len(rows), BLOCK):
        part, bits = rows[start : start + BLOCK], codes[start : start + BLOCK]
        database.execute(
            "INSERT INTO block (space, of, first, last, rows, codes) VALUES (?, ?, ?, ?, ?, ?)",
            (space, of, int(part[0]), int(part[-1]), part.tobytes(), bits.tobytes()),
        )


def _seen(database: apsw.Connection, blocks: Blocks, chosen: Chosen, of: str, code: Codes) -> tuple[Rows, Codes]:
    """The memories of the chosen spaces, once for each vector, and the vectors' codes."""
    rows, codes = blocks.of(database, chosen.spaces, of, code.shape[1])
    if chosen.rows is None:
        return rows, codes
    passing = np.isin(rows, np.array(chosen.rows, np.int64))
    return rows[passing], codes[passing]


def _near(rows: Rows, codes: Codes, code: Codes, count: int) -> Rows:
    """The memories of at least so many vectors that look nearest: by their signs, and of these by the finer code."""
    if count >= len(rows):
        return np.unique(rows)
    signs = code.shape[1] // 2
    roughly = _least(_differences(codes[:, :signs], code[:, :signs]), ROUGHLY * count)
    nearer = _least(_differences(_levels(codes[roughly]), _levels(code)), count)
    return np.unique(rows[roughly[nearer]])


def _levels(codes: Codes) -> Codes:
    """Which numbers are above each of three levels, so that more bits differ the farther two numbers are apart."""
    signs, large = np.split(codes, 2, axis=1)
    return np.hstack([signs | ~large, signs, signs & large])


def _differences(codes: Codes, code: Codes) -> NDArray[np.uint16]:
    """How many bits differ."""
    found = np.zeros(len(codes), np.uint16)
    for place, bits in enumerate(code[0]):
        found += np.bitwise_count(codes[:, place] ^ bits)
    return found


def _least(distances: NDArray[np.uint16], count: int) -> NDArray[np.intp]:
    """The places of at least so many of the least."""
    furthest = np.searchsorted(np.cumsum(np.bincount(distances)), count)
    return np.flatnonzero(distances <= furthest)


def _cosines(database: apsw.Connection, chosen: Chosen, rows: Rows, asked: NDArray[np.float32]) -> dict[str, Cosines]:
    """The cosines of those that pass the filters, by own text and by window."""
    query = f"""
        SELECT vectors.id, own, win FROM vectors CROSS JOIN memory ON memory.id = vectors.id
        WHERE vectors.id IN (SELECT value FROM json_each(?)) AND {chosen.condition.sql}
    """  # noqa: S608
    found: list[Any] = database.execute(query, (json.dumps(rows.tolist()), *chosen.condition.values)).fetchall()
    passed, own, window = zip(*found, strict=True) if found else ((), (), ())
    passing = np.array(passed, np.int64)
    return {"own": _compared(passing, own, asked), "window": _compared(passing, window, asked)}


def _compared(rows: Rows, packed: Sequence[bytes], asked: NDArray[np.float32]) -> Cosines:
    """The memories that have vectors, and their cosines; of several vectors the nearest counts."""
    counts = np.array([len(vectors) for vectors in packed], np.int64) // asked.nbytes
    having = counts > 0
    if not having.any():
        return rows[:0], asked[:0]
    joined = np.frombuffer(b"".join(packed), np.float32).reshape(-1, len(asked))
    starts = (np.cumsum(counts) - counts)[having]
    return rows[having], np.maximum.reduceat(joined @ asked, starts)


def _best(rows: Rows, cosines: NDArray[np.float32], depth: int) -> dict[int, float]:
    order = np.argsort(-cosines, kind="stable")[:depth]
    return dict(zip(rows[order].tolist(), cosines[order].tolist(), strict=True))
