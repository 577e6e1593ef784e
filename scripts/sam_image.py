"""A Docker engine of its own and Lambda's base image on this machine, for the tests that run functions by `sam local`.

``python -m scripts.sam_image`` makes the image once, from Debian's packages, into a cache outside the checkout
(``ANNALS_CACHE`` names another place), and prints where it is. ``--serve`` also runs the engine until Ctrl-C and says
how the SAM CLI finds it. It needs root on Linux, and Debian's docker.io, debootstrap and iproute2.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts import programs

PYTHON = "3.13"
SUITE = "trixie"  # the Debian whose python3 is that one
IMAGE = f"annals/lambda-python:{PYTHON}"
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "lambda.txt"
START_S = 30
STOP_S = 30

BOOTSTRAP = """\
#!/bin/sh
export PYTHONPATH=/var/task:/opt/python:/var/runtime
exec $AWS_LAMBDA_EXEC_WRAPPER python3 -m awslambdaric "$_HANDLER"
"""
VARIABLES = ("LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime", "LANG=C.UTF-8", "TZ=:/etc/localtime")
ENTRYPOINT = "#!/bin/sh\nexec /var/runtime/bootstrap\n"
NOT_NEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


@dataclass(frozen=True)
class Engine:
    """A running engine that has the image.

    ``host`` is what DOCKER_HOST is for its clients, ``gateway`` this machine's address as its containers see it.
    """

    host: str
    gateway: str


def missing() -> str:
    """What this machine lacks to run the engine and to have the image, in a sentence; empty if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "A Docker engine of its own runs on Linux as root only."
    if platform.machine() not in ARCHITECTURES:
        return f"There is no Lambda for the processor {platform.machine()}."
    needed = ["dockerd", "docker", "ip", *([] if archive().exists() else ["debootstrap", "apt-get"])]
    lacking = [program for program in needed if shutil.which(program) is None]
    return f"A Docker engine of its own and Lambda's image need {', '.join(lacking)}." if lacking else ""


def architecture() -> str:
    """This machine's processor, in the template's words."""
    return ARCHITECTURES[platform.machine()]


def archive() -> Path:
    """The image's file, whether it is there or not; other pins make another one."""
    pins = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return Path(os.environ.get("ANNALS_CACHE", "~/.cache/annals")).expanduser() / f"lambda-python-{PYTHON}-{pins}.tar"


def install() -> Path:
    """Make the image's file if that has not been done; it is complete or not there. Raises RuntimeError."""
    file = archive()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix="installing-") as name:
            root = Path(name) / "root"
            _run("debootstrap", "--variant=minbase", "--include=python3,python-is-python3", SUITE, str(root), _mirror())
            _add_runtime(root)
            _run("tar", "--create", "--directory", str(root), "--file", f"{name}/image.tar", ".")
            (Path(name) / "image.tar").rename(file)
    return file


def _mirror() -> str:
    """The mirror of Debian that this machine's apt uses."""
    filters = ("Created-By: Packages", "Label: Debian", "Component: main")
    sites = _run("apt-get", "indextargets", "--format", "$(SITE)", *filters).split()
    if not sites:
        raise RuntimeError("apt-get knows no mirror of Debian here.")
    return sites[0]


def _add_runtime(root: Path) -> None:
    """Lambda's folders, the packages that come with its Python, and the two programs that start a function."""
    machine = platform.machine()
    wheels = ("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}")
    platforms = (f"--platform=manylinux2014_{machine}", f"--platform=manylinux_2_28_{machine}")
    runtime = root / "var" / "runtime"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--root-user-action=ignore")
    _run(*pip, *wheels, *platforms, f"--target={runtime}", f"--requirement={REQUIREMENTS}")
    _run("chroot", str(root), "python3", "-m", "compileall", "-q", "/var/runtime")
    (root / "var" / "task").mkdir()
    for path, text in ((runtime / "bootstrap", BOOTSTRAP), (root / "lambda-entrypoint.sh", ENTRYPOINT)):
        path.write_text(text)
        path.chmod(0o755)
    for folder in NOT_NEEDED:
        shutil.rmtree(root / folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Engine]:
    """An engine with a network, data and socket of its own, which has the image; gone afterwards.

    Raises RuntimeError where this machine does not let it start.
    """
    file = install()
    with tempfile.TemporaryDirectory(prefix="annals-docker-", ignore_cleanup_errors=True) as name, _bridge() as bridge:
        folder = Path(name)
        engine = Engine(f"unix://{folder}/docker.sock", bridge.gateway)
        process = _start(folder, engine, bridge)
        try:
            _await_ready(process, engine, folder)
            changes = [f"--change=ENV {variable}" for variable in VARIABLES]
            _docker(engine, "import", *changes, str(file), IMAGE)
            yield engine
        finally:
            _stop(process, folder)


@dataclass(frozen=True)
class _Bridge:
    name: str
    gateway: str


@contextmanager
def _bridge() -> Iterator[_Bridge]:
    """A network between this machine and the containers. 198.18.0.0/15 is set aside for tests and routed nowhere."""
    number = os.getpid() % 256
    bridge = _Bridge(f"annals{number}", f"198.18.{number}.1")
    _run("ip", "link", "add", bridge.name, "type", "bridge")
    try:
        _run("ip", "address", "add", f"{bridge.gateway}/24", "dev", bridge.name)
        _run("ip", "link", "set", bridge.name, "up")
        yield bridge
    finally:
        _run("ip", "link", "delete", bridge.name)


def _start(folder: Path, engine: Engine, bridge: _Bridge) -> subprocess.Popen[bytes]:
    """Start the engine in a process group of its own; it leaves the machine's packet filter alone."""
    files = (f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid")
    network = (f"--bridge={bridge.name}", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
    return programs.start(["dockerd", f"--host={engine.host}", *files, *network], folder / "dockerd.log")


def _await_ready(process: subprocess.Popen[bytes], engine: Engine, folder: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            _docker(engine, "version")
        except RuntimeError:
            time.sleep(0.1)
        else:
            return
    tail = (folder / "dockerd.log").read_text(errors="replace")[-1000:]
    raise RuntimeError(f"dockerd ended, or was not ready within {START_S} s: {tail}")


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the engine, which ends its containers, and let go of the mount that it leaves behind."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for mount in (folder / "exec" / "netns").glob("*"):
        _run("umount", str(mount))


def _docker(engine: Engine, *arguments: str) -> str:
    return _run("docker", "--host", engine.host, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-1000:]}")
    return done.stdout


def main() -> None:
    """Make the image and, if asked to, run the engine until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help="run the engine, too, until Ctrl-C")
    serve = parser.parse_args().serve
    if reason := missing():
        sys.exit(reason)
    try:
        print(install())
        if serve:
            _serve()
    except RuntimeError as failure:
        sys.exit(str(failure))


def _serve() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running() as engine:
        options = f"--invoke-image {IMAGE} --skip-pull-image --parameter-overrides Architecture={architecture()}"
        print(f"DOCKER_HOST={engine.host} sam local invoke … {options}", flush=True)
        print(f"This machine is {engine.gateway} to the functions (Ctrl-C stops the engine)", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping")


if __name__ == "__main__":
    main()
