"""The storage of checkpoints: a workflow goes on where it was left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from agent_framework import (
    Executor,
    Message,
    WorkflowBuilder,
    WorkflowCheckpoint,
    WorkflowCheckpointException,
    WorkflowContext,
    handler,
)

from annals_client.integrations.agent_framework import AnnalsCheckpointStorage
from annals_client.testing import Annals, AsyncAnnals

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Order:
    """A type of the application."""

    tea: str


@pytest.fixture
def storage(async_annals: AsyncAnnals) -> AnnalsCheckpointStorage:
    return AnnalsCheckpointStorage(client=async_annals)


def checkpoint_of(workflow: str = "brew", minutes: int = 0, **fields: Any) -> WorkflowCheckpoint:
    timestamp = (NOON + timedelta(minutes=minutes)).isoformat()
    return WorkflowCheckpoint(workflow, "graph", timestamp=timestamp, **fields)


async def test_a_checkpoint_comes_back_equal(storage: AnnalsCheckpointStorage) -> None:
    state = {"said": [Message("user", ["Hello."])], "when": NOON, "set": {1, 2}, "pair": (1, "a"), "n": 1.5, 7: "seven"}
    saved = checkpoint_of(
        state=state, messages={"a": []}, iteration_count=3, metadata={"x": None}, previous_checkpoint_id="p"
    )
    assert await storage.save(saved) == saved.checkpoint_id
    found = await storage.load(saved.checkpoint_id)
    assert (found.workflow_name, found.timestamp, found.iteration_count) == ("brew", NOON.isoformat(), 3)
    assert (found.metadata, found.previous_checkpoint_id, found.messages) == ({"x": None}, "p", {"a": []})
    assert found.state["said"][0].to_dict() == state["said"][0].to_dict()  # type: ignore[index]
    assert (found.state["when"], found.state["set"], found.state["pair"]) == (NOON, {1, 2}, (1, "a"))


async def test_what_is_loaded_is_a_copy(storage: AnnalsCheckpointStorage) -> None:
    saved = checkpoint_of(state={"values": [1]})
    await storage.save(saved)
    saved.state["values"].append(2)
    (await storage.load(saved.checkpoint_id)).state["values"].append(3)
    assert (await storage.load(saved.checkpoint_id)).state == {"values": [1]}


async def test_a_checkpoint_that_is_not_there_is_an_error(storage: AnnalsCheckpointStorage) -> None:
    with pytest.raises(WorkflowCheckpointException, match="nowhere"):
        await storage.load("nowhere")
    assert await storage.delete("nowhere") is False
    assert await storage.get_latest(workflow_name="nowhere") is None
    assert await storage.list_checkpoints(workflow_name="nowhere") == []
    assert await storage.list_checkpoint_ids(workflow_name="nowhere") == []


async def test_checkpoints_are_listed_by_workflow_in_the_order_of_time(storage: AnnalsCheckpointStorage) -> None:
    saved = {minutes: checkpoint_of(minutes=minutes) for minutes in (30, 5, 600)}
    zone = timezone(timedelta(hours=9))
    saved[10] = WorkflowCheckpoint(
        "brew", "graph", timestamp=(NOON + timedelta(minutes=10)).astimezone(zone).isoformat()
    )
    for checkpoint in [*saved.values(), checkpoint_of("brewery"), checkpoint_of("BREW")]:
        await storage.save(checkpoint)
    ids = [saved[minutes].checkpoint_id for minutes in (5, 10, 30, 600)]
    assert await storage.list_checkpoint_ids(workflow_name="brew") == ids
    assert [found.checkpoint_id for found in await storage.list_checkpoints(workflow_name="brew")] == ids
    latest = await storage.get_latest(workflow_name="brew")
    assert latest is not None
    assert latest.checkpoint_id == ids[-1]


async def test_a_deleted_checkpoint_is_gone_and_the_one_before_is_the_latest(storage: AnnalsCheckpointStorage) -> None:
    first, second = checkpoint_of(), checkpoint_of(minutes=1)
    await storage.save(first)
    await storage.save(second)
    assert await storage.delete(second.checkpoint_id) is True
    assert await storage.delete(second.checkpoint_id) is False
    latest = await storage.get_latest(workflow_name="brew")
    assert latest is not None
    assert latest.checkpoint_id == first.checkpoint_id
    assert await storage.list_checkpoint_ids(workflow_name="brew") == [first.checkpoint_id]


async def test_a_checkpoint_that_is_saved_again_is_replaced(storage: AnnalsCheckpointStorage) -> None:
    await storage.save(checkpoint_of(checkpoint_id="c-1", state={"n": 1}))
    await storage.save(checkpoint_of(checkpoint_id="c-1", state={"n": 2}, minutes=5))
    assert (await storage.load("c-1")).state == {"n": 2}
    assert [found.state for found in await storage.list_checkpoints(workflow_name="brew")] == [{"n": 2}]
    await storage.save(checkpoint_of("other", checkpoint_id="c-1"))
    assert await storage.list_checkpoint_ids(workflow_name="brew") == []
    assert await storage.list_checkpoint_ids(workflow_name="other") == ["c-1"]


@pytest.mark.parametrize("size", [500_000, 4_500_000])
async def test_checkpoints_of_any_size_come_back_equal_and_leave_nothing(
    storage: AnnalsCheckpointStorage, annals: Annals, size: int
) -> None:
    saved = checkpoint_of(state={"text": "ä" * size, "bytes": bytes(1000)})
    await storage.save(saved)
    assert (await storage.load(saved.checkpoint_id)).state == saved.state
    latest = await storage.get_latest(workflow_name="brew")
    assert latest is not None
    assert latest.state == saved.state
    await storage.delete(saved.checkpoint_id)
    left = annals.documents.list(
        "agent-framework-checkpoints", memory_space_id="agent-framework", namespace_prefix=[], include_values=False
    )
    assert list(left) == []


@pytest.mark.parametrize("name", ["two words", "a/b", "x" * 1000, "line\nbreak", ""])
async def test_workflows_and_checkpoints_have_any_names(storage: AnnalsCheckpointStorage, name: str) -> None:
    for minutes in (2, 1, 3):
        await storage.save(checkpoint_of(name, minutes=minutes, checkpoint_id=f"{name}{minutes}"))
    assert await storage.list_checkpoint_ids(workflow_name=name) == [f"{name}{minutes}" for minutes in (1, 2, 3)]
    assert (await storage.load(f"{name}1")).workflow_name == name


class TestTypes:
    async def test_a_type_of_the_application_has_to_be_allowed(self, storage: AnnalsCheckpointStorage) -> None:
        with pytest.raises(WorkflowCheckpointException, match="Order"):
            await storage.save(checkpoint_of(state={"order": Order("green")}))
        assert await storage.list_checkpoint_ids(workflow_name="brew") == []

    async def test_an_allowed_type_comes_back(self, async_annals: AsyncAnnals) -> None:
        allowed = [f"{Order.__module__}:Order"]
        storage = AnnalsCheckpointStorage(client=async_annals, allowed_checkpoint_types=allowed)
        saved = checkpoint_of(state={"order": Order("green")})
        await storage.save(saved)
        assert (await storage.load(saved.checkpoint_id)).state == {"order": Order("green")}

    async def test_what_may_not_be_restored_is_an_error_and_left_out_of_lists(
        self, storage: AnnalsCheckpointStorage, async_annals: AsyncAnnals, caplog: pytest.LogCaptureFixture
    ) -> None:
        allowed = [f"{Order.__module__}:Order"]
        trusting = AnnalsCheckpointStorage(client=async_annals, allowed_checkpoint_types=allowed)
        plain, typed = checkpoint_of(), checkpoint_of(state={"order": Order("green")}, minutes=1)
        await trusting.save(plain)
        await trusting.save(typed)
        with pytest.raises(WorkflowCheckpointException, match="Order"):
            await storage.load(typed.checkpoint_id)
        with pytest.raises(WorkflowCheckpointException, match="Order"):
            await storage.get_latest(workflow_name="brew")
        listed = await storage.list_checkpoints(workflow_name="brew")
        assert [found.checkpoint_id for found in listed] == [plain.checkpoint_id]
        assert [record.levelname for record in caplog.records if record.name.startswith("annals")] == ["ERROR"]

    async def test_a_timestamp_that_is_none_is_an_error_and_nothing_is_stored(
        self, storage: AnnalsCheckpointStorage
    ) -> None:
        with pytest.raises(WorkflowCheckpointException, match="yesterday"):
            await storage.save(WorkflowCheckpoint("brew", "graph", checkpoint_id="c-1", timestamp="yesterday"))
        with pytest.raises(WorkflowCheckpointException, match="No checkpoint"):
            await storage.load("c-1")

    async def test_what_cannot_be_written_is_an_error(self, storage: AnnalsCheckpointStorage) -> None:
        with pytest.raises(WorkflowCheckpointException):
            await storage.save(checkpoint_of(state={"function": lambda: None}))


async def test_storages_of_other_scopes_do_not_see_each_other(async_annals: AsyncAnnals) -> None:
    scopes: list[dict[str, str]] = [{}, {"user_id": "ada"}, {"agent_id": "ada"}, {"application_id": "shop"}]
    storages = [AnnalsCheckpointStorage(client=async_annals, **scope) for scope in scopes]  # type: ignore[arg-type]
    for number, storage in enumerate(storages):
        await storage.save(checkpoint_of(checkpoint_id="c-1", state={"n": number}))
    assert [(await storage.load("c-1")).state["n"] for storage in storages] == [0, 1, 2, 3]


async def test_many_at_once_are_all_saved(storage: AnnalsCheckpointStorage) -> None:
    saved = [checkpoint_of(minutes=minutes) for minutes in range(8)]
    await asyncio.gather(*map(storage.save, saved))
    assert len(await storage.list_checkpoints(workflow_name="brew")) == 8


class Steep(Executor):
    """Steeps, and goes on until it is strong."""

    @handler
    async def steep(self, strength: int, context: WorkflowContext[int, int]) -> None:
        if strength >= 3:
            await context.yield_output(strength)
        else:
            await context.send_message(strength + 1)


async def test_a_workflow_goes_on_from_a_checkpoint_in_another_storage(
    storage: AnnalsCheckpointStorage, async_annals: AsyncAnnals
) -> None:
    first, second = Steep(id="first"), Steep(id="second")

    def workflow(where: AnnalsCheckpointStorage) -> Any:
        builder = WorkflowBuilder(start_executor=first, name="tea", checkpoint_storage=where)
        return builder.add_edge(first, second).add_edge(second, first).build()

    result = await workflow(storage).run(0)
    assert result.get_outputs() == [3]
    ids = await storage.list_checkpoint_ids(workflow_name="tea")
    assert len(ids) >= 3
    other = AnnalsCheckpointStorage(client=async_annals)
    again = await workflow(other).run(checkpoint_id=ids[1])
    assert again.get_outputs() == [3]
