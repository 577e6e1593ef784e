"""The examples and the client's README, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.servers import ROOT, Server
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.servers import serving

README = (ROOT / "client/README.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _run(server: Server, *command: str, asked: str = "", fails: bool = False, **env: str) -> str:
    done = subprocess.run(  # noqa: S603 - this repository's own examples
        [sys.executable, *command],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "client"),
            "ANNALS_URL": server.url,
            "ANNALS_KEY": server.key,
            **env,
        },
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert bool(done.returncode) == fails, done.stderr
    return done.stdout + done.stderr


def _example(name: str) -> str:
    return str(ROOT / "examples" / name)


def test_quickstart_reads_finds_and_verifies_what_it_stored(server: Server) -> None:
    said = _run(server, _example("quickstart.py"))
    assert "1. user: I am allergic to peanuts" in said
    assert "2. assistant: Noted: no peanuts" in said
    assert "found in ['msg-001']" in said
    assert "**allergic**" in said
    assert "the chain is whole" in said


def test_the_chat_keeps_to_one_conversation(server: Server) -> None:
    said = _run(server, _example("chat_loop.py"), asked="I like tea.\nWhat do I like?\n\n")
    ends = re.findall(r"\(message (\d+) of (conv-\w+)\)", said)
    assert [count for count, _ in ends] == ["2", "4"]
    assert len({name for _, name in ends}) == 1
    assert "2 messages)" in said


@pytest.mark.parametrize(("model", "fails"), [("words", False), ("break", True)])
def test_ones_own_model_is_kept_to_its_end_or_as_far_as_it_came(server: Server, model: str, fails: bool) -> None:
    with serving(ChatServer()) as chat:
        said = _run(
            server,
            _example("bring_your_own_model.py"),
            "Who was Ada?",
            fails=fails,
            OPENAI_BASE_URL=f"{chat.url}/v1",
            OPENAI_API_KEY="k",
            OPENAI_MODEL=model,
        )
    assert ("kept, marked incomplete" if fails else f"{REPLY}\nkept as msg-002") in said


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_readme_shows_runs(server: Server, block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block)
    with serving(ChatServer()) as chat:
        _run(server, str(script), OPENAI_BASE_URL=f"{chat.url}/v1", OPENAI_API_KEY="k", HOME=str(tmp_path))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_in_the_readme(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 60
    assert f"examples/{example.name}" in README


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("agents.py", ["thread: ['What is the budget?']", "My card is [card].", "in use: ['Ada writes", "valid: True"]),
        ("context.py", ["assistant: A fine city.", "['I am allergic to peanuts.']", "window: 4 of 4", "recalled: ["]),
        ("conversations.py", ["listed: [True]", "counted: 1", "found: ['How much", "exported: True", "deleted: 1"]),
        ("streaming.py", ["Noted: no peanuts.", "['msg-001', 'msg-002'] ['Ada is allergic to peanuts.']"]),
    ],
)
def test_what_people_had_elsewhere_runs_here(server: Server, example: str, expected: list[str]) -> None:
    said = _run(server, _example(f"from_cortex/{example}"))
    for each in expected:
        assert each in said
