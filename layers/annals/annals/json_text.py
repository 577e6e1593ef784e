"""JSON in: what is no JSON, or could not be given back exactly, is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from annals.errors import InvalidInput, InvalidJson

MAX_DEPTH = 64


def parse(text: str | bytes) -> Any:
    """Parse a JSON text strictly.

    Raises
    ------
    InvalidJson : it is not JSON as RFC 8259 has it (NaN, Infinity and lone surrogates are not)
    InvalidInput : INVALID_FORMAT where it nests deeper than 64 levels, or holds a number that no double can hold
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(f"The body is not JSON: {error}.") from None
    escaped = text.encode() if isinstance(text, str) else text
    if b"\\ud" in escaped.lower():
        _refuse_lone_surrogates(value)
    if escaped.count(b"[") + escaped.count(b"{") > MAX_DEPTH:
        _demand_depth(value)
    return value


def dump(value: Any) -> str:
    """JSON text, compact, with every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The body is not JSON: {name} is not a JSON value.")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidInput("INVALID_FORMAT", f"The number {digits[:40]} is too large to be given back exactly.")
    return number


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        dump(value).encode()
    except UnicodeEncodeError:
        raise InvalidJson("The body is not JSON: a string holds half of a surrogate pair.") from None


def _demand_depth(value: Any, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _demand_depth(part, depth + 1)


def _too_deep() -> InvalidInput:
    return InvalidInput("INVALID_FORMAT", f"The body nests deeper than {MAX_DEPTH} levels.")
