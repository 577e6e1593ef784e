"""The program of the documentation runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/google_adk_agent.py"


@pytest.mark.usefixtures("annals_environment")
def test_the_example_remembers_the_user_in_another_session() -> None:
    said = ["I like green tea.", "What tea do I like?"]
    run = subprocess.run([sys.executable, EXAMPLE, *said], capture_output=True, text=True, timeout=120)  # noqa: S603
    assert run.returncode == 0, run.stderr
    first, answer, second, last, count = run.stdout.splitlines()
    assert [first, answer, second] == [f"user: {said[0]}", "guide: We have not met.", f"user: {said[1]}"]
    assert "I like green tea." in last
    assert count == "sessions: 2"
