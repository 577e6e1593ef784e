"""A Serverless collection that sleeps is waited for; one that stays silent is 503, with when to come again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from annals.errors import SearchAsleep, SearchUnavailable
from annals.memory import adapters
from annals.search.opensearch import connecting
from annals.search.opensearch.index import OpenSearchIndex
from annals.search.protocol import Scope
from annals.settings import settings
from local.emulator import free_port
from tests.fakes.servers import Handler, Server
from tests.support.api import Api

SCOPE = Scope(tenant="t")
COUNTED = json.dumps({"count": 7, "_shards": {"total": 1, "successful": 1, "failed": 0}}).encode()

Asleep = Callable[[Handler, int], bool]
"""What a sleeping collection does with a request, given the request's number; whether it goes on to answer."""


@contextmanager
def collection(asleep: Asleep, port: int = 0) -> Iterator[str]:
    """A collection on a real socket, which counts seven documents once it is awake."""
    numbers = iter(range(1, 1_000))

    class Collection(Handler):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            self.read_json()
            if asleep(self, next(numbers)):
                self.answer(200, COUNTED)

    server = Server(Collection, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """An awake index is given up after half a second."""
    monkeypatch.setattr(connecting, "TIMEOUT_S", 0.5)


def index(url: str, wake_s: float = 8.0, service: str = "aoss") -> OpenSearchIndex:
    return OpenSearchIndex(url, service=service, wake_s=wake_s)


def takes(seconds: float) -> Asleep:
    """The first request is taken, and answered when the collection is awake."""

    def wait(handler: Handler, number: int) -> bool:
        if number == 1:
            time.sleep(seconds)
        return True

    return wait


def refuses(times: int) -> Asleep:
    """The first requests are answered by the proxy before the collection."""

    def refuse(handler: Handler, number: int) -> bool:
        if number <= times:
            handler.answer(503, b"{}")
        return number > times

    return refuse


def silent(handler: Handler, number: int) -> bool:
    time.sleep(3)
    return False


@pytest.mark.parametrize("asleep", [takes(1.5), refuses(3)])
def test_a_request_waits_until_the_collection_is_awake(asleep: Asleep) -> None:
    with collection(asleep) as url:
        assert index(url).count(SCOPE) == 7


def test_a_request_waits_for_a_collection_that_takes_no_connections_yet() -> None:
    port = free_port()
    counts: list[Any] = []
    thread = threading.Thread(target=lambda: counts.append(index(f"http://127.0.0.1:{port}").count(SCOPE)))
    thread.start()
    time.sleep(1)
    with collection(takes(0), port):
        thread.join(8)
        assert counts == [7]


def test_a_collection_that_stays_silent_is_unavailable_in_time_and_says_when_to_come_again() -> None:
    with collection(silent) as url:
        started = time.monotonic()
        with pytest.raises(SearchAsleep, match="up to 30 seconds to wake") as refused:
            index(url, wake_s=1.0).count(SCOPE)
        assert time.monotonic() - started < 2
        assert refused.value.retry_after_s == 10


def test_a_collection_that_answered_a_moment_ago_is_not_waited_for() -> None:
    def dies(handler: Handler, number: int) -> bool:
        return number == 1 or silent(handler, number)

    with collection(dies) as url:
        collection_index = index(url)
        assert collection_index.count(SCOPE) == 7
        started = time.monotonic()
        with pytest.raises(SearchUnavailable):
            collection_index.count(SCOPE)
        assert time.monotonic() - started < 2


def test_a_domain_never_sleeps_and_is_not_waited_for() -> None:
    started = time.monotonic()
    with pytest.raises(SearchUnavailable) as refused:
        index(f"http://127.0.0.1:{free_port()}", service="es").count(SCOPE)
    assert time.monotonic() - started < 2
    assert not isinstance(refused.value, SearchAsleep)


def test_the_api_says_that_the_index_wakes_and_when_to_come_again(
    ministack: object, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collection(silent) as url:
        for name, value in (("URL", url), ("SERVICE", "aoss"), ("WAKE_S", "1")):
            monkeypatch.setenv(f"OPENSEARCH_{name}", value)
        monkeypatch.delenv("EMBEDDED_INDEX", raising=False)
        for cached in (settings, adapters.index):
            cached.cache_clear()
        try:
            answer = api.get("/v1/memories/count")
        finally:
            monkeypatch.undo()
            for cached in (settings, adapters.index):
                cached.cache_clear()
    assert answer.problem == (503, "SEARCH_UNAVAILABLE", None)
    assert answer.headers["retry-after"] == "10"
    assert "wake" in answer.json["detail"]
