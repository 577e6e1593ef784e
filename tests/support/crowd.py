"""Processes that search, write, rebuild and open one embedded index at once, each again and again in its own role.

Their settings are this process'. The tables hold ``BASE``, which every process brings into the index before its first
turn, so that it is to be found from then on, whatever the others do.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

from annals.errors import SearchUnavailable
from annals.ledger.keys import conversation_pk
from annals.memory import adapters
from annals.memory.indexing.indexer import catch_up, index_entries
from annals.memory.indexing.stream_indexing import open_targets
from annals.operations.rebuild import rebuild_index
from annals.search.documents import Document
from annals.search.embedded.connections import GONE
from annals.search.embedded.index import EmbeddedIndex
from annals.settings import settings
from tests.support.api import Api
from tests.support.searching import wait_for

TALK = "talk"
BASE = frozenset(f"mem:{TALK}:{seq}" for seq in range(1, 31))
SPACE = "home"
PATIENCE_S = 60
FRESH, VICTIM = "fresh", "victim"

_processes = multiprocessing.get_context("spawn")
_started = multiprocessing.get_context("forkserver")
_started.set_forkserver_preload(["tests.support.crowd"])
_numbers = count(1)


@dataclass(frozen=True)
class Report:
    """How a process fared: its turns, the seconds of the slowest one, and what went wrong, if anything did."""

    role: str
    turns: int
    slowest_s: float
    failure: str = ""


def make_base(api: Api) -> None:
    """Put the messages into the tables that everybody is to find."""
    people = {"userId": "ada", "memorySpaceId": SPACE}
    created = {"type": "user-agent", "conversationId": TALK, "participants": people}
    assert api.post("/v1/conversations", created).status == 201
    messages = [{"role": "user", "content": f"common word-{number}"} for number in range(len(BASE))]
    assert api.post(f"/v1/conversations/{TALK}/messages", {"messages": messages}).status == 201


def run(roles: Sequence[str], api: Api, seconds: float) -> list[Report]:
    """Have a process of each role work for so long, all from the same moment on."""
    reports: Any = _processes.SimpleQueue()
    barrier = _processes.Barrier(len(roles))
    started = [
        _processes.Process(target=_work, args=(role, number, api, seconds, barrier, reports))
        for number, role in enumerate(roles)
    ]
    for process in started:
        process.start()
    deadline = time.monotonic() + seconds + 2 * PATIENCE_S
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
    received = []
    while not reports.empty():
        received.append(reports.get())
    return received


def _work(role: str, number: int, api: Api, seconds: float, barrier: Barrier, reports: Any) -> None:
    act: Callable[[Api, int], object] = {"search": search, "write": write, "rebuild": rebuild, "start": start}[role]
    turns, slowest = 0, 0.0
    barrier.wait(PATIENCE_S)
    deadline = time.monotonic() + seconds
    try:
        catch_up(adapters.index(), adapters.embedder(), conversation_pk(api.caller.tenant, TALK))
        while not turns or time.monotonic() < deadline:
            began = time.monotonic()
            act(api, number)
            turns, slowest = turns + 1, max(slowest, time.monotonic() - began)
    except BaseException:  # noqa: BLE001 - reported by the test's own process
        reports.put(Report(role, turns, slowest, traceback.format_exc()))
    else:
        reports.put(Report(role, turns, slowest))


def search(api: Api, _: int) -> None:
    """Recall, which asks the index twice side by side: all of the base is found."""
    assert recall_ids(api, "common", SPACE) >= BASE


def write(api: Api, number: int) -> None:
    """A conversation is appended, indexed, found, erased, and not found any more."""
    name = f"fleeting-{number}-{next(_numbers)}"
    people = {"userId": "ada", "memorySpaceId": f"desk-{number}"}
    created = {"type": "user-agent", "conversationId": name, "participants": people}
    assert api.post("/v1/conversations", created).status == 201
    messages = [{"role": "user", "content": f"fleeting word-{each}"} for each in range(3)]
    assert api.post(f"/v1/conversations/{name}/messages", {"messages": messages}).status == 201
    ids = {f"mem:{name}:{seq}" for seq in (1, 2, 3)}
    index_everywhere(api, name)
    assert recall_ids(api, "fleeting", f"desk-{number}") >= ids
    assert api.delete(f"/v1/conversations/{name}").status == 200
    index_everywhere(api, name)
    # Two rebuilds at once may show for a moment what one of them is about to remove.
    wait_for(lambda: recall_ids(api, "fleeting", f"desk-{number}").isdisjoint(ids))


def rebuild(_: Api, __: int) -> None:
    """The index is built anew and put in service; two do so at once, and whoever is too late has nothing to do."""
    unless_gone(lambda: rebuild_index(adapters.index(), adapters.embedder(), lambda _: None))
    time.sleep(random.uniform(0, 0.5))  # noqa: S311 - any moment


def start(api: Api, _: int) -> None:
    """Fresh processes open the index, find the base, and end; some are killed while they write."""
    doing = random.choice([FRESH, FRESH, VICTIM])  # noqa: S311 - any order
    process = _started.Process(target=_start, args=(doing, Path(settings().embedded_index), api.caller.tenant))
    process.start()
    if doing == VICTIM:
        time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - any moment
        process.kill()
    process.join(PATIENCE_S)
    assert process.exitcode == (-signal.SIGKILL if doing == VICTIM else 0)


def _start(doing: str, path: Path, tenant: str) -> None:
    index = EmbeddedIndex(path)
    assert set(index.find_fingerprints(tenant, BASE)) == BASE
    if doing == VICTIM:
        dimensions = int(index.find_profile()["dimensions"])
        for number in range(10_000):
            name = f"{os.getpid()}-{number % 5}"
            vector = ((1.0,) + (0.0,) * (dimensions - 1),)
            lost = Document(tenant="victims", memory_id=name, memory_space_id=SPACE, content="lost", at=number)
            index.upsert([(Document(**{**vars(lost), "vectors": vector, "vector_digests": (name,)}), str(number))])


def index_everywhere(api: Api, name: str) -> None:
    """What the index function does with a conversation's entries: the index in service, and the next one."""
    pk = conversation_pk(api.caller.tenant, name)
    for _ in range(100):
        if unless_gone(lambda: [index_entries(target, pk, 1, 10) for target in open_targets()]):
            return
    raise AssertionError("the index that is being built is never the one that is written")


