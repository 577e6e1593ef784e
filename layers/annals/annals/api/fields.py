"""What the API's request and response models share, and the types of their fields."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from annals.database.item_size import MAX_ENTRY_BYTES
from annals.formats.references import NotAReference, Reference, is_reference, read_reference, with_references
from annals.privacy.masking import mask, mask_all
from annals.times import SaidTime, from_rfc3339, to_rfc3339

MAX_ID_CHARS = 128

MAX_NAME_CHARS = 256

MAX_TAG_CHARS = 128

MAX_MEMORY_ID_CHARS = 160

MAX_TEXT_CHARS = MAX_ENTRY_BYTES
"""No text is longer that is stored: it would not fit an entry, which is 413 where it is written."""

RESERVED_IDS = frozenset({"by-participants", "by-session", "count", "delete-many", "export", "import", "search"})
"""The words that stand where a conversation's id stands in other routes."""


class Model(BaseModel):
    """A request or response: camelCase outside, no unknown field, no value of another type.

    Its validator is built when it is first needed: a function has models for all its routes, and starts for one.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, defer_build=True)


def field_error(code: str, text: str, path: Sequence[str | int] = ()) -> PydanticCustomError:
    """An error for a validator to raise: its code reaches the caller, and the path within what was validated."""
    return PydanticCustomError(code, "{text}", {"text": text, "path": path})


JOINERS = str.maketrans("", "", "\u200c\u200d")
"""What joins letters or keeps them apart, in Persian, Sinhala and emoji: the only unprinted characters in ids.

Others (control characters, marks of direction, what is unassigned) would make an id look like another one.
"""


def _check_id(value: str, max_chars: int = MAX_ID_CHARS) -> str:
    printed = value.translate(JOINERS)
    if not printed.strip():
        raise field_error("MISSING_REQUIRED_FIELD", "must not be blank")
    if len(value) > max_chars or not printed.isprintable() or value in (".", ".."):
        raise field_error("INVALID_ID_FORMAT", f"must have at most {max_chars} printable characters")
    return value


def decoded(value: Any) -> Any:
    """A part of a path, percent-decoded; text that is no UTF-8 would otherwise become another id."""
    try:
        return unquote(value, errors="strict") if isinstance(value, str) else value
    except UnicodeDecodeError:
        raise field_error("INVALID_ID_FORMAT", "must be percent-encoded UTF-8") from None


def _check_free(value: str) -> str:
    if value in RESERVED_IDS:
        raise field_error("INVALID_ID_FORMAT", f"must not be {value!r}, which is a route of its own")
    return value


def _check_text(value: str) -> str:
    if not value.strip():
        raise field_error("MISSING_REQUIRED_FIELD", "must not be blank")
    return value


def _check_importance(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise field_error("INVALID_IMPORTANCE", "must be a whole number from 0 to 100")
    return value


def _check_tag(value: str) -> str:
    if not value.strip() or len(value) > MAX_TAG_CHARS:
        raise field_error("INVALID_FORMAT", f"must not be blank, nor longer than {MAX_TAG_CHARS} characters")
    return value


UNIX_DIGITS = {10: 1_000_000, 13: 1_000, 16: 1}
"""How many microseconds a Unix time counts by, known by its digits: seconds, milliseconds, microseconds.

With so many digits a number is a moment between September 2001 and November 2286 in exactly one of these units. A
number with more or fewer, such as a year, could be anything.
"""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def to_ms(value: Any) -> int:
    """A time as the API takes it, RFC 3339 or Unix time, as Unix milliseconds."""
    try:
        if isinstance(value, str):
            return _in_calendar(_of_unix(value) if value.isascii() and value.isdigit() else _of_text(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return _of_unix(str(value))
    except (ValueError, OverflowError, OSError):
        pass
    raise field_error(
        "INVALID_FORMAT",
        "must be a time: RFC 3339 with a zone, such as 2024-01-01T00:00:00Z, or Unix time of 10 digits for seconds, "
        "13 for milliseconds or 16 for microseconds",
    )


def to_said(value: Any) -> SaidTime:
    """A time as the API takes it, with the zone in which it was said."""
    if isinstance(value, SaidTime):
        return value
    ms = to_ms(value)
    return SaidTime.of(value, ms) if isinstance(value, str) and _RFC_3339.fullmatch(value) else SaidTime(ms)


def _of_unix(digits: str) -> int:
    """The milliseconds of a Unix time. Raises ValueError where the number of its digits names no unit."""
    if len(digits) not in UNIX_DIGITS or digits[0] in "-0":
        raise ValueError("a number of another length")
    return int(digits) * UNIX_DIGITS[len(digits)] // 1_000


def _of_text(text: str) -> int:
    if not _RFC_3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time with a zone")
    return from_rfc3339(text.upper())


def _in_calendar(ms: int) -> int:
    to_rfc3339(ms)
    return ms


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise field_error("INVALID_FORMAT", "must be a finite number")
    return value


Id = Annotated[str, AfterValidator(_check_id), Field(json_schema_extra={"minLength": 1, "maxLength": MAX_ID_CHARS})]
"""An id that callers choose."""

MAX_EXTERNAL_ID_CHARS = 256


def _check_external_id(value: str) -> str:
    if not 0 < len(value) <= MAX_EXTERNAL_ID_CHARS or any(unicodedata.category(each) == "Cc" for each in value):
        detail = f"must have 1 to {MAX_EXTERNAL_ID_CHARS} characters, and no control characters"
        raise field_error("INVALID_ID_FORMAT", detail)
    return value


ExternalId = Annotated[
    str,
    AfterValidator(_check_external_id),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_EXTERNAL_ID_CHARS}),
]
"""An id of another system, given by the caller: any characters but control characters, and each one counts."""

PathExternalId = Annotated[
    str,
    BeforeValidator(decoded),
    AfterValidator(_check_external_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_EXTERNAL_ID_CHARS}),
]
"""An external id in a path, percent-encoded, slashes too."""

ConversationId = Annotated[Id, AfterValidator(_check_free)]
"""A conversation's id that callers choose."""

