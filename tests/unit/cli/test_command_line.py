"""The command says what it is, what it lacks, and what to do about that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annals import __version__
from annals.cli import installation
from annals.cli.main import main
from local.emulator import free_port
from local.template import ROOT


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without a setting."""
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "layers/annals"), "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "annals", *arguments]
    return subprocess.run(command, env={**bare, **env}, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"annals {__version__}\n"


@pytest.mark.parametrize("command", [["drift"], ["rebuild", "heads"], ["rebuild", "index"]])
def test_without_aws_settings_it_says_which_are_needed(command: list[str], tmp_path: Path) -> None:
    done = run(*command, EMBEDDED_INDEX=str(tmp_path / "index.sqlite3"), EMBEDDINGS_URL="offline", HOME=str(tmp_path))
    assert done.returncode == 1
    assert "AWS_REGION" in done.stderr
    assert "DYNAMODB_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["export", "-o", "-"], ["import", "{file}"]])
def test_without_a_server_it_says_so_at_once(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    url = f"http://127.0.0.1:{free_port()}"
    start = time.monotonic()
    done = run(*(part.format(file=file) for part in command), "--url", url, "--key", "local")
    assert time.monotonic() - start < 15
    assert done.returncode == 1
    assert url in done.stderr
    assert "annals dev" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_import_from_a_framework_names_what_is_missing_for_it(tmp_path: Path) -> None:
    done = run("import", str(tmp_path / "agno.db"), "--from", "agno", "--url", "http://127.0.0.1:1", "--key", "local")
    assert done.returncode == 1
    assert "pip install 'annals-client[agno]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_import_from_a_framework_refuses_options_that_the_file_answers(tmp_path: Path) -> None:
    done = run("import", "agno.db", "--from", "agno", "--user", "ada", "--url", "http://127.0.0.1:1", "--key", "local")
    assert done.returncode == 1
    assert "--from goes with" in done.stderr


def test_without_a_package_it_names_the_package(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ModuleNotFoundError(\"No module named 'httpx'\", name='httpx')")
    path = os.pathsep.join([str(tmp_path), str(ROOT / "layers/annals")])
    done = run("export", "-o", "-", "--url", "http://127.0.0.1:1", "--key", "local", PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr == "annals: this command needs the package httpx: it comes with annals-memory\n"


def test_a_package_without_a_server_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "HOMES", (tmp_path,))
    assert main(["dev"]) == 1
    assert "annals-memory" in capsys.readouterr().err
