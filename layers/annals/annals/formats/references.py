"""References: what stands in a message in the place of a part that is stored beside it, because it is large.

A reference is a JSON object with the one field ``$annalsPart``, which no provider's part has. It names the bytes by
their SHA-256, and says what value they are the bytes of, so that the very same value can be put back in its place.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

FIELD = "$annalsPart"
"""The one field of a reference."""

Encoding = Literal["text", "base64", "json"]
"""What the value is: a text, whose UTF-8 the bytes are; Base64 of the bytes; or the JSON that the bytes say."""

ENCODINGS = ("text", "base64", "json")

TEXT, JSON, BINARY = "text/plain; charset=utf-8", "application/json", "application/octet-stream"
"""The media types of parts that don't say theirs."""

MEDIA_TYPE_FIELDS = ("media_type", "mediaType", "mime_type", "mimeType")
"""The fields in which providers say beside a part's Base64 what that is."""

MAX_PREFIX_CHARS = 200
"""How long the text before the Base64 of a part may be, such as ``data:image/png;base64,``."""

MAX_UPLOAD_CHARS = 64
"""How long the id of an upload may be."""

MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
}
"""How the bytes of well-known media types begin."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(; ?{_WORD}={_WORD})*")
_DATA_URL = re.compile(r"data:([^,]{0,150});base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PREFIX = re.compile(r"[ -~]*")
_UPLOAD = re.compile(r"[A-Za-z0-9-]*")


class NotAReference(ValueError):
    """A JSON value has a reference's field, and is none all the same; the argument says why."""


@dataclass(frozen=True)
class Reference:
    """A part that is stored beside its message.

    Parameters
    ----------
    sha256 : of the part's bytes, in hexadecimal
    size : how many bytes these are
    media_type : what they are
    encoding : how the value that the reference stands for is made of them
    prefix : what stands before the Base64 in that value
    upload : the id of the upload that brought the bytes, in a message that is not stored yet
    """

    sha256: str
    size: int
    media_type: str
    encoding: Encoding
    prefix: str = ""
    upload: str = ""

    @staticmethod
    def of_text(text: str) -> Reference:
        """The reference to a text, whatever it holds."""
        return _reference(text.encode(), TEXT, "text")

    def to_json(self, **more: str) -> dict[str, Any]:
        """The reference as JSON, with further fields."""
        fields: dict[str, Any] = {
            "sha256": self.sha256,
            "size": self.size,
            "mediaType": self.media_type,
            "encoding": self.encoding,
        }
        known = {"prefix": self.prefix, "upload": self.upload, **more}
        return {FIELD: {**fields, **{name: value for name, value in known.items() if value}}}


def without_references(value: Any) -> Any:
    """The same JSON, in which whatever looks like a reference is a text: for what others wrote, such as a model."""
    if is_reference(value):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return {name: without_references(part) for name, part in value.items()}
    return [without_references(part) for part in value] if isinstance(value, list) else value


def is_reference(value: Any) -> bool:
    """Whether a JSON value claims to be a reference."""
    return isinstance(value, Mapping) and FIELD in value


def read_reference(value: Any) -> Reference:
    """The reference that a JSON value is. Raises NotAReference."""
    if not is_reference(value) or len(value) != 1 or not isinstance(value[FIELD], Mapping):
        raise NotAReference(f"must be an object with the one field {FIELD}, which is an object")
    fields = value[FIELD]
    if unknown := fields.keys() - {"sha256", "size", "mediaType", "encoding", "prefix", "upload", "url"}:
        raise NotAReference(f"has an unknown field {min(unknown)}")
    size, encoding = fields.get("size"), fields.get("encoding")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise NotAReference("needs the size of the part, in bytes")
    if encoding not in ENCODINGS:
        raise NotAReference(f"needs an encoding: {', '.join(ENCODINGS)}")
    return Reference(
        sha256=_matching(fields.get("sha256"), _SHA256, 64, "a sha256 in hexadecimal"),
        size=size,
        media_type=require_media_type(fields.get("mediaType")),
        encoding=encoding,
        prefix=_matching(fields.get("prefix", ""), _PREFIX, MAX_PREFIX_CHARS, "a prefix that is ASCII"),
        upload=_matching(fields.get("upload", ""), _UPLOAD, MAX_UPLOAD_CHARS, "an upload's id"),
    )


