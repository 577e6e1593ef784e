"""What is built of this checkout installs into an empty environment, and is the whole system there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from annals import __version__
from local.emulator import free_port
from local.template import ROOT
from tests.support.databases import require_dynoxide
from tests.support.distributions import build, install

START_TIMEOUT_S = 120
KINDS = {"wheel": "*.whl", "sdist": "*.tar.gz"}


def bare() -> dict[str, str]:
    """An environment in which nothing leads to this checkout or to anybody's account."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "ANNALS_CACHE") if name in os.environ}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of wheel and sdist."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.mark.parametrize(("version", "kind"), [("3.11", "sdist"), ("3.12", "wheel"), ("3.13", "wheel")])
def test_an_installed_system_remembers_finds_and_streams(built: Path, tmp_path: Path, version: str, kind: str) -> None:
    (package,) = built.glob(KINDS[kind])
    binaries = install(package, version, tmp_path / "venv")
    printed = subprocess.run([binaries / "annals", "--version"], env=bare(), capture_output=True, text=True, check=True)  # noqa: S603
    assert printed.stdout == f"annals {__version__}\n"
    require_dynoxide()
    url = f"http://127.0.0.1:{free_port()}"
    command = [binaries / "annals", "dev", "--port", url.rpartition(":")[2], "--data", tmp_path / "data"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=bare(), stdout=log, stderr=log)  # noqa: S603
    try:
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer local"}, timeout=30) as api:
            wait_until_up(server, api, tmp_path / "server.log")
            use(api)
            out = tmp_path / "ledger.jsonl"
            annals = binaries / "annals"
            export = [annals, "export", "--url", url, "--key", "local", "--format", "ledger", "-o", out]
            subprocess.run(export, env=bare(), check=True, timeout=60)  # noqa: S603
            subprocess.run([annals, "verify", out], env=bare(), check=True, timeout=60)  # noqa: S603
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, (tmp_path / "server.log").read_text()


USERS_TESTS = """
def test_it(annals):
    annals.memory.remember(memory_space_id="demo", user_id="ada", user_message="I like tea.", agent_response="Noted.")
    annals.settle()
    assert annals.memory.search("tea", memory_space_id="demo")
"""


def test_peoples_tests_have_the_fixtures_of_the_installed_client(built: Path, tmp_path: Path) -> None:
    (server,) = built.glob("*.whl")
    (client,) = build(ROOT / "client", tmp_path / "client").glob("*.whl")
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    with_server = install(client, "3.13", tmp_path / "both", server, "pytest")
    client_only = install(client, "3.10", tmp_path / "old", "pytest")
    path = os.environ["PATH"]
    require_dynoxide()
    assert "1 passed" in run_pytest(with_server, tmp_path, path)
    assert "Annals' server needs Python 3.11 or later, and this is 3.10" in run_pytest(client_only, tmp_path, "/bin")
    assert "1 passed" in run_pytest(client_only, tmp_path, f"{with_server}:{path}")


def run_pytest(binaries: Path, folder: Path, path: str) -> str:
    """What pytest of an environment says of the tests in a folder, with that PATH."""
    command = [binaries / "python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_users.py"]
    env = {**bare(), "PATH": path}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120).stdout  # noqa: S603


def wait_until_up(server: subprocess.Popen[bytes], api: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            assert api.get("/v1/health").json()["version"] == __version__
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def use(api: httpx.Client) -> None:
    turn: dict[str, Any] = {"memorySpaceId": "demo", "userId": "ada"}
    body = {**turn, "userMessage": "I am allergic to peanuts.", "agentResponse": "Noted."}
    assert api.post("/v1/memory/remember", json=body).status_code == 201
    deadline = time.monotonic() + 30
    question = {"memorySpaceId": "demo", "query": "peanuts"}
    while not api.post("/v1/memory/search", json=question).json()["items"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    streamed = api.post("/v1/memory/remember-stream", json={**turn, "userMessage": "What am I allergic to?"})
    assert "event: result" in streamed.text
    assert api.get("/docs").status_code == 200


def test_the_wheel_says_what_an_index_of_packages_shows(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    metadata = next(tmp_path.glob("*.dist-info/METADATA")).read_text()
    assert re.search("^License-File: LICENSE$", metadata, re.M)
    assert re.search("^License-Expression: Apache-2.0$", metadata, re.M)
    assert re.search("^Author", metadata, re.M)
    assert "](docs/" not in metadata
    assert "](../" not in metadata
    top = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.py")}
    assert top == {"annals"}
