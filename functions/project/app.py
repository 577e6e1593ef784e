"""Keep the conversations' heads up to the ledger, from its stream; and their summaries, where that is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals.conversations.heads import project
from annals.settings import settings
from annals.streams import answer_batch

SUMMARIES_BUDGET_S = 20.0
"""How long a batch may summarise. Meanwhile the heads of the next batch wait."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Project each conversation that the batch names once; then summarise those that grew enough.

    A summary that fails fails no record: heads come first, and the conversation's next message is another occasion.
    """
    seen: list[str] = []

    def work(pk: str, seqs: list[int]) -> tuple[()]:
        project(pk)
        seen.append(pk)
        return ()

    answer = answer_batch(event, work)
    if settings().summarize_every:
        from annals.memory.summaries import summarize_due

        summarize_due(seen, settings().summarize_every, SUMMARIES_BUDGET_S)
    return answer
