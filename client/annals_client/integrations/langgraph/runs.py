"""Which threads have checkpoints of a run: documents of their own, as the calls of LangGraph name the run alone."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from annals_client.calls import Steps
from annals_client.integrations.langgraph.recent import Recent
from annals_client.integrations.langgraph.stored import COLLECTION, RUNS
from annals_client.integrations.langgraph.threads import Thread
from annals_client.listing import collect_items
from annals_client.resources.documents import DocumentDelete, DocumentOperation, DocumentPut, Documents

KNOWN_RUNS = 1000
"""Of how many runs it is remembered that they are written down."""

MAX_LABEL_CHARS = 200

RUNS_COLLECTION = f"{COLLECTION}.runs"


class RunIndex:
    """The threads of runs, as documents of the threads' memory space.

    They are their user's data, and go with that user. A document of the thread's conversation says which runs it has,
    so that they go with the thread, too.
    """

    def __init__(self, memory_space_id: str) -> None:
        self._space = memory_space_id
        self._known: Recent[tuple[str, str], bool] = Recent(KNOWN_RUNS)

    def put(self, conversation_id: str, thread: Thread, run_id: str) -> Steps[None]:
        """Write down that a thread has checkpoints of a run."""
        if self._known.find((conversation_id, run_id)):
            return
        label = _label(run_id)
        in_thread = DocumentPut(
            collection=COLLECTION, namespace=(RUNS,), key=label, value=run_id, conversation_id=conversation_id
        )
        of_run = DocumentPut(
            collection=RUNS_COLLECTION,
            namespace=(label,),
            key=conversation_id,
            value=thread.thread_id,
            user_id=thread.user_id,
            memory_space_id=self._space,
        )
        yield from Documents.batch.steps(None, [in_thread, of_run])
        self._known.keep((conversation_id, run_id), True, 1)

    def threads_of(self, run_ids: Sequence[str]) -> Steps[list[str]]:
        """The ids of the threads that have checkpoints of some runs."""
        threads: dict[str, None] = {}
        for run_id in run_ids:
            walk = Documents.list.walk(RUNS_COLLECTION, namespace=[_label(run_id)], memory_space_id=self._space)
            threads |= dict.fromkeys(each.value for each in (yield from collect_items(walk)))
        return [*threads]

    def delete(self, run_ids: Sequence[str]) -> Steps[None]:
        """Forget some runs."""
        for run_id in run_ids:
            yield from Documents.delete_many.steps(
                None, RUNS_COLLECTION, namespace=[_label(run_id)], memory_space_id=self._space
            )

    def runs_of(self, conversation_id: str) -> Steps[list[str]]:
        """The runs that a thread has checkpoints of."""
        documents = yield from collect_items(
            Documents.list.walk(COLLECTION, namespace=[RUNS], conversation_id=conversation_id)
        )
        return [each.value for each in documents]

    def forget_thread(self, conversation_id: str) -> Steps[None]:
        """Forget that a thread has checkpoints of any run."""
        runs = yield from self.runs_of(conversation_id)
        operations: list[DocumentOperation] = [
            DocumentDelete(
                collection=RUNS_COLLECTION,
                namespace=(_label(run_id),),
                key=conversation_id,
                memory_space_id=self._space,
            )
            for run_id in runs
        ]
        yield from Documents.batch.steps(None, operations)


def _label(run_id: str) -> str:
    is_plain = 0 < len(run_id) <= MAX_LABEL_CHARS and run_id.isprintable()
    return f".{run_id}" if is_plain else "#" + sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()
