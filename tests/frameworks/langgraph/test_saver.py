"""Checkpoints in Annals: as graphs write and read them."""

from __future__ import annotations

import json
import random
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from graphs import asking, chat, config_of, say
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command
from typing_extensions import TypedDict

from annals_client.calls import Call
from annals_client.integrations.langgraph import AnnalsSaver, CheckpointDamaged
from annals_client.integrations.langgraph import checkpoints as checkpoints_module
from annals_client.testing import Annals, AsyncAnnals


@pytest.fixture
def saver(annals: Annals) -> AnnalsSaver:
    return AnnalsSaver(annals)


class Counting:
    """Counts what is sent to the documents."""

    def __init__(self, client: Annals, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        self._send = client.sender.send
        monkeypatch.setattr(client.sender, "send", self.send)

    def send(self, call: Call[Any]) -> Any:
        if call.method == "PUT" or call.path.endswith("/batch"):
            self.sent += len(call.content or b"")
        return self._send(call)


@pytest.fixture
def counting(saver: AnnalsSaver, annals: Annals, monkeypatch: pytest.MonkeyPatch) -> tuple[AnnalsSaver, Counting]:
    return saver, Counting(annals, monkeypatch)


def words(seed: int, size: int) -> str:
    return "".join(random.Random(seed).choices(string.ascii_lowercase + "    ", k=size))  # noqa: S311 - no secret


def put(saver: AnnalsSaver, config: Any, values: dict[str, Any], version: int = 1) -> Any:
    """A checkpoint after that of the configuration, in which all channels changed."""
    versions: dict[str, str | int | float] = dict.fromkeys(values, version)
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    named = {"configurable": {"checkpoint_ns": "", **config["configurable"]}}
    return saver.put(named, checkpoint, {"source": "loop", "step": version}, versions)  # type: ignore[arg-type]


def values_of(saver: AnnalsSaver, config: Any) -> dict[str, Any]:
    found = saver.get_tuple(config)
    assert found is not None
    return found.checkpoint["channel_values"]


def test_a_graph_goes_on_in_another_process_where_it_was(saver: AnnalsSaver, annals: Annals) -> None:
    say(chat(saver), config_of("trip"), "I like tea.", 1)

    messages = say(chat(AnnalsSaver(annals)), config_of("trip"), "Green.", 2)

    assert [message.content for message in messages] == ["I like tea.", "Noted: I like tea.", "Green.", "Noted: Green."]


async def test_a_graph_runs_asynchronously_on_either_client(annals: Annals, async_annals: AsyncAnnals) -> None:
    clients: list[Annals | AsyncAnnals] = [annals, async_annals]
    for number, client in enumerate(clients):
        graph, config = chat(AnnalsSaver(client)), config_of(f"trip-{number}")
        await graph.ainvoke({"messages": [HumanMessage("Hello.", id="m-1")]}, config)
        await graph.ainvoke({"messages": [HumanMessage("Bye.", id="m-2")]}, config)

        history = [state async for state in graph.aget_state_history(config)]
        assert len(history[0].values["messages"]) == 4
        assert [state.values for state in graph.get_state_history(config)] == [state.values for state in history]


def test_the_history_of_a_graph_is_that_of_langgraphs_own_saver(saver: AnnalsSaver) -> None:
    told: list[list[tuple[Any, ...]]] = []
    savers: list[BaseCheckpointSaver[Any]] = [saver, InMemorySaver()]
    for each in savers:
        graph, config = chat(each), config_of("trip")
        for number in range(3):
            say(graph, config, f"Tea {number}.", number)
        states = [*graph.get_state_history(config)]
        told.append([(of.values, of.next, of.metadata["step"], of.metadata["source"]) for of in states])

    assert told[0] == told[1]


def test_a_run_that_waits_for_a_person_is_resumed_by_another_process(saver: AnnalsSaver, annals: Annals) -> None:
    waiting = asking(saver).invoke({"messages": [HumanMessage("Tea?", id="m-1")]}, config_of("trip"))
    assert waiting["__interrupt__"][0].value == "Which tea?"

    done = asking(AnnalsSaver(annals)).invoke(Command(resume="green"), config_of("trip"))

    assert done["messages"][-1].content == "You said green."


def test_a_fork_leaves_what_it_came_from_as_it_was(saver: AnnalsSaver) -> None:
    graph, config = chat(saver), config_of("trip")
    for number in range(20):
        say(graph, config, words(number, 400), number)
    before = graph.get_state(config).values["messages"]
    [earlier] = [state for state in graph.get_state_history(config) if len(state.values["messages"]) == 11][:1]

    forked = say(graph, earlier.config, "Otherwise.", 99)

    assert [message.id for message in forked[:11]] == [message.id for message in before[:11]]
    assert forked[-2].content == "Otherwise."
    assert graph.get_state({"configurable": {**config["configurable"], **_newest_but_forked(graph, config, before)}})


def _newest_but_forked(graph: Any, config: Any, before: list[Any]) -> dict[str, str]:
    [state] = [state for state in graph.get_state_history(config) if state.values.get("messages") == before][:1]
    named: dict[str, str] = state.config["configurable"]
    return named


def test_a_turn_writes_what_it_adds_however_long_the_thread_is(counting: tuple[AnnalsSaver, Counting]) -> None:
    saver, transport = counting
    sent = {}
    for turns in (10, 100, 1000):
        messages = [message for number in range(turns) for message in turn(number)]
        config = put(saver, config_of(f"trip-{turns}"), {"messages": messages})
        before = transport.sent
        for number in range(turns, turns + 12):
            messages = [*messages, *turn(number)]
            config = put(saver, config, {"messages": messages}, number)
        sent[turns] = transport.sent - before
        assert values_of(AnnalsSaver(saver.clients.sync), config) == {"messages": messages}

    assert sent[1000] < 1.4 * sent[10]
    assert sent[1000] / 12 < 8000


def turn(number: int) -> list[AnyMessage]:
    return [HumanMessage(words(number, 200), id=f"h-{number}"), AIMessage(words(-number, 800), id=f"a-{number}")]


def test_what_does_not_change_is_not_written_again(counting: tuple[AnnalsSaver, Counting]) -> None:
    saver, transport = counting
    documents = {f"{number}.md": words(number, 3000) for number in range(50)}
    first = put(saver, config_of("trip"), {"files": documents, "plan": words(1, 1900)})
    before = transport.sent

    changed = {**documents, "7.md": "short now"}
    second = put(saver, first, {"files": changed, "plan": words(1, 1900)}, 2)

    assert transport.sent - before < 40_000
    assert values_of(AnnalsSaver(saver.clients.sync), second)["files"] == changed
    assert values_of(saver, first)["files"] == documents


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_state_of_any_size_comes_back(saver: AnnalsSaver, annals: Annals, size: int) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311 - no secret
    values = {"bytes": content, "messages": [ToolMessage(content.hex()[:size], tool_call_id="c-1", id="t-1")]}

    config = put(saver, config_of("trip"), values)
    saver.put_writes(config, [("bytes", content)], "task-1")

    found = AnnalsSaver(annals).get_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"] == values
    assert found.pending_writes == [("task-1", "bytes", content)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [None, True, 1, 1.5, -0.0, 2**63, "é", b"\0\xff"],
        {1: "a", "b": {2.5: None}},
        {"$ext": [5, "no"], "$raw": "eA==", "at": "x", "list": [[]]},
        {"a", "b"},
        float("inf"),
        [[[["deep" * 2000]]]],
        [HumanMessage([{"type": "image", "data": "eA=="}], id="1"), AIMessage("", tool_calls=[])],
        {f"{number}": [words(number, 100)] * 9 for number in range(100)},
    ],
)
def test_a_value_comes_back_equal(saver: AnnalsSaver, annals: Annals, value: Any) -> None:
    config = put(saver, config_of("trip"), {"value": value})

    assert values_of(AnnalsSaver(annals), config)["value"] == value


