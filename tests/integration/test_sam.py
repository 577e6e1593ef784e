"""The template builds, and what it builds runs: deployed to an emulator of AWS, it appends, reads and projects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from local import emulator, template

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SAM = BIN.parent / "sam" / "bin" / "sam"
PATIENCE_S = 60

pytestmark = [
    pytest.mark.sam,
    pytest.mark.skipif(not SAM.exists(), reason="the SAM CLI is not installed: run `make setup`"),
]


def sam(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run the SAM CLI and return what it says."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # A python3 that has pip comes first: the SAM CLI's own environment has none.
    plain |= {"PATH": f"{BIN}:{plain['PATH']}", "SAM_CLI_TELEMETRY": "0", **emulator.CREDENTIALS}
    done = subprocess.run(  # noqa: S603 - the CLI of this checkout
        [str(SAM), *arguments], cwd=ROOT, env={**plain, **(env or {})}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    sam("build", "--no-cached", "--build-dir", str(folder))
    return folder


@dataclass(frozen=True)
class Stack:
    """A deployed stack: its API's address, its root key, and where its AWS is."""

    url: str
    key: str
    endpoint: str

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"x-api-key": self.key if key is None else key}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def stack(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    add_this_interpreters_modules(build)
    folder = tmp_path_factory.mktemp("aws")
    running = emulator.start(folder, services="")
    try:
        yield deploy(build, running.url)
    finally:
        running.stop(folder)


def add_this_interpreters_modules(build: Path) -> None:
    """The emulator runs functions with the interpreter of the tests, which need not be the Lambda runtime's."""
    found = find_spec("pydantic_core._pydantic_core")
    assert found is not None
    assert found.origin is not None
    shutil.copy(found.origin, build / "DependenciesLayer/python/pydantic_core")


def deploy(build: Path, endpoint: str) -> Stack:
    index = ("OpenSearchUrl=https://127.0.0.1:1", "OpenSearchArn=arn:aws:es:us-east-1:000000000000:domain/annals")
    overrides = (*index, "EmbeddingsUrl=offline", "ChatUrl=offline", "RootTenant=acme")
    arguments = ("--stack-name", "annals", "--no-confirm-changeset", "--parameter-overrides", *overrides)
    files = ("--template-file", str(build / "template.yaml"), "--config-file", str(ROOT / "samconfig.toml"))
    sam("deploy", *files, *arguments, env={"AWS_ENDPOINT_URL": endpoint})
    client = session(endpoint)
    described = client("cloudformation").describe_stacks(StackName="annals")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    secret = outputs["RootKeyCommand"].split("--secret-id ")[1].split()[0]
    key = client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    api_id, stage = outputs["ApiUrl"].removeprefix("https://").split(".")[0], outputs["ApiUrl"].rsplit("/", 1)[1]
    return Stack(f"{endpoint}/_aws/execute-api/{api_id}/{stage}", key, endpoint)


def session(endpoint: str) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return lambda service: boto3.client(service, endpoint_url=endpoint, **keys)


def test_the_template_is_valid_and_lints() -> None:
    assert "valid SAM Template" in sam("validate", "--lint")


def test_the_layers_run_on_either_processor(build: Path) -> None:
    dependencies = build / "DependenciesLayer/python"
    compiled = {path.name.split(".", 1)[1] for path in dependencies.rglob("*.cpython-313-*.so")}
    assert compiled == {"cpython-313-x86_64-linux-gnu.so", "cpython-313-aarch64-linux-gnu.so"}
    for package in ("pydantic", "aws_lambda_powertools", "httpx", "uvicorn", "starlette", "opensearchpy"):
        assert (dependencies / package / "__init__.py").exists()


def test_the_annals_layer_is_the_package_and_nothing_else(build: Path) -> None:
    layer = build / "AnnalsLayer/python"
    packed = {path.relative_to(layer) for path in layer.rglob("*") if path.is_file()}
    package = ROOT / "layers/annals"
    assert packed == {path.relative_to(package) for path in package.rglob("annals/**/*") if is_source(path)}


def is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_layers_fit_into_lambda(build: Path) -> None:
    layers = {
        layer.name: sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())
        for layer in build.glob("*Layer*")
    }
    assert layers.keys() == {"AnnalsLayer", "DependenciesLayer", "TokensLayerArm", "TokensLayerX86"}
    assert max(layers.values()) < 50_000_000


@pytest.mark.parametrize(("layer", "machine"), [("TokensLayerArm", 183), ("TokensLayerX86", 62)])
def test_what_verifies_tokens_is_built_for_its_processor(build: Path, layer: str, machine: int) -> None:
    compiled = list((build / layer / "python").rglob("*.so"))
    assert compiled
    assert {int.from_bytes(path.read_bytes()[18:20], "little") for path in compiled} == {machine}
    assert (build / layer / "python/jwt/__init__.py").exists()


def test_health_needs_no_key(stack: Stack) -> None:
    answer = stack.call("GET", "/v1/health", key="")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_a_valid_key_nothing_is_told(stack: Stack, key: str) -> None:
    assert stack.call("GET", "/v1/conversations", key=key).status_code == 401


def test_what_is_appended_is_read_and_verified_and_reaches_the_lists_by_the_stream(stack: Stack) -> None:
    participants = {"userId": "ada", "memorySpaceId": "demo"}
    made = stack.call("POST", "/v1/conversations", {"type": "user-agent", "participants": participants})
    assert made.status_code == 201, made.text
    path = f"/v1/conversations/{made.json()['conversationId']}"
    appended = stack.call("POST", f"{path}/messages", {"role": "user", "content": "Guten Tag, ümläut"})
    assert appended.status_code == 201, appended.text
    assert [message["content"] for message in messages(stack, path)] == ["Guten Tag, ümläut"]
    assert stack.call("GET", f"{path}/verify").json()["valid"] is True
    wait_until(lambda: listed_counts(stack) == [1])


def messages(stack: Stack, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = stack.call("GET", f"{path}/messages").json()["items"]
    return items


def listed_counts(stack: Stack) -> list[int]:
    return [item["messageCount"] for item in stack.call("GET", "/v1/conversations").json()["items"]]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_deployed_streams_have_the_templates_readers(stack: Stack) -> None:
    mappings = session(stack.endpoint)("lambda").list_event_source_mappings()["EventSourceMappings"]
    streams = [mapping for mapping in mappings if ":dynamodb:" in mapping["EventSourceArn"]]
    assert len(streams) == len(template.read().mappings)
    assert all(mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for mapping in mappings)
