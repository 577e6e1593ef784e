"""The storage of workflows' checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, Literal

from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException
from agent_framework._workflows._checkpoint_encoding import decode_checkpoint_value, encode_checkpoint_value

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import PreconditionFailed
from annals_client.integrations.agent_framework_base.records import Record, Records, name_of
from annals_client.integrations.agent_framework_base.scope import APPLICATION, Scope
from annals_client.integrations.support import Clients, ClosesClients

logger = logging.getLogger(__name__)

COLLECTION = "agent-framework-checkpoints"

Encoded = dict[str, Any]
"""A checkpoint as JSON."""
TRIES = 20


class AnnalsCheckpointStorage(ClosesClients):
    """Checkpoints of workflows, as documents; a ``CheckpointStorage``.

    A checkpoint may be of any size. Values that are no JSON are pickled, as by the framework's own storages: whoever
    can write checkpoints is trusted.

    Parameters
    ----------
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id : the memory space
    agent_id, user_id : whose the workflows are; checkpoints go with their user when that is erased
    allowed_checkpoint_types : the types of the application, as ``"module:qualname"``, that may be restored beside those
        of the framework and of Python
    ttl_s : for how many seconds a checkpoint is kept; for good without
    """

    def __init__(
        self,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str = APPLICATION,
        agent_id: str | None = None,
        user_id: str | None = None,
        allowed_checkpoint_types: Iterable[str] = (),
        ttl_s: int | None = None,
    ) -> None:
        self._clients = Clients(client, url=url, key=key)
        self._scope = Scope(COLLECTION, COLLECTION, application_id, agent_id, user_id)
        self._allowed_types = frozenset(allowed_checkpoint_types)
        self._ttl_s = ttl_s
        self._checkpoints = Records(self._clients, self._scope, COLLECTION, ["checkpoint"], ttl_s=ttl_s)

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Store a checkpoint, and return its id. One of the same id is replaced.

        Raises
        ------
        WorkflowCheckpointException : it cannot be written, or could not be restored with the types that are allowed
        """
        encoded = self._encode(checkpoint)
        before = await self._put(encoded)
        await self._index(encoded["workflow_name"]).put(_moment_of(encoded), encoded["checkpoint_id"])
        if before is not None and _entry_of(before) != _entry_of(encoded):
            await self._index(before["workflow_name"]).delete(_moment_of(before))
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """A checkpoint by its id.

        Raises
        ------
        WorkflowCheckpointException : there is none, or it holds types that are not allowed
        """
        encoded = await self._find(checkpoint_id)
        if encoded is None:
            raise WorkflowCheckpointException(f"No checkpoint found with ID {checkpoint_id}")
        return self._decode(encoded)

    async def list_checkpoints(self, *, workflow_name: str) -> list[WorkflowCheckpoint]:
        """The checkpoints of a workflow, the oldest first. Those that cannot be restored are logged, and left out."""
        found = [await self._find(checkpoint_id) for checkpoint_id in await self._ids(workflow_name, "asc")]
        return [checkpoint for checkpoint in map(self._decode_if_allowed, found) if checkpoint is not None]

    async def delete(self, checkpoint_id: str) -> bool:
        """Delete a checkpoint; whether there was one."""
        encoded = await self._find(checkpoint_id)
        if encoded is None:
            return False
        await self._index(encoded["workflow_name"]).delete(_moment_of(encoded))
        return await self._checkpoints.delete(checkpoint_id) is not None

    async def get_latest(self, *, workflow_name: str) -> WorkflowCheckpoint | None:
        """The checkpoint of a workflow with the latest timestamp, or None.

        Raises
        ------
        WorkflowCheckpointException : it holds types that are not allowed
        """
        for checkpoint_id in await self._ids(workflow_name, "desc"):
            encoded = await self._find(checkpoint_id)
            if encoded is not None:
                return self._decode(encoded)
        return None

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        """The ids of the checkpoints of a workflow, the oldest first."""
        return await self._ids(workflow_name, "asc")

    def _index(self, workflow_name: str) -> Records:
        """The ids of the checkpoints of a workflow, by their moments."""
        return Records(self._clients, self._scope, COLLECTION, ["workflow", workflow_name], ttl_s=self._ttl_s)

    async def _ids(self, workflow_name: str, order: Literal["asc", "desc"]) -> list[str]:
        return [*dict.fromkeys(await self._index(workflow_name).values(order=order))]

    async def _find(self, checkpoint_id: str) -> Encoded | None:
        record = await self._checkpoints.get(checkpoint_id)
        return None if record is None else record.value

    async def _put(self, encoded: Encoded) -> Encoded | None:
        """Store a checkpoint under its id: what was there before, or None."""
        before: Record | None = None
        for _ in range(TRIES):
            try:
                await self._checkpoints.put(encoded["checkpoint_id"], encoded, replaces=before, if_version=0)
                break
            except PreconditionFailed:
                before = await self._checkpoints.get(encoded["checkpoint_id"])
        else:
            raise WorkflowCheckpointException(f"Checkpoint {encoded['checkpoint_id']} is saved by too many at once")
        return None if before is None else before.value

    def _encode(self, checkpoint: WorkflowCheckpoint) -> Encoded:
        """A checkpoint as JSON, which is sure to be restored."""
        try:
            encoded: Encoded = encode_checkpoint_value(checkpoint.to_dict())
            decode_checkpoint_value(encoded, allowed_types=self._allowed_types)
            _moment_of(encoded)
        except WorkflowCheckpointException:
            raise
        except Exception as failure:
            raise WorkflowCheckpointException(
                f"Checkpoint {checkpoint.checkpoint_id} cannot be written: {failure}"
            ) from failure
        return encoded

    def _decode(self, encoded: Encoded) -> WorkflowCheckpoint:
        return WorkflowCheckpoint.from_dict(decode_checkpoint_value(encoded, allowed_types=self._allowed_types))

    def _decode_if_allowed(self, encoded: Encoded | None) -> WorkflowCheckpoint | None:
        if encoded is None:  # it was deleted meanwhile
            return None
        try:
            return self._decode(encoded)
        except WorkflowCheckpointException:
            logger.exception("Checkpoint %s is left out of the list", encoded.get("checkpoint_id"))
            return None


def _entry_of(encoded: Encoded) -> tuple[str, str]:
    """Where a checkpoint is in the index: its workflow and its moment."""
    return encoded["workflow_name"], _moment_of(encoded)


def _moment_of(encoded: Encoded) -> str:
    """When a checkpoint was made, so that texts are in the order of time; its id makes it unique."""
    moment = datetime.fromisoformat(encoded["timestamp"].replace("Z", "+00:00"))
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return f"{aware.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f} {name_of(encoded['checkpoint_id'])}"
