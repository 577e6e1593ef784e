"""JSON in: what is no JSON, or could not be given back exactly, is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from annals.errors import InvalidInput, InvalidJson

MAX_DEPTH = 64
MAX_DIGITS = 1000


def parse(text: str | bytes) -> Any:
    """Parse a JSON text strictly.

    Raises
    ------
    InvalidJson : it is not JSON as RFC 8259 has it (NaN, Infinity and lone surrogates are not)
    InvalidInput : INVALID_FORMAT where it nests deeper than 64 levels, or holds a fraction that no double can hold, or
        a whole number of more than 1000 digits
    """
    try:
        utf8 = text.encode() if isinstance(text, str) else text
        value = json.loads(utf8.decode(), parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, UnicodeError) as error:
        raise InvalidJson(f"The body is not JSON: {error}.") from None
    if b"\\ud" in utf8.lower():
        _refuse_lone_surrogates(value)
    if utf8.count(b"[") + utf8.count(b"{") > MAX_DEPTH:
        _demand_depth(value)
    return value


def dump(value: Any) -> str:
    """JSON text, compact, with every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sorted_text(value: Any) -> str:
    """JSON text that is the same for the same JSON, in whatever order its names are; ``1`` and ``1.0`` differ."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The body is not JSON: {name} is not a JSON value.")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidInput("INVALID_FORMAT", f"The number {digits[:40]} is too large to be given back exactly.")
    return number


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidInput("INVALID_FORMAT", f"A number has more than {MAX_DIGITS} digits.")
    return int(digits)


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        dump(value).encode()
    except UnicodeEncodeError:
        raise InvalidJson("The body is not JSON: a string holds half of a surrogate pair.") from None


def _demand_depth(value: Any, depth: int = 1) -> None:
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise _too_deep()
        for part in value.values() if isinstance(value, dict) else value:
            _demand_depth(part, depth + 1)


def _too_deep() -> InvalidInput:
    return InvalidInput("INVALID_FORMAT", f"The body nests deeper than {MAX_DEPTH} levels.")
