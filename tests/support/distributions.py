"""Distributions as users get them: built of this checkout, installed into environments that hold nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UV = Path(sys.executable).with_name("uv")


def build(project: Path, folder: Path) -> Path:
    """Build wheel and sdist of a project into a folder, and return that."""
    if not UV.exists():
        pytest.skip("there is no uv in this environment: run `make setup`")
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, project], check=True, timeout=300)  # noqa: S603
    return folder


def install(package: Path, version: str, folder: Path, *more: str | Path) -> Path:
    """Install a package, and more, into a new environment of a Python, and return the folder of its programs."""
    subprocess.run([UV, "venv", "--quiet", "--python", _interpreter(version), folder], check=True, timeout=60)  # noqa: S603
    command = [UV, "pip", "install", "--quiet", "--python", folder / "bin/python", package, *more]
    subprocess.run(command, check=True, timeout=300)  # noqa: S603
    return folder / "bin"


def _interpreter(version: str) -> str:
    candidates = [
        shutil.which(f"python{version}"),
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    for each in filter(None, candidates):
        printed = subprocess.run([each, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        if printed.returncode == 0:
            return each
    pytest.skip(f"there is no Python {version} here")
