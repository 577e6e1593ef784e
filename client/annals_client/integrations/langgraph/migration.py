"""Taking over the checkpoints of another saver."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from annals_client.integrations.langgraph.saver import AnnalsSaver


def copy_history(source: BaseCheckpointSaver[Any], target: AnnalsSaver, thread_ids: Iterable[str] | None = None) -> int:
    """Write the checkpoints of another saver into Annals, with what was written after them; how many there were.

    It can be repeated: what is there already stays.

    Parameters
    ----------
    thread_ids : the threads; None for all that the other saver lists
    """
    count = 0
    for config in [None] if thread_ids is None else [_thread(thread_id) for thread_id in thread_ids]:
        for named in sorted((each.config for each in source.list(config)), key=_place):
            found = source.get_tuple(named)
            if found is not None:
                _copy(found, target)
                count += 1
    return count


def _thread(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _place(config: RunnableConfig) -> tuple[str, str, str]:
    """A checkpoint's thread, its namespace, and its place there: the oldest comes first, as the next ones need it."""
    named = config["configurable"]
    return str(named["thread_id"]), named.get("checkpoint_ns", ""), named["checkpoint_id"]


def _copy(of: CheckpointTuple, target: AnnalsSaver) -> None:
    named = of.config["configurable"]
    parent = of.parent_config["configurable"]["checkpoint_id"] if of.parent_config else None
    config: RunnableConfig = {
        "configurable": {
            "thread_id": named["thread_id"],
            "checkpoint_ns": named.get("checkpoint_ns", ""),
            **({"checkpoint_id": parent} if parent else {}),
        }
    }
    stored = target.put(config, of.checkpoint, of.metadata, {})
    by_task = sorted(of.pending_writes or [], key=lambda write: write[0])
    for task_id, writes in groupby(by_task, key=lambda write: write[0]):
        target.put_writes(stored, [(channel, value) for _, channel, value in writes], task_id)