PathId = Annotated[
    str,
    BeforeValidator(decoded),
    AfterValidator(_check_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS}),
]
"""An id in a path: here, a path is percent-decoded, part by part, so that an encoded slash separates nothing."""

PathMemoryId = Annotated[
    str,
    BeforeValidator(decoded),
    AfterValidator(lambda value: _check_id(value, MAX_MEMORY_ID_CHARS)),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_MEMORY_ID_CHARS}),
]
"""A memory's id in a path; that of a raw memory holds its conversation's id."""

PathMessageId = Annotated[str, BeforeValidator(decoded), WithJsonSchema({"type": "string", "maxLength": MAX_ID_CHARS})]
"""A message's id in a path; any other text is taken, and names no message."""

MessageId = Annotated[str, Field(max_length=MAX_ID_CHARS)]
"""A message's id, which Annals made; any other text is taken, and names no message."""

Text = Annotated[str, AfterValidator(_check_text), Field(json_schema_extra={"minLength": 1})]
"""A text that is not blank."""

Name = Annotated[Text, Field(max_length=MAX_NAME_CHARS)]
"""The name of somebody or something."""

Word = Annotated[Text, Field(max_length=MAX_TAG_CHARS)]
"""A short text that distinguishes: a kind, a label, a hash."""

QueryText = Annotated[Text, Field(max_length=MAX_TEXT_CHARS)]
"""A text to search by, at most as long as a message can be; what it begins with counts."""

Time = Annotated[
    int,
    BeforeValidator(to_ms),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}),
]
"""A time, as Unix milliseconds."""

Said = Annotated[
    SaidTime,
    PlainValidator(to_said),
    PlainSerializer(lambda said: said.local or (said.ms if len(str(said.ms)) in UNIX_DIGITS else said.text)),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}),
]
"""A time at which something was said or holds: one in another zone than UTC is kept as it was said, too."""

Importance = Annotated[int, BeforeValidator(_check_importance), Field(json_schema_extra={"minimum": 0, "maximum": 100})]
"""How important a memory is, from 0 to 100."""

Tag = Annotated[str, AfterValidator(_check_tag), Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TAG_CHARS})]
"""A tag of a memory."""

Score = Annotated[float, AfterValidator(_finite)]
"""A finite number."""

Json = dict[str, Any]
"""Any JSON object, given back exactly."""


class _FitsEntry:
    """Describes in the API's document how long a text can be whose size is checked when it is written."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"maxLength": MAX_TEXT_CHARS, **handler(core)}


MaskedText = Annotated[Text, AfterValidator(mask), _FitsEntry()]
"""A text of what people say, which is stored: with personal data masked, where the settings ask for that."""

MaskedJson = Annotated[Json, AfterValidator(mask_all)]
"""The same of a JSON object."""


def _check_parts(value: Any) -> Any:
    """Parts with personal data masked; references in them name bytes, and stay what they are."""
    if not list(_references(value, ())):
        return mask_all(value)
    masked = mask_all(with_references(value, lambda reference: reference))
    return _as_json(masked)


def _references(value: Any, path: tuple[str | int, ...]) -> Iterator[Reference]:
    """The references in parts. Raises where one is not as it must be: nothing else may look like one."""
    if is_reference(value):
        try:
            yield read_reference(value)
        except NotAReference as error:
            raise field_error("INVALID_FORMAT", str(error), path) from None
    elif isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _references(part, (*path, name))


def _as_json(value: Any) -> Any:
    if isinstance(value, Reference):
        return value.to_json()
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list) else value


def _check_whole_content(value: Any) -> Any:
    """The reference to a text, of which ``content`` is the beginning."""
    references = list(_references(value, ()))
    if len(references) != 1 or not is_reference(value) or references[0].encoding != "text":
        raise field_error("INVALID_FORMAT", "must be the reference to an uploaded text")
    return references[0].to_json()


MaskedParts = Annotated[Any, AfterValidator(_check_parts)]
"""The parts of a message, which may hold references to what is stored beside it."""

WholeContent = Annotated[Any, AfterValidator(_check_whole_content)]
"""The reference to the whole text of a message whose ``content`` is only its beginning."""
