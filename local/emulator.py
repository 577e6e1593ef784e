"""MiniStack, the DynamoDB of a machine without AWS: started, adopted, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
TABLES_ONLY = "dynamodb,dynamodbstreams"
TABLES_AND_QUEUES = f"{TABLES_ONLY},sqs"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class EmulatorFailed(Exception):
    """MiniStack did not start."""


@dataclass(frozen=True)
class Emulator:
    """A running MiniStack. It writes its state to disk when it ends by SIGTERM, and only then."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """The endpoint of all its services."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it is up."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_ministack/health")
            return b'"dynamodb"' in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()

    def wait(self, folder: Path) -> None:
        """Wait until it answers. Raises EmulatorFailed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if not _is_alive(self.pid) or time.monotonic() > deadline:
                raise EmulatorFailed(f"MiniStack did not start; see {folder / 'ministack.log'}.")
            time.sleep(0.05)

    def stop(self, folder: Path) -> None:
        """Ask it to end and wait until it has written its state."""
        if _is_alive(self.pid):
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _is_alive(self.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        _note(folder).unlink(missing_ok=True)


def start(folder: Path, services: str = TABLES_ONLY) -> Emulator:
    """The MiniStack of this data folder, answering. Parameters as of ``launch``; raises EmulatorFailed."""
    emulator = launch(folder, services)
    emulator.wait(folder)
    return emulator


def launch(folder: Path, services: str = TABLES_ONLY) -> Emulator:
    """The MiniStack of this data folder: the one that a killed server left behind, or a new one, which needs a moment.

    Parameters
    ----------
    folder : where its state and log are kept
    services : the AWS services that it offers; empty for all that it has
    """
    return _left_behind(folder) or _launch(folder, services)


def _left_behind(folder: Path) -> Emulator | None:
    try:
        emulator = Emulator(**json.loads(_note(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return emulator if _is_alive(emulator.pid) and emulator.answers() else None


def _launch(folder: Path, services: str) -> Emulator:
    port = free_port()
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(os.environ, port, folder.resolve() / "ministack", services),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    emulator = Emulator(process.pid, port)
    _note(folder).write_text(json.dumps(asdict(emulator)))
    return emulator


def _environment(env: Mapping[str, str], port: int, state: Path, services: str) -> dict[str, str]:
    return {
        **{name: value for name, value in env.items() if not name.startswith("AWS_")},
        **CREDENTIALS,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state),
        "SERVICES": services,
        "LOG_LEVEL": "WARNING",
    }


def _is_alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            return True
    except ChildProcessError:  # adopted: not a child of ours
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return False


def _note(folder: Path) -> Path:
    return folder / "ministack.json"


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
