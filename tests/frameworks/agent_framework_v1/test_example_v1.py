"""The program of the documentation runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/agent_framework_v1_threads.py"


@pytest.mark.usefixtures("annals_environment")
def test_the_example_goes_on_with_a_thread_that_was_written_down() -> None:
    said = ["I am Ada.", "Who am I?"]
    run = subprocess.run([sys.executable, EXAMPLE, *said], capture_output=True, text=True, timeout=120)  # noqa: S603
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "assistant: So far: I am Ada. / So far: nothing"
