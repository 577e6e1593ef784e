"""Where the documents of a thread's checkpoints are, and what is in them.

All are documents of the thread's conversation, in one collection:

==============================  ==============================  =====================================================
namespace                       key                             value
==============================  ==============================  =====================================================
``checkpoints``, ``.`` ns, id   ``checkpoint``                  a checkpoint; see ``StoredCheckpoint``
the same                        ``writes:`` task ``:`` slot     what a task wrote after this checkpoint
``pieces``                      a digest                        a piece of a value; see ``cells``
``runs``                        a label, see ``runs``           the id of a run of which there are checkpoints
==============================  ==============================  =====================================================

So the newest checkpoint and what was written after it are the end of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from annals_client.integrations.langgraph.cells import Cell, cell_size
from annals_client.models import Document

COLLECTION = "langgraph"
CHECKPOINTS, PIECES, RUNS = "checkpoints", "pieces", "runs"
CHECKPOINT, WRITES = "checkpoint", "writes"

MAX_LABEL_CHARS, MAX_KEY_CHARS = 250, 400

COPIED_BYTES = 100
"""Up to how many bytes a channel's unchanged cell stands in the next checkpoint again."""


@dataclass(frozen=True)
class Channel:
    """A channel's value as it is stored.

    Parameters
    ----------
    version : the channel's version
    cell : the value
    holder : the checkpoint in whose document the cell stands
    digests : all pieces of the value
    """

    version: Any
    cell: Cell
    holder: str
    digests: frozenset[str]


@dataclass(frozen=True)
class Snapshot:
    """What is known of a checkpoint that was read or written: what the next one need not store again."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    message_ids: frozenset[str] = frozenset()

    @property
    def digests(self) -> frozenset[str]:
        """The pieces that are stored."""
        return frozenset[str]().union(*(channel.digests for channel in self.channels.values()))


@dataclass(frozen=True)
class StoredCheckpoint:
    """The document of a checkpoint.

    Parameters
    ----------
    checkpoint : all of the checkpoint but the channels' values, as a cell
    metadata : a cell, too
    parent : the id of the checkpoint before, None for the first one
    channels : the cell of each channel that has a value, or ``{"at": …}``, the id of the checkpoint that has the cell
    namespace : the namespace, where the label doesn't say it
    """

    checkpoint: Cell
    metadata: Cell
    parent: str | None
    channels: Mapping[str, Cell]
    namespace: str | None = None

    @staticmethod
    def of(value: Mapping[str, Any]) -> StoredCheckpoint:
        """The checkpoint that a document holds."""
        return StoredCheckpoint(
            value["checkpoint"], value["metadata"], value.get("parent"), value["channels"], value.get("namespace")
        )

    def to_value(self) -> dict[str, Any]:
        """What its document holds."""
        more = {"parent": self.parent, "namespace": self.namespace}
        given = {name: value for name, value in more.items() if value is not None}
        return {"checkpoint": self.checkpoint, "metadata": self.metadata, "channels": dict(self.channels), **given}

    @property
    def holders(self) -> set[str]:
        """The other checkpoints in whose documents its cells stand."""
        return {cell["at"] for cell in self.channels.values() if is_reference(cell)}


@dataclass(frozen=True)
class Group:
    """A checkpoint's documents: its own, and those of what was written after it."""

    label: str
    checkpoint_id: str
    stored: StoredCheckpoint
    writes: Sequence[Mapping[str, Any]]
    keys: Sequence[str] = ()

    @property
    def address(self) -> tuple[str, str]:
        """Which one it is in its conversation."""
        return self.label, self.checkpoint_id

    def holder_of(self, channel: str) -> str:
        """The checkpoint in whose document a channel's cell stands."""
        cell = self.stored.channels[channel]
        holder: str = cell["at"] if is_reference(cell) else self.checkpoint_id
        return holder

    @property
    def namespace(self) -> str:
        """The checkpoint's namespace."""
        return self.label[1:] if self.stored.namespace is None else self.stored.namespace


def is_reference(cell: Cell) -> bool:
    """Whether a cell only says where the cell is."""
    return isinstance(cell, Mapping) and "at" in cell


def reference_or_cell(channel: Channel) -> Cell:
    """An unchanged channel in the document of the next checkpoint."""
    return channel.cell if cell_size(channel.cell) <= COPIED_BYTES else {"at": channel.holder}


def label_of(namespace: str) -> str:
    """The label of a checkpoint's namespace; of a very long one it has a digest."""
    if len(namespace) < MAX_LABEL_CHARS and namespace.isprintable():
        return f".{namespace}"
    return "#" + sha256(namespace.encode("utf-8", "surrogatepass")).hexdigest()


def namespace_of(label: str, checkpoint_id: str) -> tuple[str, str, str]:
    """The namespace of a checkpoint's documents."""
    return CHECKPOINTS, label, checkpoint_id


def writes_key(task_id: str, slot: str) -> str:
    """The key of what a task wrote: in one document, but for each of the special channels."""
    is_plain = len(task_id) < MAX_KEY_CHARS and task_id.isprintable()
    task = task_id if is_plain else "#" + sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{WRITES}:{task}:{slot}"


class Groups:
    """Gathers documents into groups, as they come from a list that begins with the newest.

    A checkpoint is the last of its group. What was written after a checkpoint that is not stored is left out.
    """

    def __init__(self) -> None:
        self._writes: list[Document] = []

    def take(self, documents: Iterable[Document]) -> Iterator[Group]:
        """The groups that are complete with these documents."""
        for document in documents:
            if self._writes and self._writes[-1].namespace != document.namespace:
                self._writes = []
            if document.key != CHECKPOINT:
                self._writes.append(document)
                continue
            _, label, checkpoint_id = document.namespace
            yield Group(
                label,
                checkpoint_id,
                StoredCheckpoint.of(document.value),
                [each.value for each in self._writes],
                [CHECKPOINT, *(each.key for each in self._writes)],
            )
            self._writes = []
