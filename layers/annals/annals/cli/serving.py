"""``annals dev``: the development server, of this installation or of the checkout that this package stands in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import annals
from annals.cli.files import CommandFailed

PACKAGE = Path(annals.__file__).resolve().parent
PLACES = (PACKAGE / "system", PACKAGE.parents[2])
"""Where template, functions and server stand: in a wheel, and in a checkout."""


def run(*, port: int, data: Path, workers: int, events: bool) -> int:
    """Become the development server. Raises CommandFailed where this package came without it."""
    home = next((place for place in PLACES if (place / "template.yaml").is_file()), None)
    if home is None:
        raise CommandFailed("this installation has no server: install annals-memory, or call it from a checkout")
    command = [sys.executable, "-m", "local", "--port", str(port), "--data", str(data), "--workers", str(workers)]
    paths = [str(home), str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    os.execve(sys.executable, [*command, *(["--events"] if events else [])], env)  # noqa: S606
