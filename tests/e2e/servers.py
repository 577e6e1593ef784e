"""The development server as a real program, started and stopped by the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.emulator import free_port

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60


@dataclass(frozen=True)
class Server:
    """A running development server: where it answers, with which key, where its data are, which process it is."""

    url: str
    key: str
    data: Path
    pid: int

    def client(self, key: str | None = None) -> httpx.Client:
        """An HTTP client with the root key, or another one; an empty one sends none."""
        chosen = self.key if key is None else key
        headers = {"Authorization": f"Bearer {chosen}"} if chosen else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


def start_server(data: Path, *options: str, **env: str) -> tuple[subprocess.Popen[str], Server]:
    """Start the server; its output goes to ``server.log`` in the data folder."""
    port = free_port()
    data.mkdir(parents=True, exist_ok=True)
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENSEARCH_", "DYNAMODB_"))
    }
    with (data / "server.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - the server of this checkout
            [sys.executable, "-m", "local", "--port", str(port), "--data", str(data), *options],
            cwd=ROOT,
            env={**plain, "PYTHONPATH": f"{ROOT / 'layers/annals'}:{ROOT}", **env},
            stdout=log,
            stderr=log,
            text=True,
        )
    server = Server(f"http://127.0.0.1:{port}", "local", data, process.pid)
    wait_until_up(process, server)
    return process, server


def wait_until_up(process: subprocess.Popen[str], server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, (server.data / "server.log").read_text()
        try:
            httpx.get(f"{server.url}/v1/health", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail((server.data / "server.log").read_text())


def stop_server(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """Send the signal and return the exit code."""
    process.send_signal(number)
    return process.wait(STOP_TIMEOUT_S)
