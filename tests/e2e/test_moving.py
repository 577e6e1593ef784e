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

from annals_client import Annals
from local.template import ROOT
from tests.e2e.servers import Server, start_server, stop_server
from tests.support.blobs import image

OWN = {"updatedAt", "headHash"}
"""What of a conversation's line is each ledger's own."""


def annals(server: Server, *arguments: str) -> str:
    """What a command prints, run as the docs say: with ANNALS_URL and ANNALS_KEY."""
    done = run(server, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a command."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "layers/annals"), "ANNALS_URL": server.url, "ANNALS_KEY": server.key}
    command = [sys.executable, "-m", "annals", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)  # noqa: S603


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
    report = json.loads(annals(elsewhere, "import", "--json", str(before)))
    assert (report["conversations"]["imported"], report["messages"]) == (4, {"imported": 24, "skipped": 0})
    annals(elsewhere, "export", "-o", str(after))
    assert lines(after) == lines(before)
    assert heads(elsewhere, names) == heads(laptop, names)
    annals(elsewhere, "export", "--format", "ledger", "-o", str(ledger))
    verified = annals(elsewhere, "verify", str(ledger))
    assert re.findall(r"^(\S+): valid, \d+ entries, 6 messages$", verified, re.MULTILINE) == names
    report = json.loads(annals(elsewhere, "import", "--json", str(before)))
    assert (report["conversations"]["skipped"], report["messages"]) == (4, {"imported": 0, "skipped": 24})


def without_urls(line: Any) -> Any:
    """A line of an export without the fields of references that tell where their parts are."""
    if isinstance(line, dict):
        return {name: without_urls(value) for name, value in line.items() if name != "url"}
    return [without_urls(value) for value in line] if isinstance(line, list) else line


def test_large_parts_are_exported_here_checked_offline_and_imported_there(
    laptop: Server, elsewhere: Server, tmp_path: Path
) -> None:
    data, text = image(900_000)
    messages = [
        {"role": "user", "content": "Look", "parts": [{"image_url": {"url": f"data:image/png;base64,{text}"}}]},
        {"role": "tool", "content": "zebra " * 80_000},
        {"role": "user", "content": "The same", "parts": [{"image_url": {"url": f"data:image/png;base64,{text}"}}]},
    ]
    with laptop.client() as http:
        place = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
        http.post("/v1/conversations", json={"conversationId": "large", **place}).raise_for_status()
        for message in messages:
            http.post("/v1/conversations/large/messages", json=message).raise_for_status()
    before, ledger, after = (tmp_path / name for name in ("before.jsonl", "ledger.jsonl", "after.jsonl"))
    parts, others = tmp_path / "parts", tmp_path / "others"

    annals(laptop, "export", "-o", str(before), "--parts", str(parts))
    assert sorted(path.stat().st_size for path in parts.iterdir()) == [len(messages[1]["content"]), len(data)]
    annals(laptop, "export", "--format", "ledger", "-o", str(ledger), "--parts", str(others))
    assert {path.name for path in others.iterdir()} == {path.name for path in parts.iterdir()}
    assert "large: valid, 4 entries, 3 messages, 3 parts\n" in annals(
        laptop, "verify", str(ledger), "--parts", str(parts)
    )

    imported = annals(elsewhere, "import", str(before), "--parts", str(parts))
    assert [int(line.split()[-1]) for line in imported.splitlines()[1:3]] == [3, 0]
    assert annals(elsewhere, "import", str(before)).splitlines()[1:3] == [
        "imported                       0           0",
        "there before                   1           3",
    ]
    annals(elsewhere, "export", "-o", str(after))
    assert [without_urls(line) for line in lines(after)] == [without_urls(line) for line in lines(before)]
    with Annals(elsewhere.url, elsewhere.key) as client:
        assert client.messages.get("large", "msg-001", parts=True).parts == messages[0]["parts"]
        assert client.messages.get("large", "msg-002", parts=True).content == messages[1]["content"]
        assert client.conversations.verify("large", parts=True).parts.checked == 3


def test_a_part_that_is_missing_or_damaged_is_named(laptop: Server, tmp_path: Path) -> None:
    data, text = image(900_000)
    with Annals(laptop.url, laptop.key) as client:
        client.conversations.create(conversation_id="large", user_id="ada", memory_space_id="demo")
        client.messages.append("large", role="user", content="Look", parts=[text])
    ledger, before, parts = tmp_path / "ledger.jsonl", tmp_path / "before.jsonl", tmp_path / "parts"
    annals(laptop, "export", "--format", "ledger", "-o", str(ledger), "--parts", str(parts))
    annals(laptop, "export", "-o", str(before))
    (part,) = parts.iterdir()
    part.write_bytes(data[:-1])
    for _ in range(2):
        done = run(laptop, "verify", str(ledger), "--parts", str(parts))
        assert (done.returncode, done.stdout) == (
            1,
            f"large: NOT VALID at seq 1: its part {part.name} is not what was appended\n",
        )
        done = run(laptop, "import", str(before), "--parts", str(parts))
        assert (done.returncode, part.name in done.stderr) == (1, True)
        part.unlink(missing_ok=True)
    refused = run(laptop, "export", "-o", "-", "--parts", str(parts))
    assert (refused.returncode, "--parts goes with a file" in refused.stderr) == (1, True)
