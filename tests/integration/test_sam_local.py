"""Every function in Lambda's own surroundings: the SAM CLI runs what is built in containers, and sends the samples."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from local import ministack, tables, template
from local.emulator import Emulator, free_port
from scripts import lambda_adapter, sam_image
from scripts.events import FOLDER, TRANSCRIPT, TRANSCRIPT_KEY
from tests.fakes.lambda_runtime import PRELUDE_END
from tests.support import sam
from tests.support.relay import relaying

TEMPLATE = template.read()
LOGICAL_IDS = {
    Path(part["Properties"]["CodeUri"]).name: name
    for name, part in template.document_of(template.ROOT / "template.yaml")["Resources"].items()
    if part["Type"] == "AWS::Serverless::Function"
}
ANSWERS = {
    "a2a-send": 201,
    "append-append": 201,
    "conversations-create": 201,
    "conversations-find-session": 404,
    "conversations-get-or-create": 201,
    "conversations-get-or-create-session": 201,
    "documents-get": 404,
    "documents-put": 201,
    "erase-receipt": 404,
    "facts-create": 201,
    "facts-delete": 404,
    "facts-get": 404,
    "fallback-root": 404,
    "fallback-unknown": 404,
    "keys-create": 201,
    "keys-revoke": 404,
    "marks-preamble": 201,
    "memories-create": 201,
    "memories-delete": 204,
    "memories-delete-by-external-id": 404,
    "memories-get-by-external-id": 404,
    "memories-put-by-external-id": 201,
    "parts-get": 404,
    "parts-upload": 201,
    "remember-remember": 201,
    "remember-remember-facts": 201,
    "remember_stream-follow-message": 404,
    "remember_stream-follow-stream": 404,
    "runs-delete": 404,
    "runs-get": 404,
    "runs-put": 201,
    "spaces-get": 404,
    "spaces-put": 201,
    "users-create": 201,
    "users-delete": 404,
    "users-delete-by-external-id": 404,
    "users-get-by-external-id": 404,
    "users-put-by-external-id": 201,
    "users-patch": 404,
}
"""The status of the answer to each sample that is not 200."""
WORDS = {
    "export-export": b"lisbon",
    "export-export-many": b"lisbon",
    "export-export-memories": b"mem:lisbon:1",
    "export-export-user": b"lisbon",
    "remember_stream-follow-message": b"MESSAGE_NOT_FOUND",
    "remember_stream-follow-stream": b"STREAM_NOT_FOUND",
    "remember_stream-remember-stream": b"event: result",
}
"""What the body of the answer to each streamed sample holds."""
ADA = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
BLOBS = "annals-blobs"
PATIENCE_S = 60
LAST = ("memories-delete", "users-clear", "marks-seal", "erase-redact", "erase-erase", "erase-erase-user")
"""The samples that take away or close what the others speak of."""
EVENTS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
SAMPLES = sorted(EVENTS, key=lambda sample: (LAST.index(sample) + 1 if sample in LAST else 0, sample))
WRAPPER = """\
#!/bin/sh
exec "$LAMBDA_TASK_ROOT/$_HANDLER"
"""


def path_of(sample: str) -> Path:
    return FOLDER / f"{sample}.json"


def function_of(sample: str) -> str:
    return next(name for name in TEMPLATE.functions if sample.startswith(f"{name}-"))


STREAMED = [sample for sample in SAMPLES if function_of(sample) in TEMPLATE.streaming]
REQUESTS = [sample for sample in SAMPLES if "requestContext" in EVENTS[sample] and sample not in STREAMED]
REQUESTS.remove("authorizer-request")
OTHERS = [sample for sample in SAMPLES if "requestContext" not in EVENTS[sample]]

pytestmark = [*sam.NEEDED, pytest.mark.opensearch, pytest.mark.timeout(600)]  # the image takes a minute or more, once


@pytest.fixture(scope="module")
def engine() -> Iterator[sam_image.Engine]:
    """A Docker engine that has Lambda's image."""
    if reason := sam_image.missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(sam_image.running())
        except RuntimeError as failure:
            pytest.skip(f"There can be no engine, or no image, here: {failure}")
        yield engine


