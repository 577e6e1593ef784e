"""Has the store suite of langgraph-checkpoint test ``AnnalsStore``: it stands for the store that the suite makes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import served
from langgraph.store import memory

from annals_client import Annals
from annals_client.integrations.langgraph import AnnalsStore

_annals = Annals(served.url(), served.new_key())


class _NewStore(AnnalsStore):
    """An ``AnnalsStore`` that holds nothing yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_annals, collection=f"suite-{uuid4().hex}", **options)


memory.InMemoryStore = _NewStore  # type: ignore[assignment,misc]
