"""MiniStack, an emulator of many of AWS' services. Its state is in memory, and written to disk at a clean stop only."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local import emulator
from local.emulator import CREDENTIALS, Emulator, Files, free_port

TABLES = "dynamodb,dynamodbstreams"
QUEUES = "sqs"


def is_installed() -> bool:
    """Whether it can be started."""
    return importlib.util.find_spec("ministack") is not None


def start(folder: Path, services: str = TABLES) -> Emulator:
    """The MiniStack of a data folder, answering. Parameters as of ``launch``; raises EmulatorFailed."""
    started = launch(folder, services)
    started.wait(files(folder))
    return started


def launch(folder: Path, services: str = TABLES) -> Emulator:
    """The MiniStack of a data folder: the one that a killed server left behind, or a new one, which needs a moment.

    Parameters
    ----------
    folder : where its state and log are kept
    services : the AWS services that it offers; empty for all that it has
    """
    if running := emulator.find_running(files(folder)):
        return running
    port = free_port()
    env = _environment(os.environ, port, state_folder(folder), services)
    command = [sys.executable, "-m", "ministack"]
    return emulator.launch("MiniStack", command, port, env=env, files=files(folder))


def files(folder: Path) -> Files:
    """Its note and its log."""
    return Files.of(folder, "ministack")


def state_folder(folder: Path) -> Path:
    """The folder of its state, written at a clean stop."""
    return folder.resolve() / "ministack"


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
