"""Annals in memory, for tests: started in a moment, gone with the test run, and the same as in service.

``Sandbox`` is a process of its own, so that nothing of it is imported into the tests, no port is taken and no variable
of the environment changed. With pytest, the fixtures ``annals`` and ``async_annals`` are there without an import.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, TracebackType
from typing import IO, Any
from uuid import uuid4

from typing_extensions import Self

from annals_client import client as clients
from annals_client.calls import Call, Repeat, RequestSpec, Route, Steps, reader
from annals_client.errors import AnnalsError
from annals_client.methods import StepsMethod

SETTLE = Route.of("POST /settle")
SCOPES = ("read", "write", "erase", "admin")
START_TIMEOUT_S = 300.0
"""A start takes a second or two; the first on a machine, which fetches the database, a minute or more."""
STOP_TIMEOUT_S = 10.0
LAST_LINES = 20
OF_THE_TESTS = ("COVERAGE_", "COV_CORE_", "PYTHONDEVMODE", "PYTHONWARNINGS")
"""How variables begin that say how the tests are run, and not what they start."""


class CannotStart(RuntimeError):
    """There is no sandbox; the message says why and what to do."""


class NotSettled(AssertionError):
    """What follows from the writes is not done: it took too long, or failed."""


def _settle(_: object, timeout_s: float = 10.0) -> Steps[None]:
    """Wait until all that was written can be searched and is in lists, with what was made of it.

    Raises
    ------
    NotSettled : it takes longer, or a part of it failed
    """
    request = RequestSpec(query={"timeout_s": str(timeout_s)})
    call: Call[None] = Call.of(SETTLE, request, reader(NoneType), Repeat.NEVER)
    try:
        yield call.with_patience(timeout_s + STOP_TIMEOUT_S)
    except AnnalsError as failure:
        raise NotSettled(failure.detail) from failure


class Annals(clients.Annals):
    """A client of a sandbox."""

    settle = StepsMethod(_settle)


class AsyncAnnals(clients.AsyncAnnals):
    """A client of a sandbox, for asyncio. It may be used in any event loop, and need not be closed."""

    settle = StepsMethod(_settle)


@dataclass(frozen=True)
class Running:
    """A sandbox's process."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    socket: str = ""
    """Where it answers; empty before it does."""
    key: str = ""

    def last_words(self) -> str:
        """What it printed last."""
        written = os.fstat(self.output.fileno()).st_size
        text = os.pread(self.output.fileno(), written, 0)  # leaves alone where the process goes on to write
        return "\n".join(text.decode(errors="replace").splitlines()[-LAST_LINES:])

    def stop(self) -> None:
        """End it, and all that it started; what it kept for the time goes, too."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with one
        self.process.stdin.close()
        if self.socket:
            self.process.terminate()  # its input may have been inherited by a process that lives on
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):  # which is as it should be: nothing is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()
        if self.socket:
            shutil.rmtree(Path(self.socket).parent, ignore_errors=True)


class Sandbox:
    """An Annals in memory, from ``start()`` to ``stop()``, or for a ``with`` block.

    Parameters
    ----------
    settings : the server's, by name, such as ``{"CHAT_URL": "http://127.0.0.1:8080/v1"}``. Without any, replies and
        embeddings come from models that need no network. Those of the environment are left aside.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self._running: Running | None = None

    def start(self) -> Self:
        """Start it. Raises CannotStart."""
        if self._running is None:
            self._running = _start([f"{name}={value}" for name, value in self._settings.items()])
        return self

    def stop(self) -> None:
        """Stop it; all that is in it is forgotten."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers: a URL for ``Annals(url=…)``, or ``ANNALS_URL``."""
        return f"{clients.UNIX}{self._started.socket}"

    @property
    def log(self) -> str:
        """The last lines that it printed: warnings, and why something failed."""
        return self._started.last_words()

    @property
    def root_key(self) -> str:
        """The key that makes tenants' keys, for processes that share this sandbox."""
        return self._started.key

    def new_key(self, scopes: Sequence[Any] = SCOPES) -> str:
        """A key of a new tenant, which sees nothing of any other's."""
        with clients.Annals(self.url, self.root_key) as root:
            return root.keys.create("sandbox", scopes, tenant=f"sandbox-{uuid4().hex}").key

    def client(self, key: str | None = None) -> Annals:
        """A client with that key, or with one of a new tenant."""
        return Annals(self.url, key or self.new_key())

    def async_client(self, key: str | None = None) -> AsyncAnnals:
        """A client for asyncio, with that key, or with one of a new tenant."""
        return AsyncAnnals(self.url, key or self.new_key())

    @property
    def _started(self) -> Running:
        if self._running is None:
            raise CannotStart("The sandbox is not started: call start(), or use it in a with block.")
        return self._running


def _start(settings: Sequence[str]) -> Running:
    command, env = _command()
    output = tempfile.TemporaryFile()  # noqa: SIM115 - the process writes into it for as long as it runs
    process = subprocess.Popen(  # noqa: S603 - the program of annals-memory
        [*command, "sandbox", *settings],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        start_new_session=True,
    )
    starting = Running(process, output)
    try:
        line = _first_line(process)
        if not line:
            raise CannotStart(f"Annals' sandbox did not start. It said: {starting.last_words()}")
        return Running(process, output, **json.loads(line))
    except BaseException:
        starting.stop()
        raise


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """What it says when it answers; nothing where it ended instead. Raises CannotStart after a long time."""
    assert process.stdout is not None  # noqa: S101 - it was started with one
    with process.stdout as output, selectors.DefaultSelector() as waiting:
        waiting.register(output, selectors.EVENT_READ)
        if not waiting.select(START_TIMEOUT_S):
            raise CannotStart(f"Annals' sandbox did not start within {START_TIMEOUT_S:.0f} s.")
        return output.readline()


def _command() -> tuple[list[str], dict[str, str]]:
    """The command ``annals``, and its environment: this Python's, or else the one on PATH. Raises CannotStart."""
    if sys.platform == "win32":
        raise CannotStart("Annals' server runs on Linux and macOS, not on Windows; there, run the tests in WSL.")
    env = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_TESTS)}
    package, python_path = _package(), env.pop("PYTHONPATH", None)
    if package is not None and sys.version_info >= (3, 11):
        path = os.pathsep.join(filter(None, [str(package.parent), python_path]))
        return [sys.executable, "-P", "-m", "annals"], {**env, "PYTHONPATH": path}
    on_path = shutil.which("annals")
    if on_path:
        return [on_path], env
    if sys.version_info < (3, 11):
        here = ".".join(map(str, sys.version_info[:2]))
        detail = f"Annals' server needs Python 3.11 or later, and this is {here}."
        raise CannotStart(f"{detail} Install it apart, so that `annals` is on PATH: uv tool install annals-memory")
    raise CannotStart("Annals' server is not installed: pip install 'annals-client[testing]', or annals-memory.")


def _package() -> Path | None:
    """The folder of the server's package in this Python, which is not imported."""
    spec = find_spec("annals")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder if folder and (folder / "cli" / "serving.py").is_file() else None
