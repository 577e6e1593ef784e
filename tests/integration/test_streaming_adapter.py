"""remember-stream as Lambda runs it: ``run.sh`` behind the real Lambda Web Adapter, Lambda itself a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import events
from local.emulator import free_port
from scripts import lambda_adapter
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.lambda_runtime import PRELUDE_END, Invocation, LambdaRuntime
from tests.fakes.servers import serving
from tests.support.api import Api
from tests.support.stack import TEMPLATE
from tests.support.streaming import draft_items

ROOT = Path(__file__).parents[2]
FUNCTION = ROOT / "functions/remember_stream"
PATH = "/v1/memory/remember-stream"
START_S = 30
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "stream",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_LOG_GROUP_NAME": "stream",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
}

pytestmark = pytest.mark.timeout(900)  # building the adapter takes minutes, once


@pytest.fixture(scope="module")
def adapter() -> Path:
    """The adapter's program."""
    if reason := lambda_adapter.missing():
        pytest.skip(reason)
    try:
        return lambda_adapter.install()
    except subprocess.CalledProcessError as failure:
        pytest.skip(f"cargo cannot build the Lambda Web Adapter: {failure.stderr[-300:]}")


@pytest.fixture(scope="module")
def runtime(adapter: Path, streaming_port: int) -> Iterator[LambdaRuntime]:
    """An execution environment: the app that run.sh starts, the adapter, and the APIs that it talks to."""
    port = free_port()
    with serving(LambdaRuntime()) as server:
        env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'layers/annals'}",
            "AWS_LAMBDA_RUNTIME_API": server.url.removeprefix("http://"),
            "AWS_LWA_PORT": str(port),
            **ENVIRONMENT,
            **_variables(),
        }
        programs = [[str(FUNCTION / "run.sh")], [str(adapter)]]
        running = [subprocess.Popen(program, cwd=FUNCTION, env=env) for program in programs]  # noqa: S603
        try:
            _wait_until_ready(port, running)
            yield server
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()


def _variables() -> dict[str, str]:
    """The adapter's own variables, as the template says them."""
    template = (ROOT / "template.yaml").read_text().splitlines()
    named = (line.strip().split(": ", 1) for line in template if "AWS_LWA_" in line or "AWS_LAMBDA_HTTP_" in line)
    return {name: value.strip('"') for name, value in named if name != "AWS_LWA_PORT"}


def _wait_until_ready(port: int, running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert all(process.poll() is None for process in running)
        assert time.monotonic() < deadline, "run.sh did not start the app"
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


@dataclass
class Answer:
    """A streamed answer: what its prelude says, and its body as it came, chunk by chunk, with the times."""

    prelude: dict[str, Any]
    chunks: list[tuple[float, str]]

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.chunks)


def read(invocation: Invocation) -> Answer:
    (_, prelude), (_, separator), *body = invocation.answer()
    assert separator == PRELUDE_END
    return Answer(json.loads(prelude), [(at, chunk.decode()) for at, chunk in body])


Invoke = Callable[..., Invocation]


@pytest.fixture
def invoke(runtime: LambdaRuntime, api: Api) -> Invoke:
    """Hands the function an event of API Gateway's, for the test's own tenant."""

    def hand(method: str = "POST", path: str = PATH, headers: dict[str, str] | None = None, **more: Any) -> Invocation:
        turn = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": "Where?", "model": "slow"}
        body = json.dumps({**turn, **more}).encode() if method == "POST" else b""
        named = {"Content-Type": "application/json", "Host": "x", **(headers or {})}
        request = events.Request(method, path, "", tuple(named.items()), body, "127.0.0.1")
        found = events.match(TEMPLATE.routes, method, path)
        assert found
        event = events.proxy_event(request, found, api.caller.to_authorizer())
        return runtime.invoke(event)

    return hand


def names(answer: Answer) -> list[str]:
    return [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]


def stream_id(answer: Answer) -> str:
    return json.loads(answer.text.splitlines()[1].removeprefix("data: "))["streamId"]


def test_deltas_leave_one_by_one_as_the_model_says_them(invoke: Invoke, chat: ChatServer):
    answer = read(invoke())
    assert answer.prelude["statusCode"] == 200
    assert answer.prelude["headers"]["content-type"].startswith("text/event-stream")
    assert names(answer) == ["start", "context", *["delta"] * 9, "result"]
    at = [when for when, text in answer.chunks if "event: delta" in text]
    assert len(at) == 9
    assert at[-1] - at[0] > 8 * 0.03


def test_the_invocation_ends_after_the_turn_is_stored(invoke: Invoke, api: Api):
    answer = read(invoke())
    assert names(answer)[-1] == "result"
    assert "Z" in {item["sk"]["S"] for item in draft_items(api.caller.tenant, stream_id(answer))}
    payload = api.get("/v1/conversations/c/messages").json["items"]
    assert [message["content"] for message in payload] == ["Where?", REPLY]


def test_what_is_wrong_is_refused_with_its_status(invoke: Invoke):
    answer = read(invoke(userMessage=" "))
    assert answer.prelude["statusCode"] == 422
    assert json.loads(answer.text)["code"] == "MISSING_REQUIRED_FIELD"


def test_a_stream_can_be_followed(invoke: Invoke):
    answer = read(invoke("GET", f"{PATH}/{stream_id(read(invoke()))}", {"Last-Event-ID": "8"}))
    assert answer.prelude["statusCode"] == 200
    assert names(answer) == ["delta", "result"]


def test_an_answer_whose_connection_breaks_leaves_a_whole_turn_all_the_same(
    invoke: Invoke, runtime: LambdaRuntime, api: Api
):
    read(invoke())
    event = runtime.invocations[-1].event
    broken = runtime.invoke({**event, "body": event["body"].replace("Where?", "And now?")}, breaks_after=4)
    assert len(list(broken.answer())) == 5
    deadline = time.monotonic() + 10
    while len(payload := api.get("/v1/conversations/c/messages").json["items"]) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [message["content"] for message in payload[2:]] == ["And now?", REPLY]
