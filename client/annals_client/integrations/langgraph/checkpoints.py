"""Writing, copying and removing the checkpoints of conversations.

Each checkpoint stores what is new in it. All gives calls (``annals_client.calls.Steps``), which a synchronous or an
asynchronous client sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from annals_client.calls import Steps
from annals_client.errors import PreconditionFailed
from annals_client.integrations.langgraph.cells import CellWriter, Piece, cell_size
from annals_client.integrations.langgraph.packing import Packing, Serde
from annals_client.integrations.langgraph.reading import Channels, CheckpointDamaged, ReadCheckpoint, Reading
from annals_client.integrations.langgraph.recent import Recent
from annals_client.integrations.langgraph.stored import (
    CHECKPOINT,
    CHECKPOINTS,
    COLLECTION,
    PIECES,
    Channel,
    Group,
    Groups,
    Snapshot,
    StoredCheckpoint,
    is_reference,
    label_of,
    namespace_of,
    reference_or_cell,
    writes_key,
)
from annals_client.listing import collect_items
from annals_client.resources.documents import DocumentDelete, DocumentOperation, DocumentPut, Documents

PIECES_BYTES = 32_000_000
"""What is remembered of the pieces that were read or written."""

SNAPSHOTS = 256
"""Of how many checkpoints it is remembered what is stored."""

GRACE = timedelta(minutes=10)
"""How old a piece is at least that is deleted, as no checkpoint needs it: the checkpoint may be on its way."""

REGULAR = "regular"
"""The slot of what a task wrote to channels that are not special."""

MAX_RACES = 20
"""How often a document is read again that others change at the same time."""

EMPTY = Snapshot()

UNKNOWN = object()
"""Stands for the version of a channel that has none: it is equal to no version."""

SnapshotKey = tuple[str, str, str]
"""A conversation's id, the label of a namespace, and the id of a checkpoint."""


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint to be stored.

    Parameters
    ----------
    namespace : its namespace, ``""`` for that of the graph itself
    parent : the id of the checkpoint before, None for the first one
    checkpoint : it, with all values
    metadata : as it is to be read
    new_versions : the channels that changed since its parent
    message_ids : the ids of the messages in it
    """

    namespace: str
    parent: str | None
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    new_versions: ChannelVersions
    message_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class NewWrites:
    """What a task wrote after a checkpoint: pairs of a channel and a value."""

    namespace: str
    checkpoint_id: str
    writes: Sequence[tuple[str, Any]]
    task_id: str
    task_path: str


class Checkpoints:
    """Writes the checkpoints of conversations. Threads may share it."""

    def __init__(self, serde: Serde) -> None:
        self._packing = Packing(serde)
        self._pieces: Recent[str, Piece] = Recent(PIECES_BYTES)
        self._snapshots: Recent[SnapshotKey, Snapshot] = Recent(SNAPSHOTS)
        self._written: Recent[SnapshotKey, frozenset[str]] = Recent(SNAPSHOTS)

    def reading(self, conversation_id: str, thread_id: str) -> Reading:
        """What reads the checkpoints of a conversation."""
        return Reading(conversation_id, thread_id, self._packing, self._pieces)

    def get(
        self, conversation_id: str, thread_id: str, namespace: str, checkpoint_id: str | None
    ) -> Steps[CheckpointTuple | None]:
        """A checkpoint, the newest one of its namespace without an id; None where there is none."""
        reading = self.reading(conversation_id, thread_id)
        group = yield from reading.find(namespace, checkpoint_id)
        if group is None:
            return None
        [read] = yield from reading.read_many([group])
        self.note(conversation_id, read)
        return read.found

    def note(self, conversation_id: str, read: ReadCheckpoint) -> None:
        """Remember what is stored of a checkpoint that was read."""
        key = conversation_id, read.group.label, read.group.checkpoint_id
        self._snapshots.keep(key, Snapshot(read.channels, read.message_ids), 1)

    def snapshot(self, conversation_id: str, namespace: str, checkpoint_id: str | None) -> Steps[Snapshot]:
        """What is stored of a checkpoint; nothing of one that there is not."""
        if checkpoint_id is None:
            return EMPTY
        key = conversation_id, label_of(namespace), checkpoint_id
        if self._snapshots.find(key) is None:
            yield from self.get(conversation_id, "", namespace, checkpoint_id)
        return self._snapshots.find(key) or EMPTY

    def put(self, conversation_id: str, new: NewCheckpoint) -> Steps[None]:
        """Store a checkpoint: first the pieces that are not stored yet, then the document that makes it one."""
        label, checkpoint_id = label_of(new.namespace), new.checkpoint["id"]
        parent = yield from self.snapshot(conversation_id, new.namespace, new.parent)
        channels, pieces = self._channels(new, parent)
        writer = CellWriter(self._packing)
        stored = StoredCheckpoint(
            checkpoint=writer.write({name: of for name, of in new.checkpoint.items() if name != "channel_values"}),
            metadata=writer.write(dict(new.metadata)),
            parent=new.parent,
            channels={name: _shown(channel, checkpoint_id) for name, channel in channels.items()},
            namespace=None if label == f".{new.namespace}" else new.namespace,
        )
        known = parent.digests | self._written_after(conversation_id, label, new.parent)
        yield from self._put_pieces(conversation_id, {**pieces, **writer.pieces}, known)
        yield from self._put(conversation_id, namespace_of(label, checkpoint_id), CHECKPOINT, stored.to_value())
        held = {
            name: channel if is_reference(stored.channels[name]) else replace(channel, holder=checkpoint_id)
            for name, channel in channels.items()
        }
        self._snapshots.keep((conversation_id, label, checkpoint_id), Snapshot(held, new.message_ids), 1)

    def _channels(self, new: NewCheckpoint, parent: Snapshot) -> tuple[Channels, dict[str, Piece]]:
        """The channels of a new checkpoint, and the pieces of those that changed."""
        channels: Channels = {}
        pieces: dict[str, Piece] = {}
        versions = new.checkpoint["channel_versions"]
        for name, value in new.checkpoint["channel_values"].items():
            before = parent.channels.get(name)
            if before and name not in new.new_versions and before.version == versions.get(name, UNKNOWN):
                channels[name] = before
                continue
            writer = CellWriter(self._packing)
            cell = writer.write(value)
            channels[name] = Channel(versions.get(name), cell, new.checkpoint["id"], frozenset(writer.pieces))
            pieces |= writer.pieces
        return channels, pieces

    def put_writes(self, conversation_id: str, new: NewWrites) -> Steps[None]:
        """Store what a task wrote: once where it comes again, but for the special channels, whose last value counts."""
        key = conversation_id, label_of(new.namespace), new.checkpoint_id
        writer = CellWriter(self._packing)
        slots: dict[str, list[Any]] = {}
        for number, (channel, value) in enumerate(new.writes):
            index = WRITES_IDX_MAP.get(channel, number)
            slots.setdefault(REGULAR if index >= 0 else str(index), []).append([index, channel, writer.write(value)])
        known = self._written_after(*key) | (self._snapshots.find(key) or EMPTY).digests
        yield from self._put_pieces(conversation_id, writer.pieces, known)
        self._written.keep(key, self._written_after(*key) | writer.pieces.keys(), 1)
        for slot, entries in slots.items():
            namespace, name = namespace_of(*key[1:]), writes_key(new.task_id, slot)
            value = {"task": new.task_id, "path": new.task_path}
            if slot == REGULAR:
                yield from self._put_once(conversation_id, namespace, name, {**value, "writes": entries})
            else:
                yield from self._put(conversation_id, namespace, name, {**value, "writes": entries[-1:]})

    def _put_once(self, conversation_id: str, namespace: Sequence[str], key: str, value: dict[str, Any]) -> Steps[None]:
        """Store what a task wrote; of what it wrote before under the same numbers, nothing is changed."""
        version = 0
        for _ in range(MAX_RACES):
            try:
                yield from self._put(conversation_id, namespace, key, value, if_version=version)
                return
            except PreconditionFailed:
                stored = yield from Documents.get.steps(
                    None, COLLECTION, key, namespace=namespace, conversation_id=conversation_id
                )
            if stored is None:
                version = 0
                continue
            version, numbers = stored.version, {entry[0] for entry in stored.value["writes"]}
            added = [entry for entry in value["writes"] if entry[0] not in numbers]
            if not added:
                return
            value = {**stored.value, "writes": [*stored.value["writes"], *added]}
        raise CheckpointDamaged(f"{key!r} after checkpoint {namespace[-1]} was changed {MAX_RACES} times meanwhile.")

    def _put(
        self,
        conversation_id: str,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        if_version: int | None = None,
    ) -> Steps[None]:
        yield from Documents.put.steps(
            None,
            COLLECTION,
            key,
            value,
            namespace=namespace,
            conversation_id=conversation_id,
            if_version=if_version,
        )

    def _put_pieces(self, conversation_id: str, pieces: Mapping[str, Piece], known: frozenset[str]) -> Steps[None]:
        new = {digest: piece for digest, piece in pieces.items() if digest not in known}
        yield from Documents.batch.steps(
            None, [_put_document(conversation_id, (PIECES,), digest, piece) for digest, piece in new.items()]
        )
        for digest, piece in new.items():
            self._pieces.keep(digest, piece, cell_size(piece))

    def _written_after(self, conversation_id: str, label: str, checkpoint_id: str | None) -> frozenset[str]:
        """The pieces of what was written after a checkpoint here."""
        known = self._written.find((conversation_id, label, checkpoint_id)) if checkpoint_id else None
        return known or frozenset()

    def copy(self, source: str, target: str) -> Steps[None]:
        """Copy all that one conversation has of checkpoints into another: the pieces first."""
        for prefix in ([PIECES], [CHECKPOINTS]):
            walk = Documents.list.walk(COLLECTION, namespace_prefix=prefix, conversation_id=source)
            while call := walk.next_call():
                page = walk.take((yield call))
                copies = [_put_document(target, each.namespace, each.key, each.value) for each in page.items]
                yield from Documents.batch.steps(None, copies)

    def remove(self, conversation_id: str, choose: Callable[[Sequence[ReadGroup]], set[Address]]) -> Steps[None]:
        """Remove the checkpoints that ``choose`` names, with what was written after them, and what is only theirs.

        What others need of them is given to those first.
        """
        reading = self.reading(conversation_id, "")
        groups = yield from self._all_groups(conversation_id)
        metadata = yield from reading.read_metadata(groups)
        removed = choose([ReadGroup(*each) for each in zip(groups, metadata, strict=True)])
        if not removed:
            return
        kept = [group for group in groups if group.address not in removed]
        channels = yield from reading.channels_of(kept)
        for group, of_group in zip(kept, channels, strict=True):
            if any((group.label, holder) in removed for holder in group.stored.holders):
                whole = replace(group.stored, channels={name: channel.cell for name, channel in of_group.items()})
                namespace = namespace_of(group.label, group.checkpoint_id)
                yield from self._put(conversation_id, namespace, CHECKPOINT, whole.to_value())
        yield from self._delete(
            conversation_id,
            [
                (namespace_of(group.label, group.checkpoint_id), key)
                for group in groups
                if group.address in removed
                for key in group.keys
            ],
        )
        for address in removed:
            self._snapshots.forget((conversation_id, *address))
        yield from self._sweep(conversation_id, reading, kept, channels)

    def _sweep(
        self, conversation_id: str, reading: Reading, kept: Sequence[Group], channels: Sequence[Channels]
    ) -> Steps[None]:
        """Delete the pieces that no checkpoint needs, unless they are new."""
        written = [entry[2] for group in kept for each in group.writes for entry in each["writes"]]
        bodies = [cell for group in kept for cell in (group.stored.checkpoint, group.stored.metadata)]
        needed = frozenset[str]().union(*(yield from reading.gather([*written, *bodies])))
        needed = needed.union(*(channel.digests for of_group in channels for channel in of_group.values()))
        documents = yield from collect_items(
            Documents.list.walk(
                COLLECTION,
                namespace=[PIECES],
                include_values=False,
                page_size=1000,
                conversation_id=conversation_id,
            )
        )
        before = datetime.now(timezone.utc) - GRACE
        gone = [each.key for each in documents if each.key not in needed and each.updated_at < before]
        yield from self._delete(conversation_id, [((PIECES,), digest) for digest in gone])

    def _delete(self, conversation_id: str, addresses: Sequence[tuple[Sequence[str], str]]) -> Steps[None]:
        operations: list[DocumentOperation] = [
            DocumentDelete(collection=COLLECTION, namespace=namespace, key=key, conversation_id=conversation_id)
            for namespace, key in addresses
        ]
        yield from Documents.batch.steps(None, operations)

    def _all_groups(self, conversation_id: str) -> Steps[list[Group]]:
        walk = Documents.list.walk(
            COLLECTION, namespace_prefix=[CHECKPOINTS], order="desc", conversation_id=conversation_id
        )
        gathering = Groups()
        groups: list[Group] = []
        while call := walk.next_call():
            groups += gathering.take(walk.take((yield call)).items)
        return groups


Address = tuple[str, str]
"""The label of a checkpoint's namespace, and its id."""


