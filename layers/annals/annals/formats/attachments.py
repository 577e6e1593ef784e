"""Images, documents, sounds and films in messages of any provider: their bytes, or where they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,(.*)", re.DOTALL)

TYPES = {
    "png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "aac": "audio/aac",
    "mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "mpeg": "video/mpeg",
    "pdf": "application/pdf", "csv": "text/csv", "html": "text/html", "txt": "text/plain", "md": "text/markdown",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
"""The media type of each short name of a format that OpenAI and Bedrock use."""

SHORT_NAMES = {media_type: name for name, media_type in TYPES.items()}

ANY_IMAGE = "image/*"
"""The type of an image of which only the address is known."""


@dataclass(frozen=True)
class Media:
    """An image, a document, a sound or a film: its bytes in base64, or where it is."""

    media_type: str
    data: str | None = None
    url: str | None = None
    name: str | None = None
    part: Any = None

    @property
    def kind(self) -> str:
        """``image``, ``audio``, ``video``, or another word for a document."""
        return self.media_type.partition("/")[0]

    @property
    def data_url(self) -> str | None:
        """Its address, or its bytes as one."""
        return self.url or (f"data:{self.media_type};base64,{self.data}" if self.data else None)


def media_of(part: Any) -> Media | None:
    """The media in a part, or None."""
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind is None:
        return _of_bedrock(part) or _of_gemini(part)
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return reader(part) if reader else None


def _media(place: Any, media_type: Any, part: Any, name: Any = None) -> Media | None:
    """Media of an address, which may hold its bytes."""
    if not isinstance(place, str) or not place:
        return None
    known_type = media_type if isinstance(media_type, str) else ANY_IMAGE
    if match := DATA_URL.fullmatch(place):
        return Media(match[1] or known_type, match[2], None, _word(name), part)
    return Media(known_type, None, place, _word(name), part)


def _bytes(data: Any, media_type: Any, part: Any, name: Any = None) -> Media | None:
    if not isinstance(data, str) or not data or not isinstance(media_type, str):
        return None
    if data.startswith("data:"):
        return _media(data, media_type, part, name)
    return Media(media_type, data, None, _word(name), part)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _image_url(part: Mapping[str, Any]) -> Media | None:
    """OpenAI's chat and responses, Mistral's."""
    place = part.get("image_url")
    return _media(place.get("url") if isinstance(place, Mapping) else place, ANY_IMAGE, part)


def _input_audio(part: Mapping[str, Any]) -> Media | None:
    sound = part.get("input_audio")
    if not isinstance(sound, Mapping):
        return None
    return _bytes(sound.get("data"), TYPES.get(str(sound.get("format")), "audio/wav"), part)


def _file(part: Mapping[str, Any]) -> Media | None:
    """OpenAI's chat has its fields a level deeper; the AI SDK's and LangChain's do not."""
    inner = part.get("file")
    fields = inner if isinstance(inner, Mapping) else part
    name = fields.get("filename")
    media_type = fields.get("mediaType") or fields.get("mimeType") or fields.get("mime_type") or "application/pdf"
    place = next((fields[each] for each in ("url", "file_url") if fields.get(each)), None)
    data = next((fields[each] for each in ("file_data", "base64", "data") if fields.get(each)), None)
    return _media(place, media_type, part, name) or _bytes(data, media_type, part, name)


def _image(part: Mapping[str, Any]) -> Media | None:
    """Anthropic's has a source; the AI SDK's and LangChain's have the image or its address."""
    if isinstance(source := part.get("source"), Mapping):
        return _source(source, part)
    media_type = part.get("mediaType") or part.get("mimeType") or part.get("mime_type")
    place = next((part[name] for name in ("url", "image") if part.get(name)), None)
    found = _bytes(part.get("base64") or part.get("data"), media_type, part)
    return found or _media(place, media_type or ANY_IMAGE, part)


def _document(part: Mapping[str, Any]) -> Media | None:
    source = part.get("source")
    return _source(source, part, part.get("title")) if isinstance(source, Mapping) else None


def _source(source: Mapping[str, Any], part: Any, name: Any = None) -> Media | None:
    if source.get("type") == "base64":
        return _bytes(source.get("data"), source.get("media_type"), part, name)
    if source.get("type") == "url":
        is_image = isinstance(part, Mapping) and part.get("type") == "image"
        return _media(source.get("url"), ANY_IMAGE if is_image else "application/pdf", part, name)
    return None


def _of_bedrock(part: Mapping[str, Any]) -> Media | None:
    for kind in ("image", "document", "video", "audio"):
        block = part.get(kind)
        if isinstance(block, Mapping) and isinstance(source := block.get("source"), Mapping):
            media_type = TYPES.get(str(block.get("format")), "application/octet-stream")
            place, name = source.get("s3Location"), block.get("name")
            uri = place.get("uri") if isinstance(place, Mapping) else None
            return _bytes(source.get("bytes"), media_type, part, name) or _media(uri, media_type, part, name)
    return None


def _of_gemini(part: Mapping[str, Any]) -> Media | None:
    for data_name, file_name, type_name, uri in (
        ("inlineData", "fileData", "mimeType", "fileUri"),
        ("inline_data", "file_data", "mime_type", "file_uri"),
    ):
        if isinstance(inline := part.get(data_name), Mapping):
            return _bytes(inline.get("data"), inline.get(type_name), part)
        if isinstance(file := part.get(file_name), Mapping):
            return _media(file.get(uri), file.get(type_name), part)
    return None


_READERS = {
    "image_url": _image_url,
    "input_image": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "input_file": _file,
    "image": _image,
    "document": _document,
    "audio": _file,
    "video": _file,
}