def unless_gone(do: Callable[[], object]) -> bool:
    """Do something with an index that is being built; whether it was still there."""
    try:
        do()
    except SearchUnavailable as error:
        if GONE in error.detail:
            return False
        raise
    return True


def recall_ids(api: Api, query: str, space: str) -> set[str]:
    """What a recall finds."""
    answer = api.post("/v1/memory/recall", {"query": query, "memorySpaceId": space, "limit": 100})
    assert answer.status == 200, answer.body
    items: Iterable[dict[str, str]] = answer.json["items"]
    return {hit["memoryId"] for hit in items}


def open_fresh(folder: Path, barrier: Barrier, rounds: int, reports: Any) -> None:
    """Open one index after the other that nobody has made yet, each at the same moment as the others do."""
    try:
        for number in range(rounds):
            index = EmbeddedIndex(folder / f"{number}.sqlite3")
            barrier.wait(PATIENCE_S)
            assert index.find_fingerprints("acme", ["none"]) == {}
            index.ensure(model="any", dimensions=8)
            assert index.find_profile()["model"] == "any"
            index.close()
    except BaseException:  # noqa: BLE001 - reported by the test's own process
        barrier.abort()
        reports.put(traceback.format_exc())


def open_fresh_at_once(folder: Path, *, processes: int, rounds: int) -> list[str]:
    """Have processes open fresh indexes side by side; what went wrong."""
    reports: Any = _processes.SimpleQueue()
    barrier = _processes.Barrier(processes)
    started = [_processes.Process(target=open_fresh, args=(folder, barrier, rounds, reports)) for _ in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join(2 * PATIENCE_S)
        if process.is_alive():
            process.kill()
            reports.put("a process did not end")
    received = []
    while not reports.empty():
        received.append(reports.get())
    return received