@dataclass(frozen=True)
class Local:
    """The SAM CLI's local commands, with all that they need to know."""

    engine: sam_image.Engine
    folder: Path
    aws: str

    def command(self, name: str, *arguments: str) -> list[str]:
        files = ("--template", str(self.folder / "template.json"), "--env-vars", str(self.folder / "variables.json"))
        image = ("--invoke-image", sam_image.IMAGE, "--skip-pull-image", "--layer-cache-basedir", str(self.folder))
        processor = ("--parameter-overrides", f"Architecture={sam_image.architecture()}")
        return ["local", name, *arguments, *files, *image, *processor]

    @property
    def environment(self) -> dict[str, str]:
        return sam.environment({"DOCKER_HOST": self.engine.host, "AWS_ENDPOINT_URL": self.aws})


@pytest.fixture(scope="module")
def local(engine: sam_image.Engine, opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """What is built, its databases, and the conversation that the samples speak of."""
    folder = tmp_path_factory.mktemp("sam-local")
    aws = ministack.start(folder, services="")
    try:
        make_tables_and_bucket(aws)
        search = httpx.URL(opensearch_url).port
        assert search
        with relaying(engine.gateway, aws.port) as near_aws, relaying(engine.gateway, search) as near_search:
            write_template(sam.built(tmp_path_factory.getbasetemp()), folder)
            write_variables(folder, near_aws, near_search)
            yield Local(engine, folder, aws.url)
    finally:
        aws.stop(ministack.files(folder))


def make_tables_and_bucket(aws: Emulator) -> None:
    clients = sam.clients(aws.url)
    tables.create_missing(clients("dynamodb"), {name: TEMPLATE.tables[name] for name in TEMPLATE.tables})
    s3 = clients("s3")
    for bucket in ("annals-ingest", BLOBS):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="annals-ingest", Key=TRANSCRIPT_KEY, Body=TRANSCRIPT)


def write_template(build: Path, folder: Path) -> None:
    """The built template, with the adapter's layer from this machine: Lambda's own layers are out of reach."""
    document = template.document_of(build / "template.yaml")
    resources = document["Resources"]
    for part in resources.values():
        for name in {"CodeUri", "ContentUri", "TemplateURL"} & set(part["Properties"]):
            part["Properties"][name] = str((build / part["Properties"][name]).resolve())
    layer = {"ContentUri": str(make_adapter_layer(folder)), "CompatibleRuntimes": ["python3.13"]}
    resources["AdapterLayer"] = {"Type": "AWS::Serverless::LayerVersion", "Properties": layer}
    for name in TEMPLATE.streaming:
        resources[LOGICAL_IDS[name]]["Properties"]["Layers"] = [{"Ref": "AdapterLayer"}]
    # The SAM CLI passes on only what the template has a place for.
    document["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = ""
    (folder / "template.json").write_text(json.dumps(document))


def make_adapter_layer(folder: Path) -> Path:
    layer = folder / "AdapterLayer"
    (layer / "extensions").mkdir(parents=True)
    (layer / "bootstrap").write_text(WRAPPER)
    (layer / "bootstrap").chmod(0o755)
    if not lambda_adapter.missing():
        with suppress(subprocess.CalledProcessError):
            shutil.copy(lambda_adapter.install(), layer / "extensions")
    return layer


def write_variables(folder: Path, aws: str, search: str) -> None:
    variables = {
        "AWS_ENDPOINT_URL": aws,
        "BLOBS_BUCKET": BLOBS,
        "AWS_LWA_PORT": "8081",  # the SAM CLI's stand-in for Lambda has 8080
        "CHAT_URL": "offline",
        "EMBEDDINGS_URL": "offline",
        "OPENSEARCH_INDEX": folder.name,
        "OPENSEARCH_SERVICE": "es",
        "OPENSEARCH_URL": search,
        "ROOT_KEY": "local",
        "ROOT_TENANT": "local",
    }
    (folder / "variables.json").write_text(json.dumps({"Parameters": variables}))


@contextmanager
def serving(local: Local, name: str) -> Iterator[int]:
    """One of the SAM CLI's local servers; gives its port. A function keeps the container of its first call."""
    port = free_port()
    command = local.command(name, "--port", str(port), "--warm-containers", "LAZY", "--no-watch")
    path = local.folder / f"{name}.log"
    with path.open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 - the CLI of this checkout
            [str(sam.SAM), *command], cwd=template.ROOT, env=local.environment, stdout=log, stderr=log
        )
    try:
        wait_until_it_answers(server, port, path)
        yield port
    finally:
        server.kill()  # the engine ends the containers, all at once
        server.wait()


def wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            httpx.options(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


@dataclass(frozen=True)
class Functions:
    """The functions, called as Lambda calls them."""

    port: int

    def call(self, sample: str) -> bytes:
        """What a function answers to one of its samples."""
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
        patient = Config(read_timeout=PATIENCE_S, retries={"total_max_attempts": 1})
        client = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{self.port}", config=patient, **keys)
        answer = client.invoke(FunctionName=LOGICAL_IDS[function_of(sample)], Payload=path_of(sample).read_bytes())
        payload: bytes = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        return payload


@pytest.fixture(scope="module")
def functions(local: Local) -> Iterator[Functions]:
    """The functions, of which two have made and indexed the conversation that the samples speak of."""
    with serving(local, "start-lambda") as port:
        functions = Functions(port)
        functions.call("remember-remember")
        functions.call("index-ledger")
        yield functions


def test_the_image_has_the_templates_python() -> None:
    document = template.document_of(template.ROOT / "template.yaml")
    assert document["Globals"]["Function"]["Runtime"] == f"python{sam_image.PYTHON}"


@pytest.mark.parametrize("sample", OTHERS)
def test_a_function_of_a_stream_queue_bus_or_bucket_takes_its_sample(functions: Functions, sample: str) -> None:
    answer = json.loads(functions.call(sample))
    if is_batch(EVENTS[sample]):
        assert answer == {"batchItemFailures": []}


def is_batch(event: dict[str, Any]) -> bool:
    return any("s3" not in record for record in event.get("Records", []))


def test_the_authorizer_lets_its_sample_pass(functions: Functions) -> None:
    assert json.loads(functions.call("authorizer-request"))["principalId"] == "root"


@pytest.mark.parametrize("sample", STREAMED)
def test_a_streaming_function_answers_its_sample_through_the_adapter(functions: Functions, sample: str) -> None:
    if not lambda_adapter.binary().exists():
        pytest.skip(lambda_adapter.missing() or "cargo could not build the Lambda Web Adapter.")
    prelude, body = functions.call(sample).split(PRELUDE_END)
    assert json.loads(prelude)["statusCode"] == ANSWERS.get(sample, 200), body
    assert WORDS[sample] in body


@pytest.mark.parametrize("sample", REQUESTS)
def test_a_function_of_the_api_answers_its_sample(functions: Functions, sample: str) -> None:
    answer = json.loads(functions.call(sample))
    assert answer["statusCode"] == ANSWERS.get(sample, 200), answer["body"]
    if answer["statusCode"] >= 400:
        assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]


@pytest.mark.parametrize(("sample", "status"), [("fallback-health", 200), ("keys-revoke", 404)])
def test_a_function_is_invoked_from_the_command_line(local: Local, sample: str, status: int) -> None:
    command = local.command("invoke", LOGICAL_IDS[function_of(sample)], "--event", str(path_of(sample)))
    done = subprocess.run(  # noqa: S603 - the CLI of this checkout
        [str(sam.SAM), *command], env=local.environment, capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert json.loads(done.stdout)["statusCode"] == status


@pytest.fixture(scope="module")
def api(local: Local) -> Iterator[httpx.Client]:
    """`sam local start-api`."""
    with serving(local, "start-api") as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


def test_the_local_api_answers_without_a_key_where_none_is_needed(api: httpx.Client) -> None:
    assert api.get("/v1/health").json()["status"] == "ok"
    assert (api.get("/v1/nowhere").status_code, api.put("/v1/keys").status_code) == (404, 405)


def test_the_local_api_asks_the_authorizer(api: httpx.Client) -> None:
    made = api.post("/v1/conversations", json=ADA, headers={"Authorization": "Bearer local"})
    assert made.status_code == 201, made.text
    # The SAM CLI does not know Lambda's word "Unauthorized", which API Gateway makes a 401 of.
    assert api.post("/v1/conversations", json=ADA, headers={"x-api-key": "wrong"}).status_code == 502
