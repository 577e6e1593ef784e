"""The Lambda Web Adapter on this machine, for the tests that stream through it.

``python -m scripts.lambda_adapter`` builds it once with cargo, into a cache outside the checkout (``ANNALS_CACHE``
names another place), and prints where it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "0.9.1"


def home() -> Path:
    """Where the adapter is, or will be, installed."""
    return Path(os.environ.get("ANNALS_CACHE", "~/.cache/annals")).expanduser() / f"lambda-adapter-{VERSION}"


def binary() -> Path:
    """The adapter's program, whether it is there or not."""
    return home() / "bin" / "lambda-adapter"


def missing() -> str:
    """Why the adapter can be neither found nor built here, in a sentence; empty if it can."""
    if binary().exists() or shutil.which("cargo"):
        return ""
    return f"The Lambda Web Adapter {VERSION} is not in {home()}, and there is no cargo to build it."


def install() -> Path:
    """Build the adapter if that has not been done; its program. Raises CalledProcessError."""
    if not binary().exists():
        command = ["cargo", "install", "lambda_web_adapter", "--version", VERSION, "--locked", "--root", str(home())]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - named above
    return binary()


def main() -> int:
    """Install; 1 where it cannot be done."""
    if reason := missing():
        sys.stderr.write(f"{reason}\n")
        return 1
    sys.stdout.write(f"{install()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
