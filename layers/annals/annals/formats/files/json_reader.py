"""JSON of any size, read value by value: an array's elements, or an object's members, without the whole in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

CHUNK = 1 << 20
"""How many characters are read at once, at least."""

MAX_CHARS = 256 << 20
"""How many characters one value may have that is held whole, such as a conversation."""

NEAR_END = 16
"""How close to the end of what was read an error is that more text may mend: longer than any word of JSON."""


SPACE = re.compile("[ \\t\\r\\n\ufeff]*")

NUMBER = "0123456789.eE+-"
"""The characters of numbers."""


def to_null(_name: str) -> None:
    """What NaN and Infinity are read as, which are no JSON, and which some programs write all the same."""


class BrokenJson(ValueError):
    """What was read is not JSON, or too large to be held; the message says why, and in which line."""


class JsonReader:
    """Reads values from a text that comes in chunks.

    ``elements`` and ``members`` stop before each value: whoever iterates over them reads it, with ``value`` or by
    iterating within it.
    """

    def __init__(self, chunks: Iterator[str], max_chars: int = MAX_CHARS) -> None:
        self._chunks = chunks
        self._max_chars = max_chars
        self._decode = json.JSONDecoder(parse_constant=to_null).raw_decode
        self._text = ""
        self._at = 0
        self._has_ended = False
        self._line = 1

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            match = SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def value(self) -> Any:
        """The next value. Raises BrokenJson."""
        self.peek()
        while True:
            found = self._find_value()
            if found is not None:
                return found[0]
            held = len(self._text) - self._at
            if held > self._max_chars:
                raise self._broken(f"a value has more than {self._max_chars} characters")
            for _ in range(max(1, held // CHUNK)):
                if not self._grow():
                    break

    def small_value(self) -> tuple[Any] | None:
        """The next value, if its end is near; None for a larger one, of which nothing is taken. Raises BrokenJson."""
        self.peek()
        if len(self._text) - self._at < CHUNK:
            self._grow()
        return self._find_value()

    def elements(self) -> Iterator[None]:
        """The elements of an array. Raises BrokenJson."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield
            if self._take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """The names of an object's members. Raises BrokenJson."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            if not isinstance(name := self.value(), str):
                raise self._broken("the name of a member is no text")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def _find_value(self) -> tuple[Any] | None:
        """The next value, or None where more has to be read for it."""
        try:
            value, end = self._decode(self._text, self._at)
        except json.JSONDecodeError as error:
            is_unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - NEAR_END
            if self._has_ended or not is_unfinished:
                line = self._line + self._text.count("\n", 0, error.pos)
                raise BrokenJson(f"it is not JSON: {error.msg} in line {line}") from None
            return None
        except RecursionError:
            raise self._broken("it nests too deeply") from None
        except ValueError as error:  # a number of too many digits
            raise self._broken(str(error)) from None
        # A number at the end of what was read may go on.
        if self._text[end - 1].isdigit() and not self._text[end:].strip(NUMBER) and not self._has_ended:
            return None
        self._at = end
        return (value,)

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            what = f"{found!r} stands" if found else "the file ends"
            raise self._broken(f"{what} where {' or '.join(expected)} should be")
        self._at += 1
        return found

    def _grow(self) -> bool:
        """Read a chunk more, and forget what was taken; False at the end."""
        chunk = next(self._chunks, "")
        self._has_ended = not chunk
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _broken(self, reason: str) -> BrokenJson:
        return BrokenJson(f"it is not JSON: {reason} in line {self._line + self._text.count(chr(10), 0, self._at)}")