def find_reference(value: Any) -> Reference | None:
    """The reference that a JSON value is, or None."""
    try:
        return read_reference(value) if is_reference(value) else None
    except NotAReference:
        return None


def require_media_type(value: Any) -> str:
    """A media type. Raises NotAReference for anything else."""
    return _matching(value, _MEDIA_TYPE, 100, "a mediaType, such as image/png")


def _matching(value: Any, pattern: re.Pattern[str], max_chars: int, what: str) -> str:
    if not isinstance(value, str) or len(value) > max_chars or not pattern.fullmatch(value):
        raise NotAReference(f"needs {what}, of at most {max_chars} characters")
    return value


def references_in(value: Any) -> Iterator[Reference]:
    """The references in a JSON value, in order."""
    if reference := find_reference(value):
        yield reference
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from references_in(part)


def has_reference(value: Any) -> bool:
    """Whether there is a reference in a JSON value."""
    return next(references_in(value), None) is not None


def with_references(value: Any, replace: Callable[[Reference], Any]) -> Any:
    """A JSON value with something else in the place of each reference."""
    if reference := find_reference(value):
        return replace(reference)
    if isinstance(value, Mapping):
        return {name: with_references(part, replace) for name, part in value.items()}
    return [with_references(part, replace) for part in value] if isinstance(value, list) else value


def refer_to(value: Any, beside: Mapping[str, Any] | None = None) -> tuple[Reference, bytes]:
    """The reference that can stand for a JSON value, and the bytes that it stands for.

    Parameters
    ----------
    beside : the object that holds the value, which may say what it is
    """
    if not isinstance(value, str):
        data = _json_bytes(value)
        return _reference(data, JSON, "json"), data
    data_url = _DATA_URL.match(value)
    prefix = data_url[0] if data_url else ""
    decoded = _decoded(value[len(prefix) :]) if _PREFIX.fullmatch(prefix) else None
    if decoded is None:
        return Reference.of_text(value), value.encode()
    stated = [data_url[1]] if data_url else [(beside or {}).get(name) for name in MEDIA_TYPE_FIELDS]
    return _reference(decoded, _media_type(stated, decoded), "base64", prefix), decoded


def restore(reference: Reference, data: bytes) -> Any:
    """The JSON value that a reference stands for, of its bytes. Raises ValueError where these are others."""
    if sha256(data).hexdigest() != reference.sha256:
        raise ValueError(f"these are not the bytes of part {reference.sha256}")
    if reference.encoding == "base64":
        return reference.prefix + base64.b64encode(data).decode()
    text = data.decode()
    return text if reference.encoding == "text" else json.loads(text)


def stands_for(reference: Reference, value: Any) -> bool:
    """Whether a reference stands for a JSON value: as another reference, or the value itself."""
    if is_reference(value):
        other = find_reference(value)
        return other is not None and _identity(other) == _identity(reference)
    if reference.encoding == "json":
        return sha256(_json_bytes(value)).hexdigest() == reference.sha256
    if not isinstance(value, str) or not value.startswith(reference.prefix):
        return False
    data = value.encode() if reference.encoding == "text" else _decoded(value[len(reference.prefix) :])
    return data is not None and sha256(data).hexdigest() == reference.sha256


def _identity(reference: Reference) -> tuple[str, str, str]:
    return reference.sha256, reference.encoding, reference.prefix


def _json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _reference(data: bytes, media_type: str, encoding: Encoding, prefix: str = "") -> Reference:
    return Reference(sha256(data).hexdigest(), len(data), media_type, encoding, prefix)


def _decoded(text: str) -> bytes | None:
    """The bytes of a text in Base64, or None where it is none, or would be written otherwise."""
    if len(text) % 4 or not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data).decode() == text else None


def _media_type(stated: list[Any], data: bytes) -> str:
    """The media type that is stated, or that the bytes show."""
    for each in stated:
        if isinstance(each, str) and len(each) <= 100 and _MEDIA_TYPE.fullmatch(each):
            return each
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in MAGIC.items() if data.startswith(magic)), BINARY)
