"""How many tokens pictures, files and recordings take, by what their first bytes or the parts that hold them tell.

The rules are those that providers publish, the higher one where they differ; ``docs/context.md`` names them.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .references import Reference

PIXELS_PER_TOKEN = 750
MAX_EDGE = 2_576
"""The longest edge of a picture in pixels; a larger one is shrunk before it is looked at."""

MIN_IMAGE, UNKNOWN_IMAGE, MAX_IMAGE = 258, 1_600, 4_784
LOW_DETAIL = 85

TOKENS_PER_PAGE = 3_000
BYTES_PER_PAGE = 50_000
"""The size of a page of a document whose pages cannot be counted."""

MAX_PAGES = 600

AUDIO_PER_SECOND, VIDEO_PER_SECOND = 32, 300
UNKNOWN_SECONDS = 60
MAX_SECONDS = 8 * 3600

BYTES_PER_SECOND = {
    "mp3": 16_000, "mpeg": 16_000, "mp4": 16_000, "m4a": 16_000, "aac": 16_000, "x-aac": 16_000, "flac": 60_000,
    "wav": 32_000, "x-wav": 32_000, "pcm": 48_000, "pcm16": 48_000,
}  # fmt: skip
"""How much a second of a recording takes, by its format; in the others, which are made for speech, 4,000 bytes."""

VIDEO_BYTES_PER_SECOND = 250_000

BYTES_PER_TOKEN = 4
MAX_DECODED = 1_000_000
"""How many bytes of media are looked at."""

FORMATS = {
    "image": {"png", "jpeg", "jpg", "gif", "webp", "bmp", "tiff", "heic", "heif", "avif"},
    "text": {"txt", "plain", "md", "markdown", "csv", "html", "json", "xml"},
    "audio": {"wav", "mp3", "mpeg", "ogg", "opus", "flac", "aac", "m4a", "pcm", "pcm16", "g711_ulaw", "g711_alaw"},
    "video": {"mp4", "mov", "mkv", "webm", "flv", "mpg", "wmv", "three_gp"},
    "file": {"pdf", "doc", "docx", "xls", "xlsx"},
}
"""The formats of each kind, where they are named without it: ``png`` rather than ``image/png``."""

KINDS = {
    "image": "image", "image_url": "image", "input_image": "image", "image-data": "image", "image_file": "image",
    "computer_screenshot": "image", "image_generation_call": "image", "audio": "audio", "input_audio": "audio",
    "video": "video", "video_url": "video", "document": "file", "file": "file", "input_file": "file",
    "file-data": "file", "file-url": "file", "media": "file", "inlineData": "file", "inline_data": "file",
    "fileData": "file", "file_data": "file", "container_upload": "file",
}  # fmt: skip
"""What the type of a part, or the name under which it stands, says of the media in it."""

MEDIA_TYPES = ("media_type", "mediaType", "mimeType", "mime_type", "contentType", "format")

CONTENTS = frozenset({"data", "bytes", "base64", "file_data", "image", "result"})
"""The names under which a part has its media."""

PLACES = frozenset({"url", "uri", "image_url", "file_url", "fileUrl", "fileUri", "file_uri", "file_id", "fileId"})
"""The names under which a part says where its media are; they may be there themselves, as a URL."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*(;base64)?,")
_PAGE = re.compile(rb"/Type\s*/Page[^s\w]")
_MIN_TOLD_CHARS = 200
"""How long a text is that is taken for media by its first bytes alone, wherever it stands."""


@dataclass(frozen=True)
class Hint:
    """What the part around them says of media: their kind and format, and whether a model is to see less of them."""

    kind: str = ""
    format: str = ""
    is_low_detail: bool = False

    def of(self, part: Mapping[str, Any]) -> Hint:
        """What a part within says, or else what is known."""
        told = KINDS.get(str(part.get("type"))) or next((KINDS[name] for name in part if name in KINDS), "")
        kind = self.kind if self.kind and told in ("", "file") else told
        is_low_detail = self.is_low_detail or part.get("detail") == "low"
        found = Hint(kind, self.format, is_low_detail)
        return found.with_type(next((each for name in MEDIA_TYPES if isinstance(each := part.get(name), str)), ""))

    def with_type(self, media_type: str) -> Hint:
        """With a media type or a format, which says more than the name of a part."""
        if not media_type:
            return self
        family, _, name = media_type.lower().partition(";")[0].rpartition("/")
        kind = next((each for each in FORMATS if each == family or (not family and name in FORMATS[each])), "")
        if family == "application":
            kind = "text" if name in FORMATS["text"] else "file"
        return Hint(kind or self.kind, name, self.is_low_detail)


