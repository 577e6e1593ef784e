"""A development server of a benchmark's own: a free port, an empty data folder, gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.emulator import free_port
from local.template import ROOT
from scripts.dialogues import client

START_S = 60
STOP_S = 600
MINILM = Path("../shared/tools/minilm_server.py")


class DidNotStart(Exception):
    """A program that a benchmark needs did not come up; the message is its output."""


@dataclass(frozen=True)
class Served:
    """A running development server."""

    url: str
    data: Path
    started_s: float
    """How long it took until it answered."""

    def client(self) -> httpx.Client:
        """An HTTP client with every scope."""
        return client(self.url)

    @property
    def dynamodb_url(self) -> str:
        """The endpoint of its database."""
        return f"http://127.0.0.1:{json.loads((self.data / 'dynoxide.json').read_text())['port']}"

    def megabytes(self, name: str) -> float:
        """What a SQLite file of the data folder takes, its ``-wal`` included."""
        return sum(file.stat().st_size for file in self.data.glob(f"{name}.sqlite3*")) / 1e6


@contextlib.contextmanager
def served(kept: Path | None = None, **env: str) -> Iterator[Served]:
    """The development server; ``kept`` is a data folder that stays, ``env`` are settings."""
    with _data_folder(kept) as data:
        url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "local", "--port", url.rpartition(":")[2], "--data", str(data)]
        begun = time.perf_counter()
        with _running(command, f"{url}/v1/health", data / "server.log", env):
            yield Served(url, data, time.perf_counter() - begun)


@contextlib.contextmanager
def _data_folder(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="annals-bench-") as name:
            yield Path(name)
    else:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept


@contextlib.contextmanager
def minilm_served() -> Iterator[str]:
    """MiniLM behind an OpenAI-compatible endpoint: the script that MINILM_SERVER names. Gives its URL, ``…/v1``."""
    url = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="annals-bench-") as folder:
        command = [sys.executable, os.environ.get("MINILM_SERVER", str(MINILM)), "--port", url.rpartition(":")[2]]
        with _running(command, url, Path(folder) / "server.log", {}):
            yield f"{url}/v1"


@contextlib.contextmanager
def _running(command: Sequence[str], url: str, log: Path, env: dict[str, str]) -> Iterator[None]:
    """The program, once it answers at ``url``, until the block ends."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DYNAMODB_"))}
    paths = {"PYTHONPATH": f"{ROOT / 'layers/annals'}:{ROOT}"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**clean, **paths, **env}, stdout=output, stderr=output)  # noqa: S603
    try:
        _await_answer(process, url, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def _await_answer(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return
        time.sleep(0.02)
    raise DidNotStart(log.read_text())
