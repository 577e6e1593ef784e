"""Records are delivered in order, tried again, and given up only into the dead letters."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import template
from local.streams import Checkpoints, DeadLetters, Delivery, ReaderProgress, Record, matches_patterns
from local.template import StreamMapping
from local.workers import FunctionFailed


def record(number: int, sk: str = "E#1") -> Record:
    dynamodb = {"SequenceNumber": str(number), "Keys": {"pk": {"S": "T#a"}, "sk": {"S": sk}}}
    return {"eventID": f"event-{number}", "eventName": "INSERT", "dynamodb": dynamodb}


def numbers(records: Collection[Record]) -> list[int]:
    return [int(record["dynamodb"]["SequenceNumber"]) for record in records]


class Function:
    """A stream function: some records it refuses for ever, some calls it does not survive."""

    def __init__(self, poison: Collection[int] = (), *, reports: bool = True, dies: int = 0) -> None:
        self.poison, self.reports, self.dies = set(poison), reports, dies
        self.worked: list[int] = []
        self.calls = 0

    def __call__(self, _: str, event: dict[str, Any]) -> Any:
        self.calls += 1
        if self.calls <= self.dies:
            raise BrokenProcessPool
        batch = numbers(event["Records"])
        if self.poison & set(batch) and not self.reports:
            return FunctionFailed("boom", "trace")
        self.worked += [number for number in batch if number not in self.poison]
        return {"batchItemFailures": [{"itemIdentifier": str(n)} for n in batch if n in self.poison]}


@pytest.fixture
def deliver(tmp_path: Path) -> Callable[..., list[int]]:
    def run(function: Function, count: int, retries: int = 0, batch: int = 4) -> list[int]:
        done: list[int] = []
        delivery = Delivery(
            StreamMapping("index", "LedgerTable", batch, retries),
            function,
            DeadLetters(tmp_path / "dlq.jsonl"),
            lambda record: done.extend(numbers([record])),
            threading.Event(),
        )
        delivery.deliver([record(number) for number in range(1, count + 1)])
        return done

    return run


def dead(folder: Path) -> list[int]:
    file = folder / "dlq.jsonl"
    return numbers([json.loads(line)["record"] for line in file.read_text().splitlines()]) if file.exists() else []


def test_records_are_worked_off_in_batches_and_in_order(deliver: Callable[..., list[int]]) -> None:
    function = Function()
    assert deliver(function, 10) == [4, 8, 10]
    assert function.worked == list(range(1, 11))
    assert function.calls == 3


@pytest.mark.parametrize("reports", [True, False])
def test_a_bad_record_is_found_and_holds_up_no_other(
    deliver: Callable[..., list[int]], tmp_path: Path, reports: bool
) -> None:
    function = Function({3}, reports=reports)
    deliver(function, 10)
    assert dead(tmp_path) == [3]
    assert sorted(set(function.worked)) == [1, 2, 4, 5, 6, 7, 8, 9, 10]


def test_a_bad_record_is_tried_again_before_it_is_given_up(deliver: Callable[..., list[int]], tmp_path: Path) -> None:
    function = Function({1})
    deliver(function, 1, retries=2)
    assert function.calls == 3
    assert dead(tmp_path) == [1]


def test_a_process_that_dies_costs_no_record(deliver: Callable[..., list[int]], tmp_path: Path) -> None:
    function = Function(dies=1)
    deliver(function, 3, retries=1)
    assert function.worked == [1, 2, 3]
    assert dead(tmp_path) == []


@given(poison=st.sets(st.integers(1, 20)), count=st.integers(0, 20), batch=st.integers(1, 8), reports=st.booleans())
def test_every_record_is_either_worked_off_or_among_the_dead(
    tmp_path_factory: pytest.TempPathFactory, poison: set[int], count: int, batch: int, reports: bool
) -> None:
    folder = tmp_path_factory.mktemp("delivery")
    function, done = Function(poison, reports=reports), list[Record]()
    mapping = StreamMapping("index", "LedgerTable", batch, 0)
    letters = DeadLetters(folder / "dlq.jsonl")
    Delivery(mapping, function, letters, done.append, threading.Event()).deliver(
        [record(n) for n in range(1, count + 1)]
    )
    sent = set(range(1, count + 1))
    assert set(function.worked) == sent - poison
    assert set(dead(folder)) == sent & poison
    assert numbers(done) == sorted(numbers(done))
    assert numbers(done)[-1:] == ([count] if count else [])


def test_what_is_left_when_the_server_stops_is_kept(tmp_path: Path) -> None:
    stopping = threading.Event()
    stopping.set()
    letters = DeadLetters(tmp_path / "dlq.jsonl")
    mapping = StreamMapping("index", "LedgerTable", 10, 100)
    Delivery(mapping, Function({1, 2}), letters, lambda _: None, stopping).deliver([record(1), record(2)])
    assert dead(tmp_path) == [1, 2]


def test_checkpoints_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "streams.json"
    Checkpoints(file).move("index/LedgerTable", "shard-1", "17")
    again = Checkpoints(file)
    assert again.position("index/LedgerTable", "shard-1") == "17"
    assert again.position("index/LedgerTable", "shard-2") is None
    assert again.position("project/LedgerTable", "shard-1") is None


def test_a_mapping_with_a_filter_gets_the_records_that_fit() -> None:
    mapping = next(mapping for mapping in template.read().mappings if mapping.function == "finish_erasure")
    assert matches_patterns(record(1, "RECEIPT"), mapping.patterns)
    assert not matches_patterns(record(1, "HEAD"), mapping.patterns)
    assert matches_patterns(record(1, "HEAD"), ())


class Readers:
    """Readers of two streams, of which the second finds work in the first so many of its looks."""

    def __init__(self, work: int) -> None:
        self.progress = ReaderProgress(["project", "index"], self.look)
        self.left, self.reads = work, 0

    def look(self) -> None:
        self.reads += 1
        threading.Thread(target=self._look).start()

    def _look(self) -> None:
        self.progress.note("project", time.monotonic(), worked=False)
        begun, worked = time.monotonic(), self.left > 0
        self.left -= worked
        self.progress.note("index", begun, worked)


@pytest.mark.parametrize("work", [0, 1, 3])
def test_streams_have_settled_when_each_reader_found_nothing_after_the_last_work(work: int) -> None:
    readers = Readers(work)
    assert readers.progress.settle(10) == []
    assert readers.left == 0
    assert readers.reads == work + 1


def test_what_a_reader_found_before_does_not_count() -> None:
    progress = ReaderProgress(["project", "index"], lambda: None)
    for name in ("project", "index"):
        progress.note(name, time.monotonic(), worked=False)
    assert progress.settle(0.05) == ["project", "index"]


def test_the_readers_that_are_behind_are_named() -> None:
    progress = ReaderProgress(["project", "index"], lambda: progress.note("project", time.monotonic(), worked=False))
    assert progress.settle(0.05) == ["index"]
