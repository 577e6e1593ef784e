"""The README's commands, run as they are written there; only the server's address is another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import ROOT, Server, start_server, stop_server

WRITTEN_URL = "http://127.0.0.1:8000"
PATIENCE_S = 20
COMMANDS = [
    block
    for block in re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    if WRITTEN_URL in block
]


def command(part: str) -> str:
    """The README's one command that contains ``part``."""
    [found] = [each for each in COMMANDS if part in each]
    return found


def run(server: Server, part: str) -> str:
    """What the command prints."""
    done = subprocess.run(  # noqa: S603 - the README's own command
        ["/bin/bash", "-euc", command(part).replace(WRITTEN_URL, server.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ,
    )
    return done.stdout


def answer(server: Server, part: str) -> Any:
    """The JSON that the command prints."""
    return json.loads(run(server, part))


def events(stream: str) -> list[tuple[str, Any]]:
    """The names and data of server-sent events."""
    frames = [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in stream.strip().split("\n\n")]
    return [(frame["event"], json.loads(frame["data"])) for frame in frames if "event" in frame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of this module's servers."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def remembered(folder: Path) -> Iterator[tuple[Server, Any]]:
    """A new server to which the README's turn was sent, and the answer."""
    process, running = start_server(folder)
    yield running, answer(running, "memory/remember ")
    stop_server(process)


def test_the_readme_shows_the_main_job() -> None:
    parts = ["memory/remember ", "/messages?", "memory/search", "curl -N", "/verify"]
    assert [command(part) for part in parts] == COMMANDS


def test_remember_stores_both_messages(remembered: tuple[Server, Any]) -> None:
    _, stored = remembered
    assert stored["conversation"] == {
        "conversationId": "lisbon",
        "messageIds": ["msg-001", "msg-002"],
        "messageCount": 2,
    }


def test_remember_sent_again_stores_nothing(remembered: tuple[Server, Any]) -> None:
    server, stored = remembered
    assert answer(server, "memory/remember ") == stored
    assert answer(server, "/messages?")["total"] == 2


def test_history_shows_what_was_said(remembered: tuple[Server, Any]) -> None:
    server, _ = remembered
    said = [(message["role"], message["content"]) for message in answer(server, "/messages?")["items"]]
    assert said == [
        ("user", "I am allergic to peanuts, and I fly to Lisbon on 3 May."),
        ("assistant", "Noted: no peanuts, and Lisbon on 3 May."),
    ]


def test_search_finds_the_message_and_says_where_it_is(remembered: tuple[Server, Any]) -> None:
    server, _ = remembered
    deadline = time.monotonic() + PATIENCE_S
    while not (hits := answer(server, "memory/search")["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert hits[0]["memoryId"] == "mem:lisbon:1"
    assert hits[0]["conversationRef"] == {"conversationId": "lisbon", "messageIds": ["msg-001"]}
    assert "**allergic**" in hits[0]["snippet"]


def test_a_streamed_reply_recalls_the_other_conversation(remembered: tuple[Server, Any]) -> None:
    server, _ = remembered
    test_search_finds_the_message_and_says_where_it_is(remembered)
    names, data = zip(*events(run(server, "curl -N")), strict=True)
    assert (names[:3], names[-1]) == (("start", "context", "delta"), "result")
    assert "mem:lisbon:1" in data[1]["memoryIds"]
    result = data[-1]
    assert result["conversation"]["conversationId"] == data[0]["conversationId"]
    assert result["fullResponse"] == "".join(
        each["text"] for name, each in zip(names, data, strict=True) if name == "delta"
    )
    assert "peanuts" in result["fullResponse"]


def test_the_chain_verifies(remembered: tuple[Server, Any]) -> None:
    server, _ = remembered
    verified = answer(server, "/verify")
    assert (verified["valid"], verified["messageCount"]) == (True, 2)


def test_a_restart_keeps_what_was_said(tmp_path: Path) -> None:
    process, server = start_server(tmp_path)
    answer(server, "memory/remember ")
    said, verified = answer(server, "/messages?"), answer(server, "/verify")
    assert stop_server(process) == 0
    process, server = start_server(tmp_path)
    try:
        assert answer(server, "/messages?") == said
        assert answer(server, "/verify") == verified
        assert answer(server, "memory/search")["items"][0]["memoryId"] == "mem:lisbon:1"
    finally:
        stop_server(process)
