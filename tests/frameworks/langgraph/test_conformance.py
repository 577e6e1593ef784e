"""LangGraph's own conformance suite of checkpointers, with the methods of both kinds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from annals_client.integrations.langgraph import AnnalsSaver
from annals_client.testing import Annals


class _Waiting(AnnalsSaver):
    """Has the methods that wait in the places of those for asyncio, which the suite calls."""

    async def aget_tuple(self, *args: Any, **more: Any) -> CheckpointTuple | None:
        return self.get_tuple(*args, **more)

    async def alist(self, *args: Any, **more: Any) -> AsyncIterator[CheckpointTuple]:
        for each in self.list(*args, **more):
            yield each

    async def aput(self, *args: Any, **more: Any) -> Any:
        return self.put(*args, **more)

    async def aput_writes(self, *args: Any, **more: Any) -> None:
        self.put_writes(*args, **more)

    async def adelete_thread(self, *args: Any, **more: Any) -> None:
        self.delete_thread(*args, **more)

    async def adelete_for_runs(self, *args: Any, **more: Any) -> None:
        self.delete_for_runs(*args, **more)

    async def acopy_thread(self, *args: Any, **more: Any) -> None:
        self.copy_thread(*args, **more)

    async def aprune(self, *args: Any, **more: Any) -> None:
        self.prune(*args, **more)


@pytest.mark.parametrize("kind", [AnnalsSaver, _Waiting])
async def test_a_checkpointer_can_all_that_the_suite_knows(kind: type[AnnalsSaver], annals: Annals) -> None:
    async def make() -> AsyncGenerator[AnnalsSaver, None]:
        saver = kind(annals)
        yield saver
        await saver.aclose()

    report = await validate(checkpointer_test(name=kind.__name__)(make))

    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert {name for name, result in report.results.items() if result.passed} == {of.value for of in ALL_CAPABILITIES}
