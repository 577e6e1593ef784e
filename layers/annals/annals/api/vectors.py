"""Vectors in the API's requests: to search by, and to be stored."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from annals.api.fields import field_error
from annals.packed_vectors import pack, unpack

MAX_DIMENSIONS = 16_000
"""How many numbers a vector to search by may have: as many as OpenSearch takes."""

MAX_STORED_DIMENSIONS = 4_096
"""How many numbers a vector that is stored may have."""


def _check_vector(value: Any, most: int) -> list[float]:
    if not isinstance(value, list) or not value or len(value) > most or not all(map(_is_finite, value)):
        raise field_error("INVALID_EMBEDDING", f"must be a list of 1 to {most} finite numbers")
    return [float(part) for part in value]


def _is_finite(value: Any) -> bool:
    """Whether something is a number that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all doubles
        return False


def _check_embedding(value: Any) -> list[float]:
    return _check_vector(value, MAX_DIMENSIONS)


def _check_and_pack(value: Any) -> str:
    """A vector as it is stored, of a list of numbers, or of what an export has of it."""
    if isinstance(value, str):
        try:
            value = list(unpack(value))
        except ValueError:
            raise field_error("INVALID_EMBEDDING", "must be a list of numbers, or what an export has of one") from None
    packed = pack(_check_vector(value, MAX_STORED_DIMENSIONS))
    numbers = unpack(packed)
    if not all(map(math.isfinite, numbers)) or not any(numbers):
        raise field_error("INVALID_EMBEDDING", "must hold numbers of single precision, not all of them 0")
    return packed


Embedding = Annotated[
    list[float],
    BeforeValidator(_check_embedding),
    Field(json_schema_extra={"minItems": 1, "maxItems": MAX_DIMENSIONS}),
]
"""A vector to search by."""

OwnEmbedding = Annotated[
    str,
    BeforeValidator(_check_and_pack),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 1,
            "maxItems": MAX_STORED_DIMENSIONS,
            "description": "The caller's own vector of the text, in a memory space whose callers embed",
        }
    ),
]
"""A vector that the caller made of a text, as it is stored."""