def test_messages_that_are_removed_are_gone_from_the_state(saver: AnnalsSaver, annals: Annals) -> None:
    graph, config = chat(saver), config_of("trip")
    for number in range(12):
        say(graph, config, words(number, 500), number)
    graph.update_state(config, {"messages": [RemoveMessage(id="m-0"), RemoveMessage(id="re-m-0")]})
    kept = chat(AnnalsSaver(annals)).get_state(config).values["messages"]
    assert [message.id for message in kept[:2]] == ["m-1", "re-m-1"]

    graph.update_state(config, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})
    assert chat(AnnalsSaver(annals)).get_state(config).values["messages"] == []


def test_writes_that_come_again_count_once_and_special_ones_by_their_last_value(saver: AnnalsSaver) -> None:
    config = put(saver, config_of("trip"), {"a": 1})
    for text in ("first", "second"):
        saver.put_writes(config, [("a", text)], "task")
        saver.put_writes(config, [("__interrupt__", text)], "task")
    saver.put_writes(config, [("a", "first"), ("b", "more")], "task")

    found = saver.get_tuple(config)

    assert found is not None
    assert found.pending_writes == [("task", "__interrupt__", "second"), ("task", "a", "first"), ("task", "b", "more")]


def test_tasks_that_write_at_once_lose_nothing(saver: AnnalsSaver) -> None:
    config = put(saver, config_of("trip"), {"a": 1})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: saver.put_writes(config, [("a", number)], f"{number:03}"), range(40)))

    found = saver.get_tuple(config_of("trip"))

    assert found is not None
    assert found.pending_writes is not None
    assert [write[2] for write in found.pending_writes] == [*range(40)]


