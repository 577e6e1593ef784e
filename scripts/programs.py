"""Programs that run beside tests and benchmarks."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def start(command: Sequence[str], log: Path, **more: Any) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, which reads nothing and writes into a log.

    Parameters
    ----------
    more : what else ``subprocess.Popen`` takes
    """
    with log.open("wb") as file:
        return subprocess.Popen(  # noqa: S603 - named by those who call
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, **more
        )
