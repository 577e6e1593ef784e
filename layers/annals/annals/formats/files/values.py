"""What other apps' files hold, read without trust: a field of another type than it should have counts as missing."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

MAX_LABEL_CHARS = 256
"""How much of a title, a model's name or the like is kept."""

MAX_ID_CHARS = 256
"""How long an id may be that is kept as a message's own."""

MAX_INLINE_CHARS = 3_000_000
"""How much of a file's bytes is kept that stand in a message themselves: what one request can carry. Of more, only its
name is kept."""

_FRACTION = re.compile(r"\.([0-9]+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def get_text(value: Any, *names: str) -> str:
    """The first text that is not blank among fields of an object; empty where there is none."""
    for name in names:
        text = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(text, str) and text.strip():
            return text
    return ""


def get_list(value: Any, name: str) -> list[Any]:
    """The list that a field of an object is; empty where it is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else []


def get_object(value: Any, name: str) -> Mapping[str, Any]:
    """The object that a field of an object is; empty where it is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def get_objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """The objects of the list that a field of an object is."""
    return [each for each in get_list(value, name) if isinstance(each, Mapping)]


def get_label(value: Any, *names: str) -> str:
    """The same as ``get_text``, on one line, and shortened to what a label may have."""
    return " ".join(get_text(value, *names).split())[:MAX_LABEL_CHARS]


def without_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: not None, nor an empty text, list or object."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def to_external_id(value: Any) -> str | None:
    """An id as a message's own; None where it cannot be one."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID_CHARS or not text.strip():
        return None
    return None if any(unicodedata.category(each) in ("Cc", "Cs") for each in text) else text


def to_time(value: Any) -> str | None:
    """A time in RFC 3339, of a Unix time in seconds, milliseconds or microseconds, or of a text; None for no time.

    A text's offset from UTC stays as it is; without one, it is UTC.
    """
    if isinstance(value, str):
        return _of_digits(float(value)) if value.isascii() and value.isdigit() else _of_text(value.strip())
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return _of_digits(value)
    return None


def _of_digits(number: float) -> str | None:
    for unit, end in ((1, 10**11), (10**3, 10**14), (10**6, 10**17)):
        if 0 < number < end:
            return _written(_EPOCH + timedelta(milliseconds=round(number * 1000 / unit)))
    return None


def _of_text(text: str) -> str | None:
    padded = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", text.upper().replace("Z", "+00:00"), count=1)
    try:
        moment = datetime.fromisoformat(padded)
        return _written(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError):
        return None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def file_part(name: str, file_id: str = "", media_type: str = "") -> dict[str, Any]:
    """A file that a message refers to, by its name or id."""
    return {"type": "file", "file": without_blanks({"filename": name, "file_id": file_id, "media_type": media_type})}


def with_names(parts: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Parts without files of which nothing is known."""
    return (part for part in parts if part.get("file") != {})


def image_part(address: str, name: str = "") -> dict[str, Any]:
    """An image by its address, which may be its bytes; of too many bytes only a name is kept."""
    if len(address) <= MAX_INLINE_CHARS:
        return {"type": "image_url", "image_url": {"url": address}}
    media_type = address.removeprefix("data:").partition(";")[0][:MAX_LABEL_CHARS] if address[:5] == "data:" else ""
    return {**file_part(name or "image", media_type=media_type), "omitted": len(address)}


def call_block(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    """A call of a tool, as a part of a message."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments if arguments is not None else {}}


def result_block(call_id: str, content: Any) -> dict[str, Any]:
    """What a tool answered, as a part of a message."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}
