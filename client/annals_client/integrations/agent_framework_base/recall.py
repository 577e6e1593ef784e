"""Memories: what is remembered of a run, and what is recalled for the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from annals_client.errors import Unavailable
from annals_client.filters import MemoryFilter
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
    """Whose memories are recalled: of a user, of an agent (whoever the user was), or of a whole application.

    A user's and an agent's are searched for apart. All of the application is searched where neither is named.

    Parameters
    ----------
    stored_in : the memory space that is searched where ``application_id`` names none
    top_k : how many memories, at most, of all searches together
    min_score : how good a memory has to be, from 0 to 1
    """

    stored_in: str
    application_id: str | None = None
    agent_id: str | None = None
    user_id: str | None = None
    top_k: int = TOP_K
    min_score: float = 0.0

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k must be 1 or more, not {self.top_k}")

    def filters(self) -> list[MemoryFilter]:
        """The filters of the searches; none where nothing is to be recalled."""
        filters: list[MemoryFilter] = []
        if self.user_id:
            filters.append({"user_id": self.user_id})
        if self.agent_id:
            filters.append({"agent_id": self.agent_id})
        return filters or ([{}] if self.application_id else [])

    async def prompt(self, clients: Clients, asked: Iterable[str], shown: Iterable[str], heading: str) -> str | None:
        """The memories that answer best, as a text for a model; None where there are none.

        Parameters
        ----------
        asked : what is asked, text by text
        shown : what the model is shown anyway
        heading : what stands before the memories
        """
        question = "\n".join(text for text in asked if text.strip())
        filters = self.filters()
        if not question or not filters:
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
            question[-QUESTION_CHARS:],
            memory_space_id=self.application_id or self.stored_in,
            limit=self.top_k,
            min_score=self.min_score,
            **conditions,
        )
