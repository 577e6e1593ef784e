"""Notifications of changes, where there is a bus for events; without one, no module for that is imported."""

from __future__ import annotations

from collections.abc import Collection

from annals.settings import settings


def notify_entries(pk: str, seqs: Collection[int]) -> Collection[int]:
    """Publish a conversation's entries. Returns the seqs of those that have to be published again."""
    if not settings().events_bus:
        return ()
    from annals.publishing.conversation_events import publish_entries

    return publish_entries(pk, seqs)


def notify_item(pk: str, sk: str) -> None:
    """Publish a memory or a fact. Raises Unavailable where that has to be done again."""
    if settings().events_bus:
        from annals.publishing.memory_events import publish_item

        publish_item(pk, sk)
