"""The example, as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from annals_client.testing import Annals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/strands_trip.py"


def say(trip: str, *sentences: str) -> list[str]:
    """What the program answers."""
    command = [sys.executable, str(EXAMPLE), trip, *sentences]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()  # noqa: S603


def test_the_example_remembers_a_session_and_earlier_ones(annals: Annals, annals_environment: None) -> None:
    first, second = say("lisbon", "I am allergic to peanuts.", "And I like tea.")
    assert first.startswith("You said before: [].")
    assert second.startswith("You said before: ['I am allergic to peanuts.'].")
    annals.settle()
    (third,) = say("hanoi", "What about peanuts and other things I am allergic to?")
    assert third.startswith("You said before: [].")
    assert "I am allergic to peanuts." in third
