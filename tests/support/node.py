"""Packages of npm's that tests run: installed once on a machine, beside what else the tests keep between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_S = 300


def node() -> str:
    """Node's program; the test is skipped where there is none."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node on PATH")
    return program


def packages(*specs: str) -> Path:
    """A folder in which packages are installed, such as ``ai@7.0.173``; the test is skipped where npm cannot."""
    cache = Path(os.environ.get("ANNALS_CACHE", "~/.cache/annals")).expanduser()
    folder = cache / "npm" / "+".join(spec.replace("/", "_") for spec in specs)
    if (folder / "node_modules").is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm on PATH")
    new = folder.with_name(f"{folder.name}.{os.getpid()}")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(new), *specs]
    new.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)  # noqa: S603
    if done.returncode:
        pytest.skip(f"npm cannot install {', '.join(specs)}: {done.stderr.strip()[-300:]}")
    new.rename(folder)
    return folder
