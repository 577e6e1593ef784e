"""JSON in and out. What is no JSON, or could not be given back exactly, is refused; written JSON is compact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Self

from annals.errors import InvalidInput, InvalidJson

MAX_DEPTH = 64
MAX_DIGITS = 1000

MEASURED = frozenset({"embedding"})
"""The fields whose numbers are measures: the nearest double will do. All other numbers come back exactly."""

FieldPath = tuple[str | int, ...]
"""Where in a JSON value something is: ``("messages", 0, "content")``."""


def parse(text: str | bytes) -> Any:
    """Parse a JSON text strictly.

    Raises
    ------
    InvalidJson : it is not JSON as RFC 8259 has it (NaN, Infinity and lone surrogates are not)
    InvalidInput : INVALID_FORMAT where it nests deeper than 64 levels, or holds a fraction that no double is equal to,
        or a whole number of more than 1000 digits; the field of such a number is named
    """
    inexact: list[_Inexact] = []

    def keep(digits: str) -> float:
        inexact.append(_Inexact(digits))
        return inexact[-1]

    def fraction(digits: str) -> float:
        number = float(digits)
        return number if _is_equal(number, digits) else keep(digits)

    def whole(digits: str) -> float:
        return int(digits) if len(digits) <= MAX_DIGITS else keep(digits)

    try:
        utf8 = text.encode() if isinstance(text, str) else text
        value = json.loads(utf8.decode(), parse_constant=_refuse_constant, parse_float=fraction, parse_int=whole)
    except RecursionError:
        raise _too_deep() from None
    except (json.JSONDecodeError, UnicodeError) as error:
        raise InvalidJson(f"The body is not JSON: {error}.") from None
    if utf8.count(b"[") + utf8.count(b"{") > MAX_DEPTH:
        require_depth(value)
    if inexact:
        _refuse_inexact(value)
    if b"\\ud" in utf8.lower():
        _refuse_lone_surrogates(value)
    return value


def dump(value: Any) -> str:
    """JSON text, compact, with every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_text(value: Any) -> str:
    """JSON text that is the same for the same JSON, in whatever order its names are; ``1`` and ``1.0`` differ."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def field_name(path: FieldPath) -> str:
    """``("messages", 0, "content")`` as ``messages[0].content``."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            name += f".{part}" if name else part
    return name


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The body is not JSON: {name} is not a JSON value.")


class _Inexact(float):
    """The double that is nearest to a number, with the digits that it was written in."""

    digits: str

    def __new__(cls, digits: str) -> Self:
        number = super().__new__(cls, digits)
        number.digits = digits
        return number


def _is_equal(number: float, digits: str) -> bool:
    """Whether a double, as it is written back, is the number that was written."""
    written = repr(number)
    if written == digits:
        return True
    if number == 0:  # else the exponent may be one that no decimal takes
        return not any(digit in "123456789" for digit in digits.lower().partition("e")[0])
    return written not in ("inf", "-inf") and Decimal(written) == Decimal(digits)


def _refuse_inexact(value: Any) -> None:
    """Raise InvalidInput for a number that would come back as another one."""
    for path, number in _inexact_numbers(value, ()):
        if path[:1] not in {(name,) for name in MEASURED}:
            field = field_name(path) or None
            detail = f"{field or 'The body'} is {number.digits[:40]}, which could not be given back; send it as text."
            raise InvalidInput("INVALID_FORMAT", detail, field=field)


def _inexact_numbers(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, _Inexact]]:
    if isinstance(value, _Inexact):
        yield path, value
    elif isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inexact_numbers(part, (*path, name))


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidJson("The body is not JSON: a string holds half of a surrogate pair.") from None


def require_depth(value: Any, depth: int = 1) -> None:
    """Raise InvalidInput for JSON that nests deeper than 64 levels."""
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise _too_deep()
        for part in value.values() if isinstance(value, dict) else value:
            require_depth(part, depth + 1)


def _too_deep() -> InvalidInput:
    return InvalidInput("INVALID_FORMAT", f"The body nests deeper than {MAX_DEPTH} levels.")
