"""Reading the checkpoints of a conversation.

All gives calls (``annals_client.calls.Steps``), which a synchronous or an asynchronous client sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    writes_sort_key,
)

from annals_client.calls import Steps
from annals_client.integrations.langgraph.cells import (
    Cell,
    Piece,
    Wanted,
    cell_size,
    read_cell,
    wanted_by_cell,
    wanted_by_piece,
)
from annals_client.integrations.langgraph.packing import Packing
from annals_client.integrations.langgraph.recent import Recent
from annals_client.integrations.langgraph.stored import (
    CHECKPOINT,
    CHECKPOINTS,
    COLLECTION,
    PIECES,
    Channel,
    Group,
    Groups,
    StoredCheckpoint,
    is_reference,
    label_of,
    namespace_of,
)
from annals_client.models import Document, DocumentResult
from annals_client.resources.documents import DocumentGet, Documents

FIRST_PAGE, PAGE = 4, 100
"""How many documents are read at once: first, to find the newest checkpoint with what was written after it; later."""

MESSAGES = "messages"
"""The channel whose messages are a conversation's."""

Channels = dict[str, Channel]

DocumentAddress = tuple[Sequence[str], str]
"""The namespace and the key of a document."""


class CheckpointDamaged(RuntimeError):
    """A checkpoint refers to something that is gone: it was deleted while the checkpoint was written."""


@dataclass(frozen=True)
class ReadCheckpoint:
    """A checkpoint as it was read, and what is stored of it."""

    group: Group
    channels: Channels
    found: CheckpointTuple

    @property
    def message_ids(self) -> frozenset[str]:
        """The ids of the messages in it."""
        return ids_of_messages(self.found.checkpoint["channel_values"].get(MESSAGES))