@dataclass(frozen=True)
class ReadGroup:
    """A checkpoint with its metadata, and without its values."""

    group: Group
    metadata: CheckpointMetadata


def of_runs(run_ids: Sequence[str]) -> Callable[[Sequence[ReadGroup]], set[Address]]:
    """Chooses the checkpoints of some runs."""
    wanted = set(run_ids)
    return lambda read: {each.group.address for each in read if each.metadata.get("run_id") in wanted}


def all_but_latest(read: Sequence[ReadGroup]) -> set[Address]:
    """Chooses all checkpoints but the newest one of each namespace.

    Where channels store what was written to them instead of their value, those before it are kept as well, back to the
    one that has the value.
    """
    by_address = {each.group.address: each for each in read}
    kept: set[Address] = set()
    for label in {each.group.label for each in read}:
        each: ReadGroup | None = by_address[max(address for address in by_address if address[0] == label)]
        wanted = set((each.metadata.get("counters_since_delta_snapshot") or {}) if each else ())
        while each is not None:
            kept.add(each.group.address)
            wanted -= each.group.stored.channels.keys()
            parent = each.group.stored.parent
            each = by_address.get((label, parent)) if wanted and parent else None
    return by_address.keys() - kept


def _shown(channel: Channel, checkpoint_id: str) -> Any:
    """A channel in a checkpoint's document: its cell, or where that stands."""
    return channel.cell if channel.holder == checkpoint_id else reference_or_cell(channel)


def _put_document(conversation_id: str, namespace: Sequence[str], key: str, value: Any) -> DocumentPut:
    return DocumentPut(
        collection=COLLECTION, namespace=namespace, key=key, value=value, conversation_id=conversation_id
    )
