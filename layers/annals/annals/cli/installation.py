"""What this installation has beside the package: the whole system, and the client."""

from __future__ import annotations

import sys
from pathlib import Path

import annals

PACKAGE = Path(annals.__file__).resolve().parent
HOMES = (PACKAGE / "system", PACKAGE.parents[2])
"""Where template, functions, server and client are: in a wheel, and in a checkout."""


def find_home() -> Path | None:
    """The folder of the system, or None where this package came without it."""
    return next((home for home in HOMES if (home / "template.yaml").is_file()), None)


def use_client() -> None:
    """Let ``annals_client`` be the client that came with this package, if one did, and not another version of it."""
    home = find_home()
    if home and str(home / "client") not in sys.path:
        sys.path.insert(0, str(home / "client"))
