"""dynoxide, the DynamoDB of a machine without AWS: one program on one SQLite file, which a crash does not harm.

The program comes from its npm package, whose bytes are pinned here: by the npm that is on PATH, or else by one that a
wheel brings. A ``dynoxide`` that is on PATH, or that cargo installed, serves as well.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import emulator
from local.emulator import Emulator, EmulatorFailed, Files, free_port

log = logging.getLogger("annals")

VERSION = "1.2.1"
INTEGRITY = {
    "linux-x64": "sBHqlxJ9ANkLluFkYRfd5r8Y0ApFew4FhOrlhgRAgD4XzEoFOukEo1nuBTQ1+jTtofqwn4NWQ2k0Tn5mNTjgUg==",
}
"""SHA-512 of the packages, by platform. Of others npm compares what it got with what the registry says."""

PLATFORMS = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-arm64",
}
NPM_WHEEL = Path(__file__).with_name("npm.txt")
INSTALL_TIMEOUT_S = 300
LISTENING = b"listening on"
PORTS_TRIED = 5


class NotInstalled(Exception):
    """dynoxide is not here and cannot be installed; the message says why."""


def launch(program: Path, folder: Path) -> Emulator:
    """The dynoxide of a data folder: the one that a killed server left behind, or a new one, which needs a moment."""
    return emulator.find_running(files(folder)) or launch_at(free_port(), program, folder)


def launch_at(port: int, program: Path, folder: Path) -> Emulator:
    """A new dynoxide for a data folder, which needs a moment."""
    command = [
        str(program),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--db-path",
        str(database_file(folder).resolve()),
    ]
    name = f"dynoxide {program_version(program)}"
    return emulator.launch(name, command, port, env=os.environ, files=files(folder))


def start(folder: Path) -> Emulator:
    """The dynoxide of a data folder, answering. Raises NotInstalled, EmulatorFailed."""
    started = launch(find_or_install(), folder)
    started.wait(files(folder))
    return started


@contextmanager
def in_memory(folder: Path) -> Iterator[Emulator]:
    """A dynoxide that keeps nothing, answering until the block ends. Raises NotInstalled, EmulatorFailed.

    Parameters
    ----------
    folder : where its log goes
    """
    program = find_or_install()
    running = next(filter(None, (_try_in_memory(program, folder) for _ in range(PORTS_TRIED))), None)
    if running is None:
        raise EmulatorFailed(f"dynoxide did not start; it said: {files(folder).log.read_text().strip()}")
    try:
        yield running
    finally:
        running.stop(files(folder))


def _try_in_memory(program: Path, folder: Path) -> Emulator | None:
    """It, once it has its port; None where it ended, as where another program was quicker to take the port."""
    port = free_port()
    command = [str(program), "--host", "127.0.0.1", "--port", str(port)]
    running = emulator.launch("dynoxide", command, port, env=os.environ, files=files(folder), outlives=False)
    deadline = time.monotonic() + emulator.START_TIMEOUT_S
    while running.is_alive() and time.monotonic() < deadline:
        if LISTENING in files(folder).log.read_bytes():
            return running
        time.sleep(0.005)
    running.stop(files(folder))
    return None


def files(folder: Path) -> Files:
    """Its note and its log."""
    return Files.of(folder, "dynoxide")


def database_file(folder: Path) -> Path:
    """Its data: a SQLite database."""
    return folder / "annals.sqlite3"


def program_version(program: Path) -> str:
    """The version that the program prints, such as ``1.2.1``. Raises NotInstalled where it cannot be run."""
    try:
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise NotInstalled(f"{program} does not run: {error}") from error
    version = re.search(r"\d+\.\d+\.\d+", printed.stdout)
    if version is None:
        raise NotInstalled(f"{program} prints no version: {printed.stdout!r}")
    return version[0]


def find_or_install() -> Path:
    """The program; installed into the cache (``ANNALS_CACHE``) where it is missing. Raises NotInstalled."""
    return find() or install()


def find() -> Path | None:
    """The program that is here already: on PATH, cargo's, or the one in the cache."""
    on_path = shutil.which("dynoxide")
    if on_path:
        return Path(on_path)
    cargo = Path(os.environ.get("CARGO_HOME", "~/.cargo")).expanduser() / "bin" / "dynoxide"
    return next((each for each in (cargo, _cached()) if os.access(each, os.X_OK)), None)


def install() -> Path:
    """Install the program into the cache; it is there whole or not at all. Raises NotInstalled."""
    name = PLATFORMS.get((platform.system(), platform.machine()))
    if name is None:
        raise NotInstalled(f"there is no package for {platform.system()} on {platform.machine()}")
    target = _cached()
    log.info("Installing dynoxide %s into %s, once.", VERSION, target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="installing-") as folder:
            unpacked = _unpacked(_packed(name, Path(folder)), Path(folder))
            program_version(unpacked)
            unpacked.replace(target)
    except (OSError, KeyError, subprocess.SubprocessError, tarfile.TarError) as error:
        raise NotInstalled(_reason(error)) from error
    return target


def _cached() -> Path:
    cache = Path(os.environ.get("ANNALS_CACHE", "~/.cache/annals")).expanduser()
    return cache / f"dynoxide-{VERSION}" / "dynoxide"


def _packed(name: str, folder: Path) -> Path:
    """The package's archive, as npm brings it, compared with its pin."""
    with _npm() as npm:
        subprocess.run(  # noqa: S603
            [npm, "pack", "--silent", "--pack-destination", folder, f"@dynoxide/{name}@{VERSION}"],
            env={**os.environ, "PATH": f"{npm.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    (archive,) = folder.glob("*.tgz")
    expected = INTEGRITY.get(name)
    if expected is not None and base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != expected:
        raise NotInstalled(f"the package @dynoxide/{name} {VERSION} is not the one that is pinned")
    return archive


def _unpacked(archive: Path, folder: Path) -> Path:
    program = folder / "dynoxide"
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/dynoxide")
        if member is None:
            raise NotInstalled(f"there is no program in {archive.name}")
        program.write_bytes(member.read())
    program.chmod(0o755)
    return program


@contextmanager
def _npm() -> Iterator[Path]:
    """npm: the one on PATH, or one that is installed from a wheel for as long as it is needed."""
    on_path = shutil.which("npm")
    if on_path:
        yield Path(on_path)
        return
    with tempfile.TemporaryDirectory(prefix="annals-npm-") as folder:
        log.info("There is no npm here: one is fetched for the moment, which takes a minute.")
        venv.create(folder, with_pip=True)
        binaries = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        pip = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(  # noqa: S603
            [*pip, "--require-hashes", "-r", str(NPM_WHEEL)],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        yield binaries / "npm"


def _reason(error: Exception) -> str:
    """What went wrong, in the failed command's own last words where there are any."""
    words = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return words[-1] if words else type(error).__name__
