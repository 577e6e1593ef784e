"""The example, as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from annals_client.testing import Annals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/langgraph_chat.py"


def say(thread: str, *sentences: str) -> list[str]:
    """What the program answers."""
    command = [sys.executable, str(EXAMPLE), thread, *sentences]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()  # noqa: S603


def test_the_example_remembers_its_thread_and_what_it_was_told_in_others(
    annals: Annals, annals_environment: None
) -> None:
    say("monday", "I like oolong.", "And rain.")

    assert say("tuesday", "Hello.", "What do I like?") == [
        "You said before: []. I remember: ['And rain.', 'I like oolong.'].",
        "You said before: ['Hello.']. I remember: ['And rain.', 'Hello.', 'I like oolong.'].",
    ]
