"""A pytest plugin: the framework's own tests of its SQLiteSession run with our session in its place.

What a database file is to theirs, a tenant is to ours; without a file, each session has a tenant of its own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import agents
import agents.memory
import pytest
import served

from annals_client.integrations.openai_agents import AnnalsSession


@cache
def _key_of(file: str) -> str:
    return served.new_key()


class SQLiteSession(AnnalsSession):
    """Our session, made as theirs is."""

    def __init__(self, session_id: str, db_path: str | Path = ":memory:", **settings: Any) -> None:
        key = served.new_key() if str(db_path) == ":memory:" else _key_of(str(db_path))
        super().__init__(session_id, url=served.url(), key=key, **settings)


agents.SQLiteSession = SQLiteSession  # type: ignore[assignment,misc]
agents.memory.SQLiteSession = SQLiteSession  # type: ignore[assignment,misc]

OF_SQLITE_ALONE = (
    "closes_worker_thread_connections",
    "reaps_connections_from_exited_worker_threads",
    "closes_retired_connections_before_the_next_allocation",
    "keeps_connections_of_live_worker_threads",
    "closed_rejects_empty_add_items",
    "corrupt",
    "file_lock_is_shared_across_instances",
    "releases_write_lock",
    "failed_clear_session_rolls_back",
    "rollback_failure_evicts_connection",
    "close_retries_quarantined_connection",
    "post_commit_cancellation_propagates_after_known_outcome",
)
"""What the tests are about that reach into the database of theirs: its connections, locks, rows and words."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is about SQLite alone."""
    for item in items:
        if any(name in item.name for name in OF_SQLITE_ALONE):
            item.add_marker(pytest.mark.skip(reason="it reaches into the database of SQLiteSession"))
