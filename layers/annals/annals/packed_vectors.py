"""Vectors as they are stored: single-precision numbers, little-endian, in base64."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence

NUMBER_BYTES = 4


def pack(vector: Sequence[float]) -> str:
    """A vector as text. A number beyond single precision becomes infinite."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def unpack(text: str) -> tuple[float, ...]:
    """The vector of a text. Raises ValueError for what ``pack`` did not write."""
    try:
        data = b64decode(text, validate=True)
    except Error as error:
        raise ValueError(str(error)) from error
    numbers = array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def length_of(text: str) -> int:
    """How many numbers a packed vector holds."""
    return (len(text) // 4 * 3 - text.count("=")) // NUMBER_BYTES