def test_a_deleted_thread_is_gone_and_its_id_can_be_used_again(saver: AnnalsSaver, annals: Annals) -> None:
    other = AnnalsSaver(annals)
    say(chat(other), config_of("trip"), words(1, 9000), 1)
    saver.delete_thread("trip")

    assert saver.get_tuple(config_of("trip")) is None
    assert other.get_tuple(config_of("trip")) is None
    assert [*other.list(config_of("trip"))] == []

    for number in range(2):
        messages = say(chat(other), config_of("trip"), words(1, 9000), 1)
        assert len(messages) == 2
        assert values_of(AnnalsSaver(annals), config_of("trip"))["messages"] == messages
        other.delete_thread("trip")
        assert AnnalsSaver(annals).get_tuple(config_of("trip")) is None, number


def test_a_users_threads_are_in_their_export_and_go_with_them(
    saver: AnnalsSaver, annals: Annals, tmp_path: Path
) -> None:
    say(chat(saver), config_of("trip", user_id="ada"), "I like oolong.", 1)
    say(chat(saver), config_of("other", user_id="bob"), "I like coffee.", 1)
    annals.settle()

    annals.users.export("ada", tmp_path / "ada.jsonl")
    exported = (tmp_path / "ada.jsonl").read_text()
    annals.users.erase("ada")

    assert "oolong" in exported
    assert "coffee" not in exported
    assert AnnalsSaver(annals).get_tuple(config_of("trip")) is None
    assert AnnalsSaver(annals).get_tuple(config_of("other")) is not None


def test_pruning_keeps_the_newest_state_whole(
    saver: AnnalsSaver, annals: Annals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "GRACE", checkpoints_module.GRACE * 0)
    put(saver, config_of("trip"), {"plan": words(5, 9000), "messages": [HumanMessage(words(6, 9000), id="x")]})
    graph = chat(saver)
    for number in range(5):
        say(graph, config_of("trip"), words(number, 900), number)
    before = values_of(AnnalsSaver(annals), config_of("trip"))
    had = count_pieces(annals)

    saver.prune(["trip"])

    assert len([*saver.list(config_of("trip"))]) == 1
    assert values_of(AnnalsSaver(annals), config_of("trip")) == before
    assert count_pieces(annals) < had
    assert len(say(chat(AnnalsSaver(annals)), config_of("trip"), "On.", 9)) == len(before["messages"]) + 2


def count_pieces(annals: Annals) -> int:
    return len([*annals.documents.list("langgraph", conversation_id="langgraph:trip", namespace=["pieces"])])


def test_deleting_a_run_keeps_what_later_ones_need_of_it(saver: AnnalsSaver, annals: Annals) -> None:
    first = put(saver, config_of("trip", run_id="run-1"), {"plan": words(1, 1500), "n": 1})
    named = {"configurable": {**first["configurable"], "run_id": "run-2"}}
    checkpoint = {**empty_checkpoint(), "channel_values": {"plan": words(1, 1500), "n": 2}}
    checkpoint["channel_versions"] = {"plan": 1, "n": 2}
    saver.put(named, checkpoint, {"source": "loop", "step": 2}, {"n": 2})  # type: ignore[arg-type]

    saver.delete_for_runs(["run-1"])

    assert saver.get_tuple(first) is None
    assert values_of(AnnalsSaver(annals), config_of("trip")) == {"plan": words(1, 1500), "n": 2}


