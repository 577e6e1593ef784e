"""Masks personal data when a request is read, so that none of it is stored.

The types of the fields that hold what people say (``api.fields.MaskedText``) call this; nothing after them sees the
words that were masked. Switched off, it costs a comparison and imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from annals.settings import Settings, settings

if TYPE_CHECKING:
    from annals.privacy.detection import PiiDetector

OFF = "off"


def is_enabled() -> bool:
    """Whether personal data is masked."""
    return settings().pii_redaction != OFF


def mask(text: str) -> str:
    """A text with labels such as ``[EMAIL]`` instead of personal data. Raises PiiUnavailable."""
    masked: str = mask_all(text)
    return masked


def mask_all(value: Any) -> Any:
    """The same of every text in a JSON value, but for the names of its fields. Raises PiiUnavailable."""
    if not is_enabled():
        return value
    from annals.privacy.detection import mask_matches

    texts = list(_texts(value))
    matches = get_detector().detect(texts) if texts else []
    return _with_texts(value, (mask_matches(text, found) for text, found in zip(texts, matches, strict=True)))


@cache
def get_detector() -> PiiDetector:
    """The detector of the settings."""
    return detector_from_settings(settings())


def detector_from_settings(settings: Settings) -> PiiDetector:
    """The detector of personal data that the settings name: Amazon Comprehend, or the one that needs no network."""
    if settings.pii_redaction == "comprehend":
        from annals.privacy import comprehend

        return comprehend.ComprehendDetector(comprehend.client(), settings.pii_language)
    from annals.privacy.patterns import PatternDetector

    return PatternDetector()


def _texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _with_texts(value: Any, texts: Iterator[str]) -> Any:
    """A JSON value with its texts replaced by others, in the same order."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        return {name: _with_texts(inner, texts) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_texts(inner, texts) for inner in value]
    return value
