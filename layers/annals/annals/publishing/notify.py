"""Telling the events' bus what changed, where there is one; where there is none, nothing of that is loaded."""

from __future__ import annotations

from collections.abc import Collection

from annals.settings import settings


def notify_entries(pk: str, seqs: Collection[int]) -> Collection[int]:
    """Tell of a conversation's entries. Returns the seqs of those that have to be told again."""
    if not settings().events_bus:
        return ()
    from annals.publishing.conversation_events import publish_entries

    return publish_entries(pk, seqs)


def notify_item(pk: str, sk: str) -> None:
    """Tell of a memory or a fact. Raises Unavailable where that has to be done again."""
    if settings().events_bus:
        from annals.publishing.memory_events import publish_item

        publish_item(pk, sk)
