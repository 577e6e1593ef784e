"""The client's wheel, in environments that hold nothing else, of the oldest and the newest Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local.template import ROOT
from tests.e2e.servers import Server
from tests.support.distributions import build, install

EVERY_MODULE = """
import importlib, pkgutil, annals_client
for module in pkgutil.walk_packages(annals_client.__path__, "annals_client."):
    if not module.name.startswith("annals_client.integrations."):  # each needs its framework
        importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (built,) = build(ROOT / "client", tmp_path_factory.mktemp("client")).glob("*.whl")
    return built


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_the_quickstart_runs_on_the_installed_client(wheel: Path, server: Server, tmp_path: Path, version: str) -> None:
    python = install(wheel, version, tmp_path / "venv") / "python"
    env = {"ANNALS_URL": server.url, "ANNALS_KEY": server.key}
    subprocess.run([python, "-c", EVERY_MODULE], check=True, timeout=60)  # noqa: S603
    command = [python, ROOT / "examples/quickstart.py"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_wheel_says_what_an_index_of_packages_shows(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path, "zip")
    metadata = next(tmp_path.glob("*.dist-info/METADATA")).read_text()
    assert re.search("^License-File: LICENSE$", metadata, re.M)
    assert re.search("^Author", metadata, re.M)
    assert "](../" not in metadata
