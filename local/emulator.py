"""Emulators of AWS' services as programs of their own: started, adopted after a crash of the server, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class EmulatorFailed(Exception):
    """An emulator did not start; the message names its log."""


@dataclass(frozen=True)
class Files:
    """An emulator's files in a data folder: ``note`` holds where it runs, ``log`` what it prints."""

    note: Path
    log: Path

    @staticmethod
    def of(folder: Path, name: str) -> Files:
        """The files of an emulator of this name."""
        return Files(folder / f"{name}.json", folder / f"{name}.log")


@dataclass(frozen=True)
class Emulator:
    """A running emulator.

    Parameters
    ----------
    pid, port : its process, and where it answers on 127.0.0.1
    program : what it is, such as ``dynoxide 1.2.1``
    """

    pid: int
    port: int
    program: str = "MiniStack"

    @property
    def url(self) -> str:
        """The endpoint of all its services."""
        return f"http://127.0.0.1:{self.port}"

    def is_alive(self) -> bool:
        """Whether its process is there."""
        try:
            if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                return True
        except ChildProcessError:  # adopted: not a child of ours
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return False
            return True
        return False

    def answers(self) -> bool:
        """Whether it speaks HTTP."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return True

    def wait(self, files: Files) -> None:
        """Wait until it answers. Raises EmulatorFailed, which names the log."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if not self.is_alive() or time.monotonic() > deadline:
                raise EmulatorFailed(f"{self.program} did not start; see {files.log}.")
            time.sleep(0.02)

    def stop(self, files: Files) -> None:
        """Ask it to end, wait until it has, and delete its note."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        files.note.unlink(missing_ok=True)


def find_running(files: Files) -> Emulator | None:
    """The emulator that a killed server left running, by its note."""
    try:
        emulator = Emulator(**json.loads(files.note.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return emulator if emulator.is_alive() and emulator.answers() else None


def launch(
    program: str,
    command: Sequence[str],
    port: int,
    *,
    env: Mapping[str, str],
    files: Files,
    outlives: bool = True,
) -> Emulator:
    """Start an emulator.

    Parameters
    ----------
    program : its name in the note
    command : its arguments, the program's path first
    outlives : whether it has a session of its own, and so outlives a server that is killed
    """
    with files.log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a program of this project's choice
            command, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=outlives
        )
    started = Emulator(process.pid, port, program)
    files.note.write_text(json.dumps(asdict(started)))
    return started


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