def test_a_process_that_ends_within_a_write_leaves_the_state_before(
    saver: AnnalsSaver, annals: Annals, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = put(saver, config_of("trip"), {"text": "before"})
    send = annals.sender.send

    def end_before_the_checkpoint(call: Call[Any]) -> Any:
        if call.method == "PUT":
            raise KeyboardInterrupt
        return send(call)

    with monkeypatch.context() as patched:
        patched.setattr(annals.sender, "send", end_before_the_checkpoint)
        with pytest.raises(KeyboardInterrupt):
            put(saver, config, {"text": words(1, 9000)}, 2)
    assert values_of(AnnalsSaver(annals), config_of("trip")) == {"text": "before"}

    put(saver, config, {"text": words(1, 9000)}, 2)
    assert values_of(AnnalsSaver(annals), config_of("trip")) == {"text": words(1, 9000)}


def test_channels_that_store_what_was_written_to_them_are_rebuilt(saver: AnnalsSaver, annals: Annals) -> None:
    class State(TypedDict):
        log: Annotated[list[str], DeltaChannel(lambda log, writes: [*log, *(each for of in writes for each in of)])]

    def note(state: State) -> dict[str, list[str]]:
        return {"log": [f"{len(state['log'])} so far"]}

    told = []
    savers: list[BaseCheckpointSaver[Any]] = [saver, InMemorySaver()]
    for each in savers:
        graph: Any = StateGraph(State).add_node(note).add_edge(START, "note").compile(checkpointer=each)
        told.append([graph.invoke({"log": [str(number)]}, config_of("trip"))["log"] for number in range(4)])
    assert told[0] == told[1]

    saver.prune(["trip"])
    graph = StateGraph(State).add_node(note).add_edge(START, "note").compile(checkpointer=AnnalsSaver(annals))

    assert graph.get_state(config_of("trip")).values["log"] == told[1][-1]


def test_a_checkpoint_whose_state_is_gone_says_so(saver: AnnalsSaver, annals: Annals) -> None:
    config = put(saver, config_of("trip"), {"text": words(1, 9000)})
    annals.documents.delete_many("langgraph", namespace=["pieces"], conversation_id="langgraph:trip")

    with pytest.raises(CheckpointDamaged, match="gone"):
        AnnalsSaver(annals).get_tuple(config)


def test_what_is_encrypted_is_written_once_and_not_to_be_read(
    counting: tuple[AnnalsSaver, Counting], annals: Annals
) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    saver, transport = AnnalsSaver(annals, serde=serde), counting[1]
    messages = [HumanMessage(f"secret {words(number, 300)}", id=f"m-{number}") for number in range(200)]
    config = put(saver, config_of("trip"), {"messages": messages})
    again = AnnalsSaver(annals, serde=serde)
    assert values_of(again, config) == {"messages": messages}
    before = transport.sent

    messages.append(HumanMessage("secret, too", id="m-200"))
    config = put(again, config, {"messages": messages}, 2)

    assert transport.sent - before < 20_000
    assert values_of(AnnalsSaver(annals, serde=serde), config) == {"messages": messages}
    stored = [*annals.documents.list("langgraph", conversation_id="langgraph:trip")]
    assert "secret" not in json.dumps([document.value for document in stored])


def test_the_threads_of_a_memory_space_are_listed(annals: Annals) -> None:
    for space, thread in (("one", "a"), ("one", "b/ü"), ("two", "a")):
        put(AnnalsSaver(annals, memory_space_id=space), config_of(thread), {"n": f"{space} {thread}"})
    annals.settle()

    found = [each.checkpoint["channel_values"]["n"] for each in AnnalsSaver(annals, memory_space_id="one").list(None)]

    assert sorted(found) == ["one a", "one b/ü"]


def test_versions_of_other_savers_are_counted_on() -> None:
    saver = AnnalsSaver(url="http://127.0.0.1:1", key="none")
    theirs = InMemorySaver().get_next_version(None, None)

    following = saver.get_next_version(theirs, None)

    assert following > theirs
    assert saver.get_next_version(None, None) == 1
    assert saver.get_next_version(1, None) == 2


def test_remembered_messages_are_messages_of_the_ledger_once_each(annals: Annals) -> None:
    config = config_of("trip", user_id="ada")
    for number in range(3):
        say(chat(AnnalsSaver(annals, remember=True)), config, f"Tea {number}.", number)
    annals.settle()

    stored = [*annals.messages.list("langgraph:trip")]

    assert [message.external_id for message in stored] == ["m-0", "re-m-0", "m-1", "re-m-1", "m-2", "re-m-2"]
    assert [message.content for message in stored[:2]] == ["Tea 0.", "Noted: Tea 0."]
    recalled = annals.memory.recall("Which tea?", memory_space_id="langgraph", user_id="ada")
    assert "Tea" in recalled.context
