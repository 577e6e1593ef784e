"""Many processes have one embedded index at once: nobody meets a lock, or an index that is not whole.

``INDEX_CROWD_S`` says for how many seconds they work together.
"""

from __future__ import annotations

import os
from pathlib import Path
from threading import Barrier, Thread

import apsw
import pytest

from annals.search.embedded.index import EmbeddedIndex
from annals.search.protocol import Scope
from local.emulator import Emulator
from tests.fakes.search import TENANT, FakeEmbedder, memory
from tests.support import crowd
from tests.support.api import Api
from tests.support.searching import forget
from tests.support.stack import on_emulator

SECONDS = float(os.environ.get("INDEX_CROWD_S", "20"))
ROLES = ("search", "search", "write", "write", "rebuild", "rebuild", "start", "start")
FAKE = {"model": FakeEmbedder.model, "dimensions": FakeEmbedder.dimensions}


def test_eight_processes_that_search_write_rebuild_and_start_at_once_see_no_lock_and_a_whole_index(
    running_dynoxide: Emulator, tmp_path: Path, api: Api
) -> None:
    """From the first moment on: the index is made by all of them side by side."""
    with on_emulator(running_dynoxide), pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_INDEX", str(tmp_path / "index.sqlite3"))
        patch.setenv("EMBEDDINGS_URL", "offline")
        forget()
        crowd.make_base(api)
        reports = crowd.run(ROLES, api, SECONDS)
    forget()
    for each in reports:
        print(f"{each.role:8} {each.turns:6} turns, the slowest {each.slowest_s:.2f} s")
    assert [each.failure for each in reports if each.failure] == []
    assert sorted(each.role for each in reports) == sorted(ROLES)
    assert min(each.turns for each in reports) > 0


def test_a_fresh_index_is_opened_and_made_by_eight_processes_at_once(tmp_path: Path) -> None:
    assert crowd.open_fresh_at_once(tmp_path, processes=8, rounds=20) == []


def test_a_fresh_index_is_searched_by_four_threads_at_once(tmp_path: Path) -> None:
    """As two recalls do."""
    failures: list[Exception] = []
    barrier = Barrier(4)

    def search(index: EmbeddedIndex) -> None:
        barrier.wait()
        try:
            assert index.count(Scope(tenant=TENANT)) == 0
        except Exception as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    for number in range(100):
        index = EmbeddedIndex(tmp_path / f"{number}.sqlite3")
        threads = [Thread(target=search, args=(index,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_who_waits_to_write_while_the_index_is_replaced_writes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    index, writer = EmbeddedIndex(path), EmbeddedIndex(path)
    index.ensure(**FAKE)
    index.ensure_next(**FAKE)
    waiting = Thread(target=lambda: writer.upsert([(memory("late", "dog"), "1")]))
    with apsw.Connection(str(path)) as somebody:
        somebody.execute("INSERT OR REPLACE INTO setting VALUES ('held', '1')")
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        Path(f"{path}.next").replace(path)
    waiting.join()
    assert index.count(Scope(tenant=TENANT)) == 1
