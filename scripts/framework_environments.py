"""The environments in which the adapters to agents' frameworks are tested: one a framework, since their pins conflict.

Each is a file of ``requirements/integrations``, and a folder of ``tests/frameworks`` with its tests. A file
``environment.toml`` there says what is not as usual:

``adapters``  modules of ``annals_client.integrations`` that are tested in it; without, the one of the same name
``python``    the oldest Python that the framework runs on, such as "3.12"
``suites``    the framework's own tests: ``sdist`` (name==version) that holds them, its ``sha256``, pytest's
              arguments ``args``, and how many tests of it pass (``passes``)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.template import ROOT

REQUIREMENTS = ROOT / "requirements/integrations"
OF_ALL = "tests"
"""What every environment has beside its framework."""
TESTS = ROOT / "tests/frameworks"
ADAPTERS = ROOT / "client/annals_client/integrations"
CACHE = Path(os.environ.get("ANNALS_CACHE", "~/.cache/annals")).expanduser() / "suites"
VENV = Path(sys.prefix)
UV = VENV / "bin/uv"
PREPARE_TIMEOUT_S = 1200
PINNED = re.compile(r"(?m)^([\w.-]+)(?:\[.*?\])?==([^\s;]+)")


class NotPrepared(RuntimeError):
    """An environment, or a suite, could not be installed; the message is what the installer said."""


@dataclass(frozen=True)
class Suite:
    """Tests of a framework's own, which its sdist holds.

    ``args`` are pytest's; ``passes`` is how many tests of it pass: neither fewer nor, unnoticed, more.
    """

    sdist: str
    sha256: str
    args: tuple[str, ...]
    passes: int

    @staticmethod
    def of(values: Mapping[str, Any]) -> Suite:
        """The suite that a table of ``environment.toml`` describes."""
        return Suite(values["sdist"], values["sha256"], tuple(values["args"]), values["passes"])

    @property
    def folder(self) -> Path:
        """Where it is, once it is fetched."""
        return CACHE / self.sdist.replace("==", "-")


@dataclass(frozen=True)
class Environment:
    """What the adapters to one framework are tested in."""

    name: str
    adapters: tuple[str, ...]
    needs_python: tuple[int, ...] = ()
    suites: tuple[Suite, ...] = ()

    @staticmethod
    def of(name: str) -> Environment:
        """The environment of that name, as its files describe it."""
        file = TESTS / name / "environment.toml"
        values = tomllib.loads(file.read_text()) if file.exists() else {}
        return Environment(
            name,
            tuple(values.get("adapters", [name])),
            tuple(map(int, values.get("python", "3").split("."))),
            tuple(map(Suite.of, values.get("suites", []))),
        )

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return VENV / "integrations" / self.name

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin/python"

    @property
    def tests(self) -> Path:
        """The folder of its tests."""
        return TESTS / self.name

    @property
    def input(self) -> Path:
        """What it is to hold."""
        return REQUIREMENTS / f"{self.name}.in"

    @property
    def pins(self) -> Path:
        """What it holds, each package with its version."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def versions(self) -> str:
        """The packages that it is for, as they are pinned."""
        return ", ".join(" ".join(pin) for pin in PINNED.findall(self.input.read_text()))

    @property
    def import_path(self) -> str:
        """PYTHONPATH for its tests: the client, the examples, what all of these tests share, and its own modules."""
        return os.pathsep.join(map(str, (ROOT / "client", ROOT, TESTS / "support", self.tests)))

    @property
    def lacks(self) -> str | None:
        """What this machine lacks for it; None if it has all."""
        if sys.version_info < self.needs_python:
            return f"needs Python {'.'.join(map(str, self.needs_python))}"
        return None

    def adapter_files(self) -> list[Path]:
        """The modules of its adapters."""
        found = [path for name in self.adapters for path in _modules(name)]
        return sorted(found)


def _modules(adapter: str) -> Iterable[Path]:
    package = ADAPTERS / adapter
    return package.rglob("*.py") if package.is_dir() else [package.with_suffix(".py")]


def environments() -> list[Environment]:
    """All of them, by their names."""
    names = (path.stem for path in sorted(REQUIREMENTS.glob("*.in")) if path.stem != OF_ALL)
    return [Environment.of(name) for name in names]


def pin(environment: Environment) -> None:
    """Write down the versions of all that it holds. Raises NotPrepared."""
    options = ["--quiet", "--no-header", "--no-annotate", "--universal", "--python-version", "3.11"]
    if environment.needs_python > (3, 11):
        options[-1] = ".".join(map(str, environment.needs_python))
    inputs = [environment.input, REQUIREMENTS / f"{OF_ALL}.in", ROOT / "client/pyproject.toml"]
    _run([UV, "pip", "compile", *options, *inputs, "-o", environment.pins])


def prepare(environment: Environment) -> None:
    """Install it, unless what it is to hold is there already, and fetch its suites. Raises NotPrepared."""
    ready = environment.folder / ".ready"
    wanted = environment.pins.read_text()
    if not ready.exists() or ready.read_text() != wanted:
        _run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, environment.folder])
        _run([UV, "pip", "sync", "--quiet", "--python", environment.python, environment.pins])
        ready.write_text(wanted)
    for suite in environment.suites:
        fetch(suite)


def fetch(suite: Suite) -> None:
    """Unpack its sdist into the cache, where it is not yet; it is there whole or not at all. Raises NotPrepared."""
    if suite.folder.is_dir():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as temporary:
        wanted = Path(temporary, "suite.txt")
        wanted.write_text(f"{suite.sdist} --hash=sha256:{suite.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        _run([*pip, "--require-hashes", "--requirement", wanted, "--dest", temporary])
        (archive,) = Path(temporary).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(Path(temporary, "unpacked"), filter="data")
        (unpacked,) = Path(temporary, "unpacked").iterdir()
        shutil.rmtree(suite.folder, ignore_errors=True)
        unpacked.rename(suite.folder)


def _run(command: Sequence[str | Path]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - installers, named above
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PREPARE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as failure:
        raise NotPrepared(f"{command[0]} took longer than {PREPARE_TIMEOUT_S} s") from failure
    if done.returncode:
        raise NotPrepared((done.stdout + done.stderr).strip())
