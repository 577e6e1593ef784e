"""Ten thousand messages out and in again, over HTTP and with the command: complete, in little memory, verifiable."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.servers import ROOT, Server

COUNT = 10_000
FORMATS = ("json", "jsonl", "csv", "openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt", "ledger")
MEMORY_MB = 48
"""How much the server may grow while it sends more than that."""


def said(number: int) -> str:
    """A message that is like no other, some 700 bytes of it."""
    return f"Message {number}: " + " ".join(f"{number * 7919 + place:x}" for place in range(90))


def annals(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "layers/annals"), "ANNALS_URL": server.url, "ANNALS_KEY": server.key}
    return subprocess.run(  # noqa: S603 - this checkout's own command
        [sys.executable, "-m", "annals", *arguments], env=env, capture_output=True, text=True, timeout=240
    )


def counts(report: str) -> list[tuple[int, int]]:
    """How many conversations and messages were imported, and how many were there before."""
    _, imported, before, _ = report.splitlines()
    return [(int(line.split()[-2]), int(line.split()[-1])) for line in (imported, before)]


def memory_mb(pid: int) -> float:
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)  # noqa: S603, S607
    return int(listed.stdout) / 1024


@pytest.fixture(scope="module")
def conversation() -> str:
    return f"long-{uuid4()}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, conversation: str) -> Path:
    """A file of one long conversation."""
    path = tmp_path_factory.mktemp("source") / "long.jsonl.gz"
    own = {"type": "conversation", "conversationType": "user-agent", "conversationId": conversation}
    lines: list[dict[str, Any]] = [{**own, "participants": {"userId": "ada", "memorySpaceId": "long"}}]
    for number in range(COUNT):
        role = "assistant" if number % 2 else "user"
        line = {"type": "message", "conversationId": conversation, "role": role, "content": said(number)}
        lines.append({**line, "metadata": {"n": number}})
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), 1))
    return path


@pytest.fixture(scope="module")
def imported(server: Server, source: Path, conversation: str) -> str:
    """The conversation in the service; its path."""
    done = annals(server, "import", str(source))
    assert (done.returncode, done.stderr) == (0, "")
    assert counts(done.stdout) == [(1, COUNT), (0, 0)]
    return f"/v1/conversations/{conversation}"


CONTENTS: dict[str, Callable[[Path], list[str]]] = {
    "json": lambda path: [each["content"] for each in json.loads(path.read_text())["messages"]],
    "jsonl": lambda path: [json.loads(line)["content"] for line in path.read_text().splitlines()[1:]],
    "csv": lambda path: [row["content"] for row in csv.DictReader(path.open(newline=""))],
    "openai-chat": lambda path: [each["content"] for each in json.loads(path.read_text())["messages"]],
    "anthropic": lambda path: [each["content"] for each in json.loads(path.read_text())["messages"]],
    "bedrock": lambda path: [each["content"][0]["text"] for each in json.loads(path.read_text())["messages"]],
    "ai-sdk": lambda path: [each["parts"][0]["text"] for each in json.loads(path.read_text())["messages"]],
    "sharegpt": lambda path: [each["value"] for each in json.loads(path.read_text())["conversations"]],
    "ledger": lambda path: [
        json.loads(record["body"])["content"]
        for line in path.read_text().splitlines()[2:]
        for record in json.loads(line)["records"]
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_message_is_in_the_file(server: Server, imported: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    conversation = imported.rsplit("/", 1)[1]
    done = annals(server, "export", "--conversation", conversation, "--format", name, "-o", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stat().st_size > 6 * 1024 * 1024
    assert CONTENTS[name](path) == [said(number) for number in range(COUNT)]
    assert list(tmp_path.iterdir()) == [path]


def test_the_server_does_not_grow_with_what_it_sends(server: Server, api: httpx.Client, imported: str) -> None:
    before = memory_mb(server.pid)
    sent = most = 0.0
    for name in FORMATS:
        with api.stream("GET", f"{imported}/export", params={"format": name}) as answer:
            for place, chunk in enumerate(answer.iter_bytes(1_000_000)):
                sent += len(chunk) / 1024 / 1024
                most = max(most, memory_mb(server.pid)) if place % 2 else most
    assert sent > 60
    assert most - before < MEMORY_MB, (before, most, sent)


def test_the_exported_ledger_is_verified_offline(server: Server, imported: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    annals(server, "export", "--conversation", imported.rsplit("/", 1)[1], "--format", "ledger", "-o", str(path))
    done = annals(Server("http://127.0.0.1:1", "", path, 0), "verify", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{COUNT} messages" in done.stdout
    path.write_text(path.read_text().replace("Message 5000:", "Message 5001:"))
    done = annals(server, "verify", str(path))
    assert done.returncode == 1
    assert "NOT VALID at seq 5001: " in done.stdout


def test_the_file_imported_again_stores_nothing(server: Server, api: httpx.Client, imported: str, source: Path) -> None:
    head = api.get(imported).json()["headHash"]
    done = annals(server, "import", str(source))
    assert counts(done.stdout) == [(0, 0), (1, COUNT)]
    assert api.get(imported).json()["headHash"] == head
    assert api.get(f"{imported}/verify").json()["messageCount"] == COUNT


def test_an_export_of_many_is_imported_by_another_tenant(server: Server, api: httpx.Client, tmp_path: Path) -> None:
    key = api.post("/v1/keys", json={"name": "copy", "tenant": f"copy-{uuid4()}", "scopes": ["read", "write"]}).json()
    space = f"space-{uuid4()}"
    for number in range(5):
        turn = {"memorySpaceId": space, "conversationId": f"{space}-{number}", "userId": "ada"}
        stored = api.post("/v1/memory/remember", json={**turn, "userMessage": "hello", "agentResponse": f"{number}"})
        assert stored.status_code == 201, stored.text
    path = tmp_path / "file"
    filters = ("--filter", f"participants.memorySpaceId={space}")
    assert annals(server, "export", *filters, "-o", str(path)).returncode == 0
    done = annals(server, "import", str(path), "--key", key["key"])
    assert counts(done.stdout) == [(5, 10), (0, 0)]
    with server.client(key["key"]) as copy:
        items = copy.get("/v1/conversations", params={"limit": 10}).json()["items"]
    assert {item["conversationId"] for item in items} == {f"{space}-{number}" for number in range(5)}


def test_a_refusal_is_said_with_the_line_of_the_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "x"}]}\n\n{"messages": []}\n')
    done = annals(server, "import", str(path), "--memory-space", "s", "--user", "u")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "annals: 422 Line 3: messages must not be empty.\n"


def test_an_export_that_is_refused_leaves_no_file(server: Server, tmp_path: Path) -> None:
    done = annals(server, "export", "--conversation", "nobody", "-o", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "404" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_is_not_there_is_said_in_a_sentence(server: Server, tmp_path: Path) -> None:
    gone = Server("http://127.0.0.1:1", "key", tmp_path, 0)
    done = annals(gone, "export", "-o", str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stderr.startswith("annals: nothing answers at http://127.0.0.1:1")
