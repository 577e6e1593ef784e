"""What both databases are made of."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from agno.db.migrations.manager import MigrationManager

from annals_client.integrations.agno.directory import Directory
from annals_client.integrations.agno.known_messages import KnownMessages
from annals_client.integrations.agno.memories import MemoryStore
from annals_client.integrations.agno.metrics import MetricsStore
from annals_client.integrations.agno.run_messages import RunMessages
from annals_client.integrations.agno.runs import RunStore
from annals_client.integrations.agno.sessions import SessionStore

LOG = logging.getLogger(__name__)

SCHEMA_VERSION = str(MigrationManager.available_versions[-1][1])
"""There are no tables, so that none is ever to be migrated."""


class Stores:
    """The sessions, runs, memories and figures of a memory space."""

    def __init__(self, memory_space_id: str) -> None:
        directory = Directory(memory_space_id)
        self.runs = RunStore(directory, RunMessages(KnownMessages()))
        self.sessions = SessionStore(directory, self.runs)
        self.memories = MemoryStore(memory_space_id)
        self.metrics = MetricsStore(memory_space_id, self.sessions)


class NotKept:
    """What Annals does not keep for agno. The other parts of agno that it doesn't know are refused by agno itself."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        kept = "sessions, runs, memories, summaries and metrics"
        raise NotImplementedError(f"{type(self).__name__} keeps {kept}: give agno another database for the rest.")

    delete_knowledge_content = _refuse
    get_knowledge_content = _refuse
    get_knowledge_contents = _refuse
    upsert_knowledge_content = _refuse
    create_eval_run = _refuse
    delete_eval_runs = _refuse
    get_eval_run = _refuse
    get_eval_runs = _refuse
    rename_eval_run = _refuse
    upsert_trace = _refuse
    get_trace = _refuse
    get_traces = _refuse
    get_trace_stats = _refuse
    create_span = _refuse
    create_spans = _refuse
    get_span = _refuse
    get_spans = _refuse
    get_learning = _refuse
    upsert_learning = _refuse
    delete_learning = _refuse
    get_learnings = _refuse
