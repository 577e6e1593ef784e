"""A server that keeps nothing, for tests: everything in memory, on a Unix socket, until the standard input ends.

``python -m local.sandbox [NAME=VALUE…]`` prints one line of JSON when it answers, ``{"socket": …, "key": …}``. It goes
with whoever started it, however that ends. Settings of the environment are left aside, so that no test reaches what
they name.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path

from annals.settings import Settings
from local import dynoxide, environment, template, workers
from local.dynoxide import NotInstalled
from local.emulator import EmulatorFailed
from local.environment import CannotStart
from local.template import Template

OUTSIDE = ("AWS_", "POWERTOOLS_")
"""How variables begin, beside the settings, that say what a function's world is like."""


def main() -> int:
    """Serve; 0 after the end of the standard input, 1 when it could not start."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # only the address goes to standard output
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        serve(sys.argv[1:], output)
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def serve(settings: Sequence[str], output: int) -> None:
    """Serve until the standard input ends. Raises CannotStart.

    Parameters
    ----------
    settings : each as ``NAME=VALUE``
    output : the file that the server's address is written to
    """
    described = template.read()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="annals-", ignore_cleanup_errors=True)))
        _set_environment(os.environ, settings, folder, described)
        os.environ["DYNAMODB_URL"] = stack.enter_context(_database(folder))
        listener = stack.enter_context(_listen(folder / "socket"))
        workers.preload()  # takes as long as all that follows, beside it
        from local import sandbox_app

        sandbox_app.serve(described, folder, listener, lambda: _announce(output, listener))


def _set_environment(env: MutableMapping[str, str], settings: Sequence[str], folder: Path, described: Template) -> None:
    names = {name.upper() for name in vars(Settings())}
    for name in [name for name in env if name in names or name.startswith(OUTSIDE)]:
        del env[name]
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in names - {"DYNAMODB_URL"}:
            raise CannotStart(f"{setting!r} is not a setting: say NAME=VALUE, as of CHAT_URL")
        env[name] = value
    environment.set_defaults(env, folder, described)
    environment.replace_credentials(env)


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[str]:
    try:
        with dynoxide.in_memory(folder) as running:
            yield running.url
    except NotInstalled as error:
        detail = f"There is no database here: dynoxide cannot be installed ({error})."
        raise CannotStart(f"{detail} Put a dynoxide on PATH: cargo install dynoxide-rs") from error
    except EmulatorFailed as error:
        raise CannotStart(str(error)) from error


@contextlib.contextmanager
def _listen(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(str(path))
        except OSError as error:
            raise CannotStart(f"No socket can be made at {path}: {error}. Set TMPDIR to a short path.") from error
        yield listener


def _announce(output: int, listener: socket.socket) -> None:
    os.write(output, json.dumps({"socket": listener.getsockname(), "key": os.environ["ROOT_KEY"]}).encode() + b"\n")
    os.close(output)


if __name__ == "__main__":
    sys.exit(main())
