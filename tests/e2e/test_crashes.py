"""Server and database are killed while others write: what was acknowledged is kept, once, and found once they are back.

Writers append, a reply is streamed, conversations are erased, and the streams' functions index all of it meanwhile.
"""

from __future__ import annotations

import json
import os
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

from annals_client import Annals
from tests.e2e.asking import USER, contents, create, eventually, history, listed, path_of, verified
from tests.e2e.servers import Server, start_server, stop_server
from tests.support.blobs import image

VICTIMS = (("server",), ("database",), ("server", "database"), ("database", "server"))
WRITERS = 8
LONGEST_LIFE_S = 1.5
LONGEST_REQUEST_S = 60


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


@dataclass
class Streamer:
    """Has replies streamed, each under a key of its own, and asks again until the result is told."""

    conversation_id: str
    stopping: threading.Event
    where: list[Server]
    answered: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Ask until it is told to stop; the question under way is finished."""
        while not self.stopping.is_set():
            text = f"question {len(self.answered)}"
            while not self._told(text):
                time.sleep(0.05)
            self.answered.append(text)

    def _told(self, text: str) -> bool:
        server = self.where[-1]
        headers = {"Authorization": f"Bearer {server.key}", "Idempotency-Key": text}
        turn = {"memorySpaceId": "home", "conversationId": self.conversation_id, "userId": "ada", "userMessage": text}
        try:
            answer = httpx.post(f"{server.url}/v1/memory/remember-stream", json=turn, headers=headers, timeout=30)
        except httpx.TransportError:
            return False
        return "event: result" in answer.text


@dataclass
class Eraser:
    """Makes conversations and erases them, each until that is acknowledged."""

    stopping: threading.Event
    where: list[Server]
    erased: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Erase until it is told to stop."""
        while not self.stopping.is_set():
            name = f"erased-{len(self.erased)}"
            for method, path, body in (
                ("POST", "/v1/conversations", {"conversationId": name, "type": "user-agent", "participants": USER}),
                ("POST", path_of(name, "messages"), {"messages": [{"role": "user", "content": "secret"}] * 20}),
                ("DELETE", path_of(name), None),
            ):
                while not self._taken(method, path, body, f"{method} {name}"):
                    time.sleep(0.05)
            self.erased.append(name)

    def _taken(self, method: str, path: str, body: object, key: str) -> bool:
        server = self.where[-1]
        headers = {"Authorization": f"Bearer {server.key}", "Idempotency-Key": key}
        try:
            answer = httpx.request(method, server.url + path, json=body, headers=headers, timeout=30)
        except httpx.TransportError:
            return False
        assert answer.is_success or answer.status_code >= 500, answer.text
        return answer.is_success


def kill_server(process: subprocess.Popen[str]) -> None:
    """End the server at once; its database lives on in a session of its own."""
    assert stop_server(process, signal.SIGKILL) == -signal.SIGKILL


def kill_database(data: Path) -> None:
    """End the database at once."""
    os.kill(json.loads((data / "dynoxide.json").read_text())["pid"], signal.SIGKILL)


def found(api: httpx.Client, conversation_id: str) -> list[str]:
    """All that a search of the conversation finds, in order of its words."""
    asked = {"query": "message", "memorySpaceId": "home", "limit": 1000, "filter": {"conversationId": conversation_id}}
    return sorted(hit["content"] for hit in api.post("/v1/memory/search", json=asked).json()["items"])


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[Server, list[Writer], Streamer, Eraser]]:
    """A server that came after those that were killed, they or their databases, while all of these wrote."""
    process, server = start_server(tmp_path)
    where, stopping = [server], threading.Event()
    with server.client() as api:
        ids = [create(api) for _ in range(3)]
    writers = [Writer(number, ids[number % 2], stopping, where) for number in range(WRITERS)]
    streamer, eraser = Streamer(ids[2], stopping, where), Eraser(stopping, where)
    threads = [threading.Thread(target=each.run, daemon=True) for each in (*writers, streamer, eraser)]
    for thread in threads:
        thread.start()
    try:
        for victims in VICTIMS:
            time.sleep(random.uniform(0.3, LONGEST_LIFE_S))  # noqa: S311 - any moment
            for victim in victims:
                kill_server(process) if victim == "server" else kill_database(tmp_path)
            if "server" in victims:
                process, server = start_server(tmp_path)
                where.append(server)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(LONGEST_REQUEST_S)
    yield where[-1], writers, streamer, eraser
    assert stop_server(process) == 0


def test_nothing_acknowledged_is_lost_or_stored_twice_and_all_of_it_is_found(
    written: tuple[Server, list[Writer], Streamer, Eraser],
) -> None:
    server, writers, streamer, eraser = written
    assert sum(writer.retries for writer in writers) > 0
    with server.client() as api:
        for conversation_id in {writer.conversation_id for writer in writers}:
            require_whole(api, conversation_id, [each for each in writers if each.conversation_id == conversation_id])
        require_turns(api, streamer)
        require_erased(api, eraser)
        assert len(listed(api)) == 3


def require_turns(api: httpx.Client, streamer: Streamer) -> None:
    """Each question is stored once, and its answer behind it."""
    stored = history(api, streamer.conversation_id, limit=1000, order="asc")
    assert streamer.answered
    assert [message["content"] for message in stored if message["role"] == "user"] == streamer.answered
    assert [message["role"] for message in stored] == ["user", "assistant"] * len(streamer.answered)
    assert verified(api, streamer.conversation_id)["valid"]


def require_erased(api: httpx.Client, eraser: Eraser) -> None:
    """Nothing of what was erased is read or found, and its chain is whole."""
    assert eraser.erased
    for name in eraser.erased:
        assert api.get(path_of(name)).status_code == 410
        eventually(lambda name=name: "erasedAt" in api.delete(path_of(name)).json())
        assert verified(api, name)["valid"]
    asked = {"query": "secret", "memorySpaceId": "home"}
    eventually(lambda: api.post("/v1/memory/search", json=asked).json()["items"] == [])


def require_whole(api: httpx.Client, conversation_id: str, writers: list[Writer]) -> None:
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


def test_the_parts_of_an_acknowledged_message_are_there_after_the_server_is_killed(tmp_path: Path) -> None:
    process, running = start_server(tmp_path)
    with running.client() as http:
        conversation_id = create(http)
        texts = [image(400_000, seed)[1] for seed in range(3)]
        for text in texts:
            answer = http.post(
                path_of(conversation_id, "messages"), json={"role": "user", "content": "x", "parts": [text]}
            )
            assert answer.status_code == 201
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process, running = start_server(tmp_path)
    try:
        with Annals(running.url, running.key) as annals:
            messages = [
                annals.messages.restore(conversation_id, each) for each in annals.messages.list(conversation_id)
            ]
            assert [message.parts for message in messages] == [[text] for text in texts]
            assert annals.conversations.verify(conversation_id, parts=True).valid
    finally:
        stop_server(process)
