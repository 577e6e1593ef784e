"""Personal data found by Amazon Comprehend: names and addresses too, in the languages that it knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from annals.batches import batches
from annals.errors import PiiUnavailable
from annals.privacy.detection import PiiMatch

MAX_BYTES = 100_000
"""What one call takes, in UTF-8; Comprehend's limit is 100 KB."""

OVERLAP = 400
"""How many characters the pieces of a longer text share, so that a match cut off in one is whole in the next."""

GAP = "\n\n"
"""Separates the texts of one call."""

MIN_SCORE = 0.5
"""How sure Comprehend must be, of 1."""

IGNORED_KINDS = {"DATE_TIME"}
"""Kinds that identify nobody by themselves, and without which a memory would lose its dates."""

logger = logging.getLogger("annals")


@dataclass(frozen=True)
class _Piece:
    """A part of a text: the number of the text, and where in it the part begins."""

    text_index: int
    start: int
    content: str


class ComprehendDetector:
    """Asks Comprehend, as many texts at a time as a call takes.

    Parameters
    ----------
    client : a client of Comprehend
    language : the texts' language, ``en`` or ``es``
    """

    def __init__(self, client: Any, language: str) -> None:
        self._client = client
        self._language = language

    def detect(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        """See ``PiiDetector``."""
        matches: list[list[PiiMatch]] = [[] for _ in texts]
        for batch in batches(_pieces(texts), _call_bytes, MAX_BYTES):
            for piece, match in self._detect_batch(batch):
                matches[piece.text_index].append(match)
        return matches

    def _detect_batch(self, batch: Sequence[_Piece]) -> Iterator[tuple[_Piece, PiiMatch]]:
        entities = self._call(GAP.join(piece.content for piece in batch))
        begin = 0
        for piece in batch:
            end = begin + len(piece.content)
            for entity in entities:
                start, stop = max(begin, entity["BeginOffset"]), min(end, entity["EndOffset"])
                if start < stop and entity["Score"] >= MIN_SCORE and entity["Type"] not in IGNORED_KINDS:
                    moved = piece.start - begin
                    yield piece, PiiMatch(start + moved, stop + moved, entity["Type"])
            begin = end + len(GAP)

    def _call(self, text: str) -> list[dict[str, Any]]:
        try:
            entities: list[dict[str, Any]] = self._client.detect_pii_entities(Text=text, LanguageCode=self._language)[
                "Entities"
            ]
        except (BotoCoreError, ClientError) as error:
            logger.error("Amazon Comprehend does not answer", exc_info=error)
            raise PiiUnavailable from error
        return entities


def client() -> Any:
    """A client with short timeouts: requests wait for it."""
    config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    comprehend: Any = boto3.client("comprehend", config=config)
    return comprehend


def _pieces(texts: Sequence[str]) -> Iterator[_Piece]:
    """The texts, each one that is too long for a call in parts that overlap."""
    for number, text in enumerate(texts):
        start = 0
        while start < len(text):
            content = text[start : start + MAX_BYTES].encode()[:MAX_BYTES].decode(errors="ignore")
            yield _Piece(number, start, content)
            is_last = start + len(content) == len(text)
            start += len(content) - (0 if is_last else OVERLAP)


def _call_bytes(piece: _Piece) -> int:
    """What a piece takes of a call."""
    return len(piece.content.encode()) + len(GAP)
