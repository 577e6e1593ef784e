"""The workers: functions run in processes of their own, and a process that dies is replaced."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import pytest

from local import events, pool, template
from local.events import Request
from local.workers import FunctionFailed, Workers

HEALTH = Request("GET", "/v1/health", "", (), b"", "127.0.0.1")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    running = Workers(2)
    yield running
    running.stop()


def ask(workers: Workers, function: str = "fallback") -> Any:
    route_match = events.match(template.read().routes, "GET", "/v1/health")
    assert route_match is not None
    return workers.submit(function, events.proxy_event(HEALTH, route_match)).result(60)


def test_a_function_answers_from_its_own_process(workers: Workers) -> None:
    answer = ask(workers)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["status"] == "ok"


def test_a_function_that_raises_reports_it_with_its_trace(workers: Workers) -> None:
    failed = ask(workers, "authorizer")
    assert isinstance(failed, FunctionFailed)
    assert failed.message == "Unauthorized"
    assert failed.trace.startswith("Traceback")


def test_a_function_that_is_not_there_reports_it(workers: Workers) -> None:
    assert isinstance(ask(workers, "nope"), FunctionFailed)


def test_processes_that_die_are_replaced(workers: Workers) -> None:
    ask(workers)
    for child in multiprocessing.active_children():
        child.kill()
        child.join(10)
    with suppress(BrokenProcessPool):
        ask(workers)
    assert ask(workers)["statusCode"] == 200


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_what_is_about_the_same_goes_to_the_process_that_knows_it(workers: Workers) -> None:
    both = [workers.run(pid_after, 0.3, place=place) for place in "ab"]
    first, second = (working.result(60) for working in both)
    assert first != second
    for _ in range(5):
        assert workers.run(pid_after, 0, place="a").result(60) == first
        assert workers.run(pid_after, 0, place="b").result(60) == second


def test_a_process_that_is_busy_holds_nothing_up(workers: Workers) -> None:
    known = workers.run(pid_after, 0, place="a").result(60)
    busy = workers.run(pid_after, 1, place="a")
    assert workers.run(pid_after, 0, place="a").result(60) != known
    assert busy.result(60) == known


def test_what_waits_is_done_in_its_order_by_whoever_is_free(workers: Workers) -> None:
    futures = [workers.run(pid_after, 0.02, place=str(number)) for number in range(20)]
    assert len({working.result(60) for working in futures}) == 2


@pytest.mark.parametrize(("patience_s", "waits_for_its_own"), [(60.0, True), (0.0, False)])
def test_what_waits_is_taken_by_who_knows_it_but_not_put_off_for_long(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, patience_s: float, waits_for_its_own: bool
) -> None:
    monkeypatch.setattr(pool, "PATIENCE_S", patience_s)
    quick, slow = workers.run(pid_after, 0.3, place="quick"), workers.run(pid_after, 1, place="slow")
    first, second = workers.run(pid_after, 1, place="slow"), workers.run(pid_after, 0, place="quick")
    assert slow.result(60) != quick.result(60)
    assert (second.result(60) == quick.result(60)) is waits_for_its_own
    assert first.result(60)


def test_only_what_a_process_worked_on_ends_with_it(workers: Workers) -> None:
    other = workers.run(pid_after, 0.5, place="other")
    killed = workers.run(os.kill, workers.run(pid_after, 0, place="own").result(60), signal.SIGKILL, place="own")
    with pytest.raises(BrokenProcessPool):
        killed.result(60)
    assert other.result(60)


def test_a_stop_waits_for_what_is_worked_on_and_drops_what_waits() -> None:
    one = Workers(1)
    worked_on, waiting = (one.run(pid_after, 0.5, place="a") for _ in range(2))
    one.stop()
    assert worked_on.result(0)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        ask(one)


def test_a_stop_ends_what_would_never_end() -> None:
    one = Workers(1)
    endless = one.run(pid_after, 600, place="a")
    one.stop(patience_s=0.5)
    with pytest.raises(BrokenProcessPool):
        endless.result(10)


class Unreadable:
    """Can be pickled; reading it raises."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("no number",)


def unreadable() -> Unreadable:
    return Unreadable()


def test_who_waits_for_a_result_that_cannot_be_read_hears_of_it(workers: Workers) -> None:
    with pytest.raises(ValueError, match="no number"):
        workers.run(unreadable, place="a").result(60)
    assert ask(workers)["statusCode"] == 200
