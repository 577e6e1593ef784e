"""Keep the conversations' heads up to the ledger, from its stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.conversations.heads import project
from annals.streams import answer_batch


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Project each conversation that the batch names once."""
    return answer_batch(event, _project)


def _project(pk: str, seqs: list[int]) -> tuple[()]:
    project(pk)
    return ()
