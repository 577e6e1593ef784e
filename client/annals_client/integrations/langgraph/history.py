"""The checkpoints of a thread, page by page, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

from annals_client.calls import Steps
from annals_client.integrations.langgraph.checkpoints import Checkpoints
from annals_client.integrations.langgraph.stored import CHECKPOINTS, COLLECTION, Group, Groups, label_of
from annals_client.integrations.langgraph.threads import Thread, Threads
from annals_client.listing import PageWalk
from annals_client.models import Document
from annals_client.resources.documents import Documents

MAX_PAGE = 50
"""How many documents are read at once."""


class History:
    """A walk through the checkpoints of a thread.

    Parameters
    ----------
    namespace : the namespace of the checkpoints; None for all, one after the other
    checkpoint_id : the only one that is wanted
    before : the id before which the ids are
    metadata : what the metadata hold
    limit : how many checkpoints are wanted; None for all
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        threads: Threads,
        thread: Thread,
        *,
        namespace: str | None,
        checkpoint_id: str | None,
        before: str | None,
        metadata: Mapping[str, Any],
        limit: int | None,
    ) -> None:
        self._checkpoints = checkpoints
        self._threads = threads
        self._thread = thread
        self._labels = [] if namespace is None else [label_of(namespace)]
        self._id = checkpoint_id
        self._before = before
        self._metadata = metadata
        self._left = limit
        self._groups = Groups()
        self._walk: tuple[str, PageWalk[Document]] | None = None
        self.is_over = limit is not None and limit <= 0

    def next_page(self) -> Steps[list[CheckpointTuple]]:
        """The next checkpoints, some or none; ``is_over`` says whether there are more."""
        found = yield from self._threads.read(self._thread, self._next_page)
        if found is None:
            self.is_over = True
        return found or []

    def _next_page(self, conversation_id: str) -> Steps[list[CheckpointTuple]]:
        if self._walk is None or self._walk[0] != conversation_id:
            self._walk = conversation_id, self._begin(conversation_id)
        walk = self._walk[1]
        call = walk.next_call()
        if call is None:
            self.is_over = True
            return []
        page = walk.take((yield call))
        self.is_over = page.next_cursor is None
        groups = [group for group in self._groups.take(page.items) if self._is_wanted(group)]
        reading = self._checkpoints.reading(conversation_id, self._thread.thread_id)
        metadata = yield from reading.read_metadata(groups)
        wanted = [group for group, of_group in zip(groups, metadata, strict=True) if self._matches(of_group)]
        if self._left is not None:
            wanted = wanted[: self._left]
            self._left -= len(wanted)
            self.is_over = self.is_over or self._left == 0
        return [read.found for read in (yield from reading.read_many(wanted))]

    def _begin(self, conversation_id: str) -> PageWalk[Document]:
        prefix = [CHECKPOINTS, *self._labels, *([self._id] if self._id and self._labels else [])]
        size = MAX_PAGE if self._left is None or self._metadata or self._before else 4 * self._left
        return Documents.list.walk(
            COLLECTION,
            namespace_prefix=prefix,
            order="desc",
            page_size=min(max(size, 1), MAX_PAGE),
            conversation_id=conversation_id,
        )

    def _is_wanted(self, group: Group) -> bool:
        is_the_one = self._id is None or group.checkpoint_id == self._id
        return is_the_one and (self._before is None or group.checkpoint_id < self._before)

    def _matches(self, metadata: Mapping[str, Any]) -> bool:
        return all(metadata.get(name) == wanted for name, wanted in self._metadata.items())
