"""The tokens of a reply, which every provider has under names of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INPUT = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokenCount", "promptTokens", "prompt_eval_count")
OUTPUT = (
    "output_tokens",
    "completion_tokens",
    "outputTokens",
    "candidatesTokenCount",
    "completionTokens",
    "eval_count",
)
"""The names of the tokens that a model was given, and of those that it wrote."""


def token_counts(usage: Mapping[str, Any]) -> tuple[int | None, int | None] | None:
    """The tokens that a model was given and those that it wrote, None for what it does not say; None for nothing."""
    given, written = _count(usage, INPUT), _count(usage, OUTPUT)
    return None if given is None and written is None else (given, written)


def _count(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (usage.get(name) for name in names)
    return next((count for count in counts if type(count) is int and count >= 0), None)
