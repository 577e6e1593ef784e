"""``annals dev`` and ``annals sandbox``: the servers of this installation or checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from annals.cli.files import CommandFailed
from annals.cli.installation import PACKAGE, find_home


def run(*, port: int, data: Path, workers: int, events: bool) -> int:
    """Become the development server. Raises CommandFailed where this package came without it."""
    options = ["--port", str(port), "--data", str(data), "--workers", str(workers)]
    _become("local", [*options, *(["--events"] if events else [])])


def run_sandbox(settings: Iterable[str]) -> int:
    """Become a server that keeps nothing. Raises CommandFailed where this package came without it.

    Parameters
    ----------
    settings : each as ``NAME=VALUE``
    """
    _become("local.sandbox", [*settings])


def _become(module: str, options: Sequence[str]) -> NoReturn:
    home = find_home()
    if home is None:
        raise CommandFailed("this installation has no server: install annals-memory, or call it from a checkout")
    # -P: whatever is in the current folder is not the server's.
    command = [sys.executable, "-P", "-m", module, *options]
    paths = [str(home), str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})  # noqa: S606
