"""The server is killed while writers append: what it acknowledged is kept, once, and found once it is back."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.asking import contents, create, eventually, listed, path_of, verified
from tests.e2e.servers import Server, start_server, stop_server

KILLS = 3
WRITERS = 4
LONGEST_LIFE_S = 1.5


@dataclass
class Writer:
    """Appends messages, each with a key of its own, and sends each again until it is acknowledged."""

    number: int
    conversation_id: str
    stopping: threading.Event
    where: list[Server]
    acknowledged: list[str] = field(default_factory=list)
    retries: int = 0

    def run(self) -> None:
        """Write until it is told to stop; the message under way is finished."""
        while not self.stopping.is_set():
            text = f"writer{self.number} message {len(self.acknowledged)}"
            while not self._sent(text):
                self.retries += 1
                time.sleep(0.05)
            self.acknowledged.append(text)

    def _sent(self, text: str) -> bool:
        server = self.where[-1]
        headers = {"Authorization": f"Bearer {server.key}", "Idempotency-Key": text}
        said = {"role": "user", "content": text}
        try:
            answer = httpx.post(
                server.url + path_of(self.conversation_id, "messages"), json=said, headers=headers, timeout=10
            )
        except httpx.TransportError:
            return False
        assert answer.status_code == 201 or answer.status_code >= 500, answer.text
        return answer.status_code == 201


def kill(process: subprocess.Popen[str]) -> None:
    """End the server at once; its database lives on in a session of its own."""
    assert stop_server(process, signal.SIGKILL) == -signal.SIGKILL


def found(api: httpx.Client, conversation_id: str) -> list[str]:
    """All that a search of the conversation finds, in order of its words."""
    asked = {"query": "message", "memorySpaceId": "home", "limit": 1000, "filter": {"conversationId": conversation_id}}
    return sorted(hit["content"] for hit in api.post("/v1/memory/search", json=asked).json()["items"])


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[Server, list[Writer]]]:
    """A server that came after those that were killed while writers wrote."""
    process, server = start_server(tmp_path)
    where, stopping = [server], threading.Event()
    with server.client() as api:
        ids = [create(api) for _ in range(2)]
    writers = [Writer(number, ids[number % 2], stopping, where) for number in range(WRITERS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.3, LONGEST_LIFE_S))  # noqa: S311 - any moment
            kill(process)
            process, server = start_server(tmp_path)
            where.append(server)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    yield where[-1], writers
    assert stop_server(process) == 0


def test_nothing_acknowledged_is_lost_or_stored_twice_and_all_of_it_is_found(
    written: tuple[Server, list[Writer]],
) -> None:
    server, writers = written
    assert sum(writer.retries for writer in writers) > 0
    with server.client() as api:
        for conversation_id in {writer.conversation_id for writer in writers}:
            demand_whole(api, conversation_id, [each for each in writers if each.conversation_id == conversation_id])
        assert len(listed(api)) == 2


def demand_whole(api: httpx.Client, conversation_id: str, writers: list[Writer]) -> None:
    """The conversation holds what its writers were told that it holds, each in its order, and nothing else."""
    stored = contents(api, conversation_id, limit=1000, order="asc")
    for writer in writers:
        assert [text for text in stored if text.startswith(f"writer{writer.number} ")] == writer.acknowledged
    assert len(stored) == sum(len(writer.acknowledged) for writer in writers) <= 1000
    chain = verified(api, conversation_id)
    assert (chain["valid"], chain["messageCount"]) == (True, len(stored))
    eventually(lambda: is_listed(api, conversation_id, len(stored)))
    eventually(lambda: found(api, conversation_id) == sorted(stored))


def is_listed(api: httpx.Client, conversation_id: str, count: int) -> bool:
    """Whether the lists have caught up with a conversation's ledger."""
    shown = {item["conversationId"]: item["messageCount"] for item in api.get("/v1/conversations").json()["items"]}
    return shown.get(conversation_id) == count
