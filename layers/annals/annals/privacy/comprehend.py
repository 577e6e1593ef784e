"""Personal data by Amazon Comprehend: names and addresses too, in the languages that it knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from annals.errors import PiiUnavailable
from annals.privacy.detection import PiiMatch

MAX_BYTES = 100_000
"""What one call takes, in UTF-8; Comprehend's limit is 100 KB."""

OVERLAP = 400
"""How many characters the pieces of a longer text share, so that what is cut in one is whole in the other."""

GAP = "\n\n"
"""What stands between texts that share a call."""

MIN_SCORE = 0.5
"""How sure Comprehend must be, of 1."""

LEFT = {"DATE_TIME"}
"""Kinds that identify nobody by themselves, and without which no memory could say when something was."""

logger = logging.getLogger("annals")


@dataclass(frozen=True)
class _Piece:
    """A part of a text: of which one, and where in it the part begins."""

    text: int
    start: int
    said: str


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

    def find(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        """See ``PiiDetector``."""
        found: list[list[PiiMatch]] = [[] for _ in texts]
        for batch in _batches(_pieces(texts)):
            for piece, span in self._ask(batch):
                found[piece.text].append(span)
        return found

    def _ask(self, batch: Sequence[_Piece]) -> Iterator[tuple[_Piece, PiiMatch]]:
        entities = self._detect(GAP.join(piece.said for piece in batch))
        begin = 0
        for piece in batch:
            end = begin + len(piece.said)
            for entity in entities:
                start, stop = max(begin, entity["BeginOffset"]), min(end, entity["EndOffset"])
                if start < stop and entity["Score"] >= MIN_SCORE and entity["Type"] not in LEFT:
                    moved = piece.start - begin
                    yield piece, PiiMatch(start + moved, stop + moved, entity["Type"])
            begin = end + len(GAP)

    def _detect(self, text: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self._client.detect_pii_entities(Text=text, LanguageCode=self._language)[
                "Entities"
            ]
        except (BotoCoreError, ClientError) as error:
            logger.error("Amazon Comprehend does not answer", exc_info=error)
            raise PiiUnavailable from error
        return found


def client() -> Any:
    """A client that gives up soon: callers wait for it."""
    config = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    made: Any = boto3.client("comprehend", config=config)
    return made


def _pieces(texts: Sequence[str]) -> Iterator[_Piece]:
    """The texts, those that are longer than a call takes in parts that overlap."""
    for number, text in enumerate(texts):
        start = 0
        while start < len(text):
            said = text[start : start + MAX_BYTES].encode()[:MAX_BYTES].decode(errors="ignore")
            yield _Piece(number, start, said)
            is_last = start + len(said) == len(text)
            start += len(said) - (0 if is_last else OVERLAP)


def _batches(pieces: Iterator[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces that fit into one call together."""
    batch: list[_Piece] = []
    size = 0
    for piece in pieces:
        weight = len(piece.said.encode()) + len(GAP)
        if batch and size + weight > MAX_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += weight
    if batch:
        yield batch
