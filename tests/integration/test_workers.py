"""The workers: functions run in processes of their own, and a process that dies is replaced."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import pytest

from local import events, template
from local.events import Request
from local.workers import FunctionFailed, Workers

HEALTH = Request("GET", "/v1/health", "", (), b"", "127.0.0.1")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(2)
    yield pool
    pool.stop()


def ask(workers: Workers, function: str = "fallback") -> Any:
    found = events.match(template.read().routes, "GET", "/v1/health")
    assert found is not None
    return workers.submit(function, events.proxy_event(HEALTH, found)).result(60)


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
