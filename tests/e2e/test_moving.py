"""From one Annals to another with the commands that docs/laptop.md gives: all that was said is there, and verifies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.template import ROOT
from tests.e2e.servers import Server, start_server, stop_server

OWN = {"updatedAt", "headHash"}
"""What of a conversation's line is each ledger's own."""


def annals(server: Server, *arguments: str) -> str:
    """What a command prints, run as the docs say: with ANNALS_URL and ANNALS_KEY."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "layers/annals"), "ANNALS_URL": server.url, "ANNALS_KEY": server.key}
    command = [sys.executable, "-m", "annals", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Server]:
    process, running = start_server(tmp_path / "laptop")
    yield running
    stop_server(process)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Server]:
    """Another Annals with empty tables, and its own key: what a deployed one is to the commands."""
    process, running = start_server(tmp_path / "elsewhere", ROOT_KEY="elsewhere", ROOT_TENANT="cloud")
    yield Server(running.url, "elsewhere", running.data, running.pid)
    stop_server(process)


def talk(http: httpx.Client) -> list[str]:
    """Conversations of several kinds, and messages that were withdrawn; their ids."""
    names = [f"moved-{number}" for number in range(4)]
    for name in names:
        for number in range(3):
            turn = {"conversationId": name, "memorySpaceId": "demo", "userId": "ada"}
            said = {"userMessage": f"{name}: question {number}", "agentResponse": f"Answer {number}."}
            http.post("/v1/memory/remember", json={**turn, **said}).raise_for_status()
    http.post(f"/v1/conversations/{names[0]}/seal").raise_for_status()
    http.post(f"/v1/conversations/{names[1]}/preamble", json={"content": "Be brief."}).raise_for_status()
    http.post(f"/v1/conversations/{names[2]}/messages/msg-002/redact", json={"reason": "asked"}).raise_for_status()
    return names


def lines(path: Path) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in OWN} for line in said]


def heads(server: Server, names: list[str]) -> list[tuple[Any, ...]]:
    with server.client() as http:
        shown = [http.get(f"/v1/conversations/{name}").raise_for_status().json() for name in names]
    return [(each["messageCount"], each["status"], each["participants"]) for each in shown]


def test_what_is_exported_here_is_imported_there_and_verifies(
    laptop: Server, elsewhere: Server, tmp_path: Path
) -> None:
    with laptop.client() as http:
        names = talk(http)
    before, after, ledger = (tmp_path / name for name in ("before.jsonl", "after.jsonl", "ledger.jsonl"))
    annals(laptop, "export", "-o", str(before))
    assert annals(elsewhere, "import", str(before)) == "4 conversations: 24 messages imported, 0 there before\n"
    annals(elsewhere, "export", "-o", str(after))
    assert lines(after) == lines(before)
    assert heads(elsewhere, names) == heads(laptop, names)
    annals(elsewhere, "export", "--format", "ledger", "-o", str(ledger))
    verified = annals(elsewhere, "verify", str(ledger))
    assert re.findall(r"^(\S+): valid, \d+ entries, 6 messages$", verified, re.MULTILINE) == names
    assert annals(elsewhere, "import", str(before)) == "4 conversations: 0 messages imported, 24 there before\n"
