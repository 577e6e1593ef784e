"""The functions' execution environments: processes that each work on one event at a time, as on Lambda.

Powertools keeps a request's state in class attributes, so one process cannot serve two requests at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from local import template
from local.pool import STOP_S, Pool
from local.wakeup import Wakeup, listen, ring_at, ring_on_writes

Event = dict[str, Any]


@dataclass(frozen=True)
class FunctionFailed:
    """What Lambda reports of a handler that raised: its message, and the trace for the log."""

    message: str
    trace: str


@dataclass(frozen=True)
class Context:
    """The Lambda context of one invocation."""

    function_name: str
    memory_limit_in_mb: int = 512
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_group_name: str = "local"
    log_stream_name: str = "local"

    @property
    def invoked_function_arn(self) -> str:
        """An ARN such as functions see."""
        return f"arn:aws:lambda:us-east-1:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """The time that a function may still take; here it is not cut."""
        return 29_000


class Workers:
    """Worker processes that have loaded all functions.

    They are forked from a server that loads the functions once and runs nothing: a worker is there in milliseconds.

    Parameters
    ----------
    size : how many events are worked on at once
    written : rung after each of their writes to the database
    niceness : how much they give way to others, 0 to 19
    """

    def __init__(self, size: int, written: Wakeup | None = None, niceness: int = 0) -> None:
        preload()
        context = multiprocessing.get_context("forkserver")
        receiver, bell = context.Pipe(duplex=False)
        listen(receiver, written or Wakeup())
        self._pool = Pool(context, size, _start_worker, (bell, niceness))

    def submit(self, function: str, event: Event) -> Future[Any]:
        """Hand an event to a function.

        The future holds its answer or FunctionFailed, or raises BrokenProcessPool when its worker died.
        """
        return self.run(invoke, function, event, place=function)

    def run(self, work: Callable[..., Any], *arguments: Any, place: str) -> Future[Any]:
        """Have a worker call something that raises nothing; as Pool.submit."""
        return self._pool.submit(work, *arguments, place=place)

    def stop(self, patience_s: float = STOP_S) -> None:
        """End the workers, after what they are working on; as Pool.stop."""
        self._pool.stop(patience_s)


def preload() -> None:
    """Begin to load the functions, in the server that workers are forked from; it keeps the environment of now."""
    multiprocessing.set_forkserver_preload(["local.preloaded"])
    multiprocessing.forkserver.ensure_running()


def load(name: str, folder: Path) -> ModuleType:
    """The module ``app`` of a function's folder, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"annals_function_{name}", folder / "app.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder / 'app.py'} is not a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _function(name: str) -> ModuleType:
    return load(name, template.read().functions[name])


def load_all() -> None:
    """Load the functions that work on one event at a time."""
    for name in template.read().buffered:
        with contextlib.suppress(Exception):  # it is raised, and logged, when the function is called
            _function(name)


def _start_worker(bell: Connection, niceness: int) -> None:
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ring_on_writes(ring_at(bell))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def invoke(name: str, event: Event) -> Any:
    """A function's answer to an event, or FunctionFailed."""
    try:
        return _function(name).handler(event, Context(name))
    except Exception as error:  # noqa: BLE001 - the boundary of the runtime: every error becomes an answer
        return FunctionFailed(str(error), traceback.format_exc())
