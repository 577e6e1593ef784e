"""Memories: what is remembered of a run, and what is recalled for the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annals_client.errors import Unavailable
from annals_client.filters import MemoryFilter
from annals_client.formats.plain_json import without_surrogates
from annals_client.integrations.support import Clients
from annals_client.models import Hit

logger = logging.getLogger(__name__)

CONTEXT_PROMPT = "## Memories\nConsider the following memories when answering user questions:"
TOP_K = 10
QUESTION_CHARS = 8_000
"""How much of a question is searched for: its end, where a long one says what it wants."""
REMEMBERED_ROLES = frozenset({"user", "assistant", "system"})


@dataclass(frozen=True)
class Recall:
    """How memories are recalled.

    Parameters
    ----------
    space_id : the memory space that is searched
    top_k : how many memories, at most, of all searches together
    min_score : how good a memory has to be, from 0 to 1
    """

    space_id: str
    top_k: int = TOP_K
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}")

    async def prompt(
        self,
        clients: Clients,
        filters: Sequence[MemoryFilter],
        asked: Iterable[str],
        *,
        shown: Iterable[str],
        heading: str,
    ) -> str | None:
        """The memories that answer best, as a text for a model; None where there are none.

        Parameters
        ----------
        filters : whose memories are searched: one search for each
        asked : what is asked, text by text
        shown : what the model is shown anyway
        heading : what stands before the memories
        """
        question = "\n".join(text for text in asked if text.strip())
        if not question:
            return None
        try:
            found = await asyncio.gather(*(self._search(clients, question, each) for each in filters))
        except Unavailable:
            logger.exception("Memories cannot be recalled now: the run goes on without them")
            return None
        best = sorted((hit for hits in found for hit in hits), key=lambda hit: -hit.score)
        memories = {hit.memory_id: hit.content for hit in best}
        lines = [text for text in [*memories.values()][: self.top_k] if text and text not in {*shown}]
        return "\n".join([heading, *lines]) if lines else None

    async def _search(self, clients: Clients, question: str, conditions: MemoryFilter) -> list[Hit]:
        return await clients.asynchronous.memory.search(
            without_surrogates(question[-QUESTION_CHARS:]),
            memory_space_id=self.space_id,
            limit=self.top_k,
            min_score=self.min_score,
            **conditions,
        )
