"""``AnnalsSaver``: LangGraph's checkpoints in Annals."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from annals_client.calls import Steps
from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.langgraph.checkpoints import (
    Checkpoints,
    NewCheckpoint,
    NewWrites,
    all_but_latest,
    of_runs,
)
from annals_client.integrations.langgraph.history import History
from annals_client.integrations.langgraph.ledger import new_messages, remember_messages
from annals_client.integrations.langgraph.reading import MESSAGES, ids_of_messages
from annals_client.integrations.langgraph.runs import RunIndex
from annals_client.integrations.langgraph.threads import NAME, Thread, Threads
from annals_client.integrations.support import Clients
from annals_client.listing import collect_items
from annals_client.resources.conversations import Conversations

T = TypeVar("T")


class AnnalsSaver(BaseCheckpointSaver[Any]):
    """Checkpoints of graphs, one conversation a thread. For threads, processes and event loops alike.

    Each checkpoint stores what is new in it. What a method stores is durable when it returns.

    Parameters
    ----------
    client : an Annals or an AsyncAnnals; either serves both the synchronous and the asynchronous methods
    url, key : as of Annals, where there is no client; else ``ANNALS_URL`` and ``ANNALS_KEY``
    user_id : whose threads are made here, unless ``configurable`` says a ``user_id``: they are erased and exported with
        that user
    memory_space_id : the memory space of the threads; the same thread id in two of them is two threads
    remember : whether the messages of the graph's channel ``messages`` become messages of the conversation, so that
        they are found by search and recall; each once, by its id
    serde : LangGraph's serialiser

    Raises
    ------
    AnnalsError : what is not stored, or cannot be read
    CheckpointDamaged : what a checkpoint needs was deleted
    """

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = NAME,
        remember: bool = False,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self.clients = Clients(client, url=url, key=key)
        self._any_thread = Thread("", user_id, memory_space_id)
        self._remember = remember
        self._threads = Threads()
        self._runs = RunIndex(memory_space_id)
        self._checkpoints = Checkpoints(self.serde)

    def close(self) -> None:
        """Close the connections that were made here, but for those of event loops; see ``aclose``."""
        self.clients.close()

    async def aclose(self) -> None:
        """Close the connections that were made here, but for those of other event loops."""
        await self.clients.aclose()

    def with_allowlist(self, extra_allowlist: Any) -> AnnalsSaver:
        """The same saver, whose serialiser knows more types."""
        clone = cast("AnnalsSaver", super().with_allowlist(extra_allowlist))
        if clone is not self:
            clone._checkpoints = Checkpoints(clone.serde)
        return clone

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The version of a channel after ``current``: a number. Versions of other savers' threads are texts."""
        if not isinstance(current, str):
            return 1 if current is None else int(current) + 1
        number, _, rest = current.partition(".")
        return f"{int(number) + 1:0{len(number)}}" + (f".{rest}" if rest else "")

    # The methods below are LangGraph's; see BaseCheckpointSaver.

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint, the newest of its namespace where the configuration names none; None where there is none."""
        return self._run(self._get_tuple(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """``get_tuple`` for asyncio."""
        return await self._arun(self._get_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The checkpoints of a thread, the newest first; of all threads without a configuration.

        Which threads there are is eventually consistent, the checkpoints of each are not.
        """
        for thread in self._run(self._threads_of(config)):
            history = self._history(thread, config, filter, before, limit)
            while not history.is_over:
                found = self._run(history.next_page())
                limit = None if limit is None else limit - len(found)
                yield from found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """``list`` for asyncio."""
        for thread in await self._arun(self._threads_of(config)):
            history = self._history(thread, config, filter, before, limit)
            while not history.is_over:
                found = await self._arun(history.next_page())
                limit = None if limit is None else limit - len(found)
                for each in found:
                    yield each

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, after the one that the configuration names."""
        return self._run(self._put(config, checkpoint, metadata, new_versions))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """``put`` for asyncio."""
        return await self._arun(self._put(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote after a checkpoint."""
        self._run(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """``put_writes`` for asyncio."""
        await self._arun(self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Erase a thread: its conversation, with all checkpoints, what was written, and its messages."""
        self._run(self._delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """``delete_thread`` for asyncio."""
        await self._arun(self._delete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of some runs, in all threads. What later checkpoints need of them is kept."""
        self._run(self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """``delete_for_runs`` for asyncio."""
        await self._arun(self._delete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints of a thread, and what was written, to another, for the same user."""
        self._run(self._copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """``copy_thread`` for asyncio."""
        await self._arun(self._copy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all checkpoints of some threads but the newest of each namespace; all with the strategy ``delete``."""
        self._run(self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """``prune`` for asyncio."""
        await self._arun(self._prune(thread_ids, strategy))

    def _run(self, steps: Steps[T]) -> T:
        return self.clients.sync.sender.run(steps)

    async def _arun(self, steps: Steps[T]) -> T:
        return await self.clients.asynchronous.sender.run(steps)

    def _thread(self, thread_id: Any, user_id: str | None = None) -> Thread:
        return replace(self._any_thread, thread_id=str(thread_id), user_id=user_id or self._any_thread.user_id)

    def _thread_of(self, config: RunnableConfig) -> Thread:
        named = config["configurable"]
        return self._thread(named["thread_id"], named.get("user_id"))

    def _get_tuple(self, config: RunnableConfig) -> Steps[CheckpointTuple | None]:
        thread, checkpoint_id = self._thread_of(config), get_checkpoint_id(config)
        namespace = config["configurable"].get("checkpoint_ns", "")

        def act(conversation_id: str) -> Steps[CheckpointTuple | None]:
            return self._checkpoints.get(conversation_id, thread.thread_id, namespace, checkpoint_id)

        return (yield from self._threads.read(thread, act))

    def _threads_of(self, config: RunnableConfig | None) -> Steps[builtins.list[Thread]]:
        """The threads that are listed."""
        if config is not None:
            return [self._thread_of(config)]
        found = yield from collect_items(
            Conversations.list.walk(agent_id=NAME, memory_space_id=self._any_thread.memory_space_id)
        )
        ids = {each.conversation_id: (each.metadata or {}).get("threadId") for each in found}
        return [self._thread(of) for name, of in ids.items() if of is not None and name.startswith(f"{NAME}:")]

    def _history(
        self,
        thread: Thread,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,  # noqa: A002 - LangGraph's word
        before: RunnableConfig | None,
        limit: int | None,
    ) -> History:
        named = config["configurable"] if config else {}
        return History(
            self._checkpoints,
            self._threads,
            thread,
            namespace=named.get("checkpoint_ns"),
            checkpoint_id=named.get("checkpoint_id"),
            before=get_checkpoint_id(before) if before else None,
            metadata=filter or {},
            limit=limit,
        )

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Steps[RunnableConfig]:
        thread, named = self._thread_of(config), config["configurable"]
        messages = checkpoint["channel_values"].get(MESSAGES)
        new = NewCheckpoint(
            namespace=named.get("checkpoint_ns", ""),
            parent=named.get("checkpoint_id"),
            checkpoint=checkpoint,
            metadata=get_serializable_checkpoint_metadata(config, metadata),
            new_versions=new_versions,
            message_ids=ids_of_messages(messages),
        )
        run_id = str(new.metadata["run_id"]) if "run_id" in new.metadata else None

        def act(conversation_id: str) -> Steps[None]:
            if self._remember and new.namespace == "":
                parent = yield from self._checkpoints.snapshot(conversation_id, "", new.parent)
                yield from remember_messages(conversation_id, new_messages(messages, parent.message_ids), run_id)
            if run_id:
                yield from self._runs.put(conversation_id, thread, run_id)
            yield from self._checkpoints.put(conversation_id, new)

        yield from self._threads.write(thread, act)
        return {
            "configurable": {
                "thread_id": named["thread_id"],
                "checkpoint_ns": new.namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Steps[None]:
        named = config["configurable"]
        new = NewWrites(named.get("checkpoint_ns", ""), named["checkpoint_id"], writes, task_id, task_path)
        yield from self._threads.write(self._thread_of(config), partial(self._checkpoints.put_writes, new=new))

    def _delete_thread(self, thread_id: str) -> Steps[None]:
        thread = self._thread(thread_id)
        yield from self._threads.read(thread, self._runs.forget_thread)
        yield from self._threads.erase(thread)

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Steps[None]:
        remove = partial(self._checkpoints.remove, choose=of_runs(run_ids))
        for thread_id in (yield from self._runs.threads_of(run_ids)):
            yield from self._threads.read(self._thread(thread_id), remove)
        yield from self._runs.delete(run_ids)

    def _copy_thread(self, source_thread_id: str, target_thread_id: str) -> Steps[None]:
        def copy(source: str) -> Steps[None]:
            conversation = yield Conversations.get.call(source)
            target = self._thread(target_thread_id, conversation.participants.get("userId"))
            runs = yield from self._runs.runs_of(source)

            def paste(copied_to: str) -> Steps[None]:
                for run_id in runs:
                    yield from self._runs.put(copied_to, target, run_id)
                yield from self._checkpoints.copy(source, copied_to)

            yield from self._threads.write(target, paste)

        yield from self._threads.read(self._thread(source_thread_id), copy)

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        remove = partial(self._checkpoints.remove, choose=all_but_latest)
        for thread_id in thread_ids:
            if strategy == "delete":
                yield from self._delete_thread(thread_id)
            else:
                yield from self._threads.read(self._thread(thread_id), remove)
