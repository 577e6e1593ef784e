"""The SAM CLI of this checkout, what it builds of the template, and AWS for both: an emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.emulator import CREDENTIALS
from local.template import ROOT

BIN = Path(sys.executable).parent
SAM = BIN.parent / "sam" / "bin" / "sam"

NEEDED = [
    pytest.mark.sam,
    pytest.mark.skipif(not SAM.exists(), reason="the SAM CLI is not installed: run `make setup`"),
]
"""The marks of a module that runs it."""


def sam(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run the SAM CLI and return what it says."""
    done = subprocess.run(  # noqa: S603 - the CLI of this checkout
        [str(SAM), *arguments], cwd=ROOT, env=environment(env), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The CLI's environment: no account of this machine's, and a python3 that has pip, as the CLI's own has none."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**plain, "PATH": f"{BIN}:{plain['PATH']}", "SAM_CLI_TELEMETRY": "0", **CREDENTIALS, **(more or {})}


def built(folder: Path) -> Path:
    """What `sam build` makes of the template, in a folder of that one; built once."""
    build = folder / "sam-build"
    if not build.exists():
        sam("build", "--no-cached", "--build-dir", str(build))
    return build


def clients(endpoint: str) -> Callable[[str], Any]:
    """Makes clients of the emulator's services, by name."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return lambda service: boto3.client(service, endpoint_url=endpoint, **keys)
