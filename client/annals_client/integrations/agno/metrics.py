"""Daily figures of sessions and runs: agno's own arithmetic, on what Annals keeps."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from agno.db.in_memory.utils import (
    calculate_date_metrics,
    fetch_all_sessions_data,
    get_dates_to_calculate_metrics_for,
)
from agno.db.utils import metrics_starting_date_from_records

from annals_client.calls import Steps
from annals_client.integrations.agno.order import Order
from annals_client.integrations.agno.sessions import SessionFilter, SessionStore
from annals_client.listing import collect_items
from annals_client.resources.documents import DocumentPut, Documents

Json = dict[str, Any]

METRICS = "agno.metrics"
UNOWNED = "-"
"""The key of what sessions without a user add up to; those of users begin with ``user:``."""


class MetricsStore:
    """The figures of a memory space, a document for each day and user."""

    def __init__(self, memory_space_id: str, sessions: SessionStore) -> None:
        self._space = memory_space_id
        self._sessions = sessions

    def calculate(self) -> Steps[list[Json] | None]:
        """Calculate the figures of all days that are not complete, store them, and return them; None if none are."""
        records = yield from self._read()
        begin = metrics_starting_date_from_records(records)
        wanted = SessionFilter(start_timestamp=None if begin is None else _begin_of(begin))
        sessions, _ = yield from self._sessions.page(wanted, Order(), include_runs=True)
        if not sessions:
            return None
        first = min(session["created_at"] for session in sessions)
        days = get_dates_to_calculate_metrics_for(begin or datetime.fromtimestamp(first, tz=timezone.utc).date())
        by_day = fetch_all_sessions_data(sessions=sessions, dates_to_process=days, start_timestamp=first) or {}
        figures = [
            record
            for day in days
            if any(by_day.get(day.isoformat(), {}).values())
            for record in calculate_date_metrics(day, by_day[day.isoformat()])
        ]
        yield from Documents.batch.steps(None, [self._put(record) for record in figures])
        return figures

    def find(self, begin: date | None, end: date | None, user_id: str | None) -> Steps[tuple[list[Json], int | None]]:
        """The figures of some days, and when they were calculated last. The user ``""`` stands for nobody."""
        records = yield from self._read()
        found = [
            record
            for record in records
            if (begin is None or record["date"] >= begin.isoformat())
            and (end is None or record["date"] <= end.isoformat())
            and user_id in (None, record["user_id"])
        ]
        latest = max((record["updated_at"] for record in found), default=None)
        return [{**record, "user_id": record["user_id"] or None} for record in found], latest

    def _read(self) -> Steps[list[Json]]:
        walk = Documents.list.walk(METRICS, namespace_prefix=(), memory_space_id=self._space, page_size=1000)
        documents = yield from collect_items(walk)
        return [document.value for document in documents]

    def _put(self, record: Json) -> DocumentPut:
        user_id = record["user_id"] or None
        return DocumentPut(
            collection=METRICS,
            key=UNOWNED if user_id is None else f"user:{user_id}",
            namespace=(record["date"],),
            value=record,
            memory_space_id=self._space,
            user_id=user_id,
        )


def _begin_of(day: date) -> int:
    """When a day begins in UTC, as Unix time in seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
