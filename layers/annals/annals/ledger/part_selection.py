"""Which values of messages are moved out of an entry that has no room for them, and references put in their places.

Large texts within ``parts`` go first, such as images in Base64, tool results and arguments; then what is longest, the
``content`` of a message with parts and of a tool's result among it, of which the beginning stays. Where many small
values add up, whole ``parts`` go. The ``content`` of any other message stays: it is what people and agents say, and is
refused where an entry has no room for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from annals.formats.references import Reference, is_reference, refer_to, references_in
from annals.json_text import FieldPath, dump
from annals.ledger.part_fields import CONTENT, PARTS, WHOLE_CONTENT

LARGE_BYTES = 64 * 1024
"""A text in parts that is larger goes out of any entry that has no room for all of it."""

LEAST_BYTES = 4 * 1024
"""What is smaller is never moved."""

BEGINNINGS = (64 * 1024, 16 * 1024, 4 * 1024)
"""How many bytes of a ``content`` stay in the entry, where the whole is moved: as many as there is room for."""

REFERENCE_BYTES = 450
"""The most that a reference takes in the place of a value."""

MAX_PARTS = 100
"""How many values of one entry may be moved, and how many uploads its messages may name."""


@dataclass(frozen=True)
class Candidate:
    """A value that can be moved: that of which body, where in it, and how many bytes of the entry that saves."""

    saved: int
    body: int
    path: FieldPath


@dataclass(frozen=True)
class MovedPart:
    """A value that was moved: of which body it was, the reference in its place, and its bytes."""

    body: int
    reference: Reference
    data: bytes


def move_out(bodies: Sequence[dict[str, Any]], excess: int) -> list[MovedPart] | None:
    """Move values out of messages' bodies, so that these take so many bytes less. The bodies are changed.

    Returns
    -------
    list of MovedPart or None
        What was moved; None where all that can be moved is not enough.
    """
    for beginning in BEGINNINGS:
        for candidates in (_by_text(bodies, beginning), _by_parts(bodies, beginning)):
            if chosen := _choose(candidates, excess):
                return [_move(bodies[each.body], each, beginning) for each in chosen]
    return None


def _choose(candidates: Sequence[Candidate], excess: int) -> Sequence[Candidate]:
    """The first candidates that are enough, and all other large ones among the parts; none where that is too many."""
    sums = accumulate(each.saved for each in candidates)
    needed = next((count for count, saved in enumerate(sums, start=1) if saved >= excess), None)
    if needed is None:
        return ()
    more = [each for each in candidates[needed:] if each.saved >= LARGE_BYTES and each.path[0] == PARTS]
    chosen = [*candidates[:needed], *more]
    return chosen if len(chosen) <= MAX_PARTS else ()


def _by_text(bodies: Sequence[Mapping[str, Any]], beginning: int) -> list[Candidate]:
    """The texts that can be moved, the longest first."""
    found = [
        Candidate(size - REFERENCE_BYTES, index, path)
        for index, body in enumerate(bodies)
        for size, path in _texts(body.get(PARTS), (PARTS,))
    ]
    return _sorted([*found, *_contents(bodies, beginning)])


def _by_parts(bodies: Sequence[Mapping[str, Any]], beginning: int) -> list[Candidate]:
    """All parts of a message as one value, the largest first; those that hold references stay."""
    sizes = [
        (0 if next(references_in(body.get(PARTS)), None) else _size(body.get(PARTS)), index)
        for index, body in enumerate(bodies)
    ]
    found = [Candidate(size - REFERENCE_BYTES, index, (PARTS,)) for size, index in sizes if size >= LEAST_BYTES]
    return _sorted([*found, *_contents(bodies, beginning)])


def _contents(bodies: Sequence[Mapping[str, Any]], beginning: int) -> Iterator[Candidate]:
    for index, body in enumerate(bodies):
        content, is_movable = body.get(CONTENT), body.get("role") == "tool" or body.get(PARTS) is not None
        if is_movable and isinstance(content, str) and WHOLE_CONTENT not in body and len(content) > beginning // 4:
            saved = _size(content) - _size(_beginning(content, beginning)) - REFERENCE_BYTES
            if saved >= LEAST_BYTES:
                yield Candidate(saved, index, (CONTENT,))


def _texts(value: Any, path: FieldPath) -> Iterator[tuple[int, FieldPath]]:
    """The texts in a JSON value that are worth being moved, each with its size as JSON."""
    if isinstance(value, str):
        if len(value) * 6 >= LEAST_BYTES and (size := _size(value)) >= LEAST_BYTES:
            yield size, path
    elif isinstance(value, dict | list) and not is_reference(value):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(part, (*path, name))


def _sorted(candidates: list[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: -each.saved)


def _move(body: dict[str, Any], candidate: Candidate, beginning: int) -> MovedPart:
    """Put a reference in the place of a value."""
    *within, name = candidate.path
    holder: Any = body
    for step in within:
        holder = holder[step]
    value = holder[name]
    if candidate.path == (CONTENT,):
        reference, data = Reference.of_text(value), value.encode()
        body[CONTENT], body[WHOLE_CONTENT] = _beginning(value, beginning), reference.to_json()
    else:
        reference, data = refer_to(value, holder if isinstance(holder, dict) else None)
        holder[name] = reference.to_json()
    return MovedPart(candidate.body, reference, data)


def _beginning(text: str, max_bytes: int) -> str:
    """The first characters of a text that take so many bytes."""
    return text.encode()[:max_bytes].decode(errors="ignore")


def _size(value: Any) -> int:
    return len(dump(value).encode())