def media_tokens(text: str, name: str, hint: Hint) -> int | None:
    """The tokens of the media that a text of JSON holds or names; None where it is just text.

    Parameters
    ----------
    name : under which the text stands
    """
    if url := _DATA_URL.match(text):
        hint = hint.with_type(url[1] or "")
        rest = text[url.end() :]
        return _of_content(_decode(rest) if url[2] else rest.encode(), _size(rest), hint)
    is_media = bool(hint.kind) and name in CONTENTS
    if (is_media or len(text) >= _MIN_TOLD_CHARS) and _BASE64.fullmatch(text) and (content := _decode(text)):
        told = _told_by(content)
        if told or (is_media and hint.format):
            return _of_content(content, _size(text), hint.with_type(told))
    is_place = name in PLACES or (name in CONTENTS and "://" in text[:12])
    return _unknown(hint) if is_place and hint.kind not in ("", "text") else None


def stored_tokens(reference: Reference) -> int:
    """The tokens of media that are stored beside their message."""
    return _of_content(b"", reference.size, Hint().with_type(reference.media_type))


def is_text(media_type: str) -> bool:
    """Whether a media type is that of text, whatever it says."""
    return Hint().with_type(media_type).kind == "text"


def _size(encoded: str) -> int:
    return len(encoded) * 3 // 4


def _decode(text: str) -> bytes:
    """The beginning of what is encoded; nothing where it is not."""
    part = text[: MAX_DECODED // 3 * 4].translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return b""


def _told_by(content: bytes) -> str:
    """The media type that the first bytes tell; empty where they tell none."""
    if content[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12], "")
    if content[4:8] == b"ftyp":
        return "audio/m4a" if content[8:11] == b"M4A" else "video/mp4"
    return next((told for magic, told in _MAGIC.items() if content.startswith(magic)), "")


_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
    b"ID3": "audio/mp3",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
    b"\x1aE\xdf\xa3": "video/webm",
}


def _of_content(content: bytes, size: int, hint: Hint) -> int:
    """The tokens of media of ``size`` bytes that begin so."""
    if hint.kind == "image":
        return image_tokens(*(image_size(content) or (0, 0)), is_low_detail=hint.is_low_detail)
    if hint.kind == "audio":
        return _seconds(size, _bytes_per_second(content, hint.format)) * AUDIO_PER_SECOND
    if hint.kind == "video":
        return _seconds(size, VIDEO_BYTES_PER_SECOND) * VIDEO_PER_SECOND
    if hint.kind == "text":
        return -(-size // BYTES_PER_TOKEN)
    pages = len(_PAGE.findall(content)) or -(-size // BYTES_PER_PAGE)
    return min(max(pages, 1), MAX_PAGES) * TOKENS_PER_PAGE


def _unknown(hint: Hint) -> int:
    """The tokens of media that are named only."""
    if hint.kind == "image":
        return LOW_DETAIL if hint.is_low_detail else UNKNOWN_IMAGE
    per_second = {"audio": AUDIO_PER_SECOND, "video": VIDEO_PER_SECOND}.get(hint.kind)
    return per_second * UNKNOWN_SECONDS if per_second else TOKENS_PER_PAGE


def image_tokens(width: int, height: int, *, is_low_detail: bool = False) -> int:
    """The tokens of a picture of so many pixels, which are 0 where its size is not known."""
    if is_low_detail:
        return LOW_DETAIL
    if width <= 0 or height <= 0:
        return UNKNOWN_IMAGE
    scale = min(1.0, MAX_EDGE / max(width, height))
    return min(max(round(width * height * scale * scale / PIXELS_PER_TOKEN), MIN_IMAGE), MAX_IMAGE)


def image_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a picture by its header, in pixels; None where that does not tell them."""
    try:
        if content.startswith(b"\x89PNG"):
            return struct.unpack_from(">II", content, 16)
        if content.startswith(b"GIF8"):
            return struct.unpack_from("<HH", content, 6)
        if content[:4] == b"RIFF":
            return _webp_size(content)
        return _jpeg_size(content) if content.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    if content[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if content[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if content[12:16] == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The size in a JPEG's frame header, which comes after segments of any kind."""
    position = 2
    while content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        position += 2 + struct.unpack_from(">H", content, position + 2)[0]
    return None


def _bytes_per_second(content: bytes, format_name: str) -> int:
    if content[:4] == b"RIFF" and len(content) >= 32:
        return int(struct.unpack_from("<I", content, 28)[0]) or BYTES_PER_SECOND["wav"]
    return BYTES_PER_SECOND.get(format_name, 4_000)


def _seconds(size: int, per_second: int) -> int:
    return min(-(-size // per_second), MAX_SECONDS)
