"""Keep the conversations' heads up to the ledger, from its stream; and their summaries, where that is set.

It sees every change of the ledger, so it also raises the alarm for one that nothing explains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from annals import telemetry
from annals.database.streams import note_lag
from annals.ledger.stream import answer_batch, changed_entries, new_entries, unknown_items
from annals.ledger.tampering import report_unexplained, report_unknown_items
from annals.memory.erasure.user_tracing import trace_entries
from annals.memory.retention_timers import project_with_timer
from annals.publishing.notify import notify_entries
from annals.settings import settings

SUMMARIES_BUDGET_S = 20.0
"""How long a batch may summarise. Meanwhile the heads of the next batch wait."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Project each conversation that the batch names once and tell of it; then summarise those that grew enough.

    A summary that fails fails no record: heads come first, and the conversation's next message is another occasion.
    """
    seen: list[str] = []
    changed, new = changed_entries(event), new_entries(event)
    unreported = dict(changed)

    def work(pk: str, seqs: list[int]) -> Collection[int]:
        report_unexplained(pk, unreported.pop(pk, {}))
        if pk in changed:
            # What was redacted goes first, whatever may be wrong with the head.
            from annals.memory.erasure.message_redaction import finish_redactions

            finish_redactions(pk, changed[pk])
        project_with_timer(pk)
        trace_entries(pk, seqs)
        seen.append(pk)
        return notify_entries(pk, new.get(pk, ()))

    report_unknown_items(unknown_items(event))
    answer = answer_batch(event, work)
    note_lag("ProjectLagMs", event)
    if settings().summarize_every:
        from annals.memory.summarizing import summarize_due

        summarize_due(seen, settings().summarize_every, SUMMARIES_BUDGET_S)
    telemetry.publish()
    return answer