class Reading:
    """Reads checkpoints of one conversation.

    Parameters
    ----------
    thread_id : the thread, as configurations of checkpoints name it
    known : pieces that were read or written lately
    """

    def __init__(self, conversation_id: str, thread_id: str, packing: Packing, known: Recent[str, Piece]) -> None:
        self._conversation_id = conversation_id
        self._thread_id = thread_id
        self._packing = packing
        self._known = known
        self._pieces: dict[str, Piece] = {}

    def find(self, namespace: str, checkpoint_id: str | None) -> Steps[Group | None]:
        """A checkpoint of a namespace, the newest one without an id."""
        prefix = [CHECKPOINTS, label_of(namespace), *([checkpoint_id] if checkpoint_id else [])]
        for size, limit in ((FIRST_PAGE, FIRST_PAGE), (PAGE, None)):
            walk = Documents.list.walk(
                COLLECTION,
                namespace_prefix=prefix,
                order="desc",
                limit=limit,
                page_size=size,
                conversation_id=self._conversation_id,
            )
            groups, is_over = Groups(), True
            while call := walk.next_call():
                page = walk.take((yield call))
                is_over = page.next_cursor is None
                for group in groups.take(page.items):
                    return group
            if is_over:
                return None
        return None

    def read_many(self, groups: Sequence[Group]) -> Steps[list[ReadCheckpoint]]:
        """Checkpoints with their values."""
        channels = yield from self.channels_of(groups)
        written = [entry[2] for group in groups for each in group.writes for entry in each["writes"]]
        yield from self.gather([*written, *(group.stored.metadata for group in groups)])
        return [self._read_checkpoint(group, of_group) for group, of_group in zip(groups, channels, strict=True)]

    def read_metadata(self, groups: Sequence[Group]) -> Steps[list[CheckpointMetadata]]:
        """The metadata of checkpoints."""
        yield from self.gather([group.stored.metadata for group in groups])
        return [self._metadata(group) for group in groups]

    def channels_of(self, groups: Sequence[Group]) -> Steps[list[Channels]]:
        """The channels of checkpoints with their cells, wherever these stand, and with the digests of all pieces."""
        held = yield from self._held_cells(groups)
        cells = [
            {
                name: held[group.label, cell["at"], name] if is_reference(cell) else cell
                for name, cell in group.stored.channels.items()
            }
            for group in groups
        ]
        yield from self.gather([group.stored.checkpoint for group in groups])
        digests = iter((yield from self.gather([cell for each in cells for cell in each.values()])))
        channels = []
        for group, of_group in zip(groups, cells, strict=True):
            versions = self._body(group).get("channel_versions", {})
            channels.append(
                {
                    name: Channel(versions.get(name), cell, group.holder_of(name), next(digests))
                    for name, cell in of_group.items()
                }
            )
        return channels

    def gather(self, cells: Sequence[Cell]) -> Steps[list[frozenset[str]]]:
        """Read the pieces of some cells; the digests of each cell's."""
        found: list[set[str]] = [set() for _ in cells]
        todo = [(number, wanted) for number, cell in enumerate(cells) for wanted in wanted_by_cell(cell)]
        while todo:
            yield from self._get_pieces({digest for _, (digest, _) in todo})
            below: list[tuple[int, Wanted]] = []
            for number, (digest, kind) in todo:
                if digest not in found[number]:
                    found[number].add(digest)
                    below += ((number, wanted) for wanted in wanted_by_piece(self._pieces[digest], kind))
            todo = below
        return [frozenset(digests) for digests in found]

    def _held_cells(self, groups: Sequence[Group]) -> Steps[dict[tuple[str, str, str], Cell]]:
        """The cells that stand in the documents of other checkpoints: by label, checkpoint and channel."""
        listed = {(group.label, group.checkpoint_id): group.stored for group in groups}
        wanted = {(group.label, holder) for group in groups for holder in group.stored.holders}
        missing = sorted(wanted - listed.keys())
        documents = yield from self._get_all([(namespace_of(*each), CHECKPOINT) for each in missing])
        for address, document in zip(missing, documents, strict=True):
            if document is None:
                raise CheckpointDamaged(f"Checkpoint {address[1]} is gone, and others of the thread need it.")
            listed[address] = StoredCheckpoint.of(document.value)
        return {(*address, name): cell for address in wanted for name, cell in listed[address].channels.items()}

    def _get_pieces(self, digests: Iterable[str]) -> Steps[None]:
        missing = []
        for digest in digests:
            if digest not in self._pieces:
                known = self._known.find(digest)
                if known is None:
                    missing.append(digest)
                else:
                    self._pieces[digest] = known
        documents = yield from self._get_all([((PIECES,), digest) for digest in missing])
        for digest, document in zip(missing, documents, strict=True):
            if document is None:
                raise CheckpointDamaged(f"Piece {digest} is gone, and a checkpoint of {self._thread_id!r} needs it.")
            self._pieces[digest] = document.value
            self._known.keep(digest, document.value, cell_size(document.value))

    def _get_all(self, addresses: Sequence[DocumentAddress]) -> Steps[list[Document | None]]:
        results: list[DocumentResult] = yield from Documents.batch.steps(
            None,
            [
                DocumentGet(collection=COLLECTION, namespace=namespace, key=key, conversation_id=self._conversation_id)
                for namespace, key in addresses
            ],
        )
        return [result.document for result in results]

    def _read(self, cell: Cell) -> Any:
        return read_cell(cell, self._pieces.__getitem__, self._packing)

    def _body(self, group: Group) -> Mapping[str, Any]:
        """A checkpoint without its values."""
        body: Mapping[str, Any] = self._read(group.stored.checkpoint)
        return body

    def _metadata(self, group: Group) -> CheckpointMetadata:
        return cast("CheckpointMetadata", self._read(group.stored.metadata))

    def _read_checkpoint(self, group: Group, channels: Channels) -> ReadCheckpoint:
        parent = group.stored.parent
        values = {name: self._read(channel.cell) for name, channel in channels.items()}
        found = CheckpointTuple(
            config=config_of(self._thread_id, group.namespace, group.checkpoint_id),
            checkpoint=cast("Checkpoint", {**self._body(group), "channel_values": values}),
            metadata=self._metadata(group),
            parent_config=config_of(self._thread_id, group.namespace, parent) if parent else None,
            pending_writes=self._pending_writes(group),
        )
        return ReadCheckpoint(group, channels, found)

    def _pending_writes(self, group: Group) -> list[PendingWrite]:
        """What was written after a checkpoint, in the order in which it is applied."""
        entries = [(each["path"], each["task"], *entry) for each in group.writes for entry in each["writes"]]
        entries.sort(key=lambda entry: writes_sort_key(*entry[:3]))
        return [(task, channel, self._read(cell)) for _, task, _, channel, cell in entries]


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The configuration that names a checkpoint."""
    return {
        "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id},
    }


def ids_of_messages(value: Any) -> frozenset[str]:
    """The ids of the messages that a channel's value has."""
    messages = value if isinstance(value, list) else []
    return frozenset(each.id for each in messages if isinstance(each, BaseMessage) and each.id)
