"""Logs hold no word of what was said: every trigger is worked on, well and badly, and all that is written is read."""

from __future__ import annotations

import copy
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from starlette.testclient import TestClient

from annals import logs
from annals.access.caller import Caller
from annals.database.dynamodb import client
from annals.errors import ConfigurationError
from annals.memory import adapters
from annals.memory.models import Remember
from annals.memory.remember import remember
from annals.memory.summarizers import get_summarizer
from local.template import ROOT
from local.workers import Context
from scripts.events import CALLER, samples
from tests.conftest import Setting
from tests.support import stack

WORD = "tulipomania"
SPOKEN_FIELDS = {
    "agentResponse", "content", "fact", "memory", "name", "object", "predicate", "query", "reason", "subject", "text",
    "topic", "userMessage",
}  # fmt: skip
"""The fields of the samples that hold what people say."""

SAMPLES = {name: event for name, event in samples() if not name.startswith("fallback-")}
ROUTED = [name for name, event in SAMPLES.items() if "requestContext" in event and "body" in event]
BODIED = [name for name in ROUTED if SAMPLES[name]["body"]]

ACCESS_DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not allowed: PutItem"}}, "PutItem")

Written = Callable[[], str]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tables, an index and models for the functions."""
    with stack.on_moto(), pytest.MonkeyPatch.context() as patch:
        for name, value in {"EMBEDDINGS_URL": "offline", "CHAT_URL": "offline", "ROOT_KEY": "local"}.items():
            patch.setenv(name, value)
        patch.setenv("EMBEDDED_INDEX", str(tmp_path_factory.mktemp("index") / "index.sqlite3"))
        stack.forget()
        yield
    for port in (adapters.index, adapters.embedder, adapters.chat, get_summarizer):
        port.cache_clear()


@pytest.fixture
def caller(functions: None, tenant: str, setting: Setting, tmp_path: Path) -> Caller:
    """Who sends the samples; the conversation that they speak of is this tenant's."""
    setting("BLOBS_FOLDER", str(tmp_path / "blobs"))
    caller = replace(Caller.from_authorizer(CALLER), tenant=tenant)
    messages = {"userMessage": f"I love {WORD}.", "agentResponse": f"So do I: {WORD}."}
    turn = {"memorySpaceId": "demo", "conversationId": "lisbon", "userId": "ada", **messages}
    remember(caller, Remember.model_validate(turn))
    return caller


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """All that was logged, at the lowest level, and written to the standard streams."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: stream.getvalue() + "".join(capfd.readouterr())
    root.removeHandler(handler)
    root.setLevel(before)


def marked(value: Any) -> Any:
    """The same, with the word in everything that is said."""
    if isinstance(value, list):
        return [marked(each) for each in value]
    if isinstance(value, dict):
        return {
            name: f"{inner} {WORD}" if name in SPOKEN_FIELDS and isinstance(inner, str) else marked(inner)
            for name, inner in value.items()
        }
    return value


def send(caller: Caller, name: str, change: Callable[[str], str]) -> int:
    """Hand a sample to its function, its body changed and the word among its headers; the status of the answer."""
    event = copy.deepcopy(SAMPLES[name])
    event["body"] = event["body"] and change(event["body"])
    event["requestContext"]["authorizer"] |= caller.to_authorizer()
    for header in ("Authorization", "X-Api-Key", "Idempotency-Key"):
        event["headers"][header] = f"Bearer {WORD}"
        event["multiValueHeaders"][header] = [f"Bearer {WORD}"]
    function = next(each for each in stack.TEMPLATE.functions if name.startswith(f"{each}-"))
    if function not in stack.TEMPLATE.streaming:
        return int(stack.function(function).handler(event, Context(function))["statusCode"])
    with TestClient(stack.function(function).app, raise_server_exceptions=False) as app:
        headers = {**event["headers"], "x-amzn-request-context": json.dumps(event["requestContext"])}
        return app.request(event["httpMethod"], event["path"], content=event["body"], headers=headers).status_code


def with_word(body: str) -> str:
    return json.dumps(marked(json.loads(body)))


@pytest.mark.parametrize("name", ROUTED)
def test_what_is_taken_is_not_logged(caller: Caller, name: str, written: Written) -> None:
    assert send(caller, name, with_word) < 500
    assert WORD not in written()


@pytest.mark.parametrize("name", BODIED)
def test_what_is_refused_is_not_logged(caller: Caller, name: str, written: Written) -> None:
    for wrong in (
        lambda body: body[:-1] + f', "{WORD}": "{WORD}"}}',
        lambda body: body[:-1] + WORD,
        lambda body: json.dumps({name: [WORD] for name in json.loads(body)}),
        lambda body: json.dumps([WORD]),
    ):
        assert send(caller, name, wrong) < 500
    assert WORD not in written()


@pytest.fixture
def quoting_database(caller: Caller) -> Iterator[None]:
    """A database that breaks, and quotes in its error what it was sent."""

    def break_off(request: Any, **_: Any) -> None:
        raise RuntimeError(f"cannot store {WORD}: {request.body!r}") from ValueError(WORD)

    client().meta.events.register("before-send.dynamodb", break_off)
    yield
    client().meta.events.unregister("before-send.dynamodb", break_off)


@pytest.mark.usefixtures("quoting_database")
@pytest.mark.parametrize("name", BODIED)
def test_of_what_fails_the_place_is_logged_and_not_the_words(caller: Caller, name: str, written: Written) -> None:
    status = send(caller, name, with_word)
    log = written()
    assert WORD not in log
    if status == 500:
        assert "RuntimeError" in log
        assert "break_off" in log


@pytest.mark.usefixtures("quoting_database")
@pytest.mark.parametrize("name", [name for name, event in SAMPLES.items() if "dynamodb" in str(event.get("Records"))])
def test_of_a_stream_record_that_fails_the_place_is_logged_and_not_the_words(name: str, written: Written) -> None:
    function = next(each for each in stack.TEMPLATE.functions if name.startswith(f"{each}-"))
    answer = stack.function(function).handler(SAMPLES[name], Context(function))
    log = written()
    assert answer["batchItemFailures"]
    assert "RuntimeError" in log
    assert WORD not in log


def test_an_error_s_name_and_code_and_causes_are_told() -> None:
    class Refused(Exception):
        code = "ENTRY_TOO_LARGE"

    stream = io.StringIO()
    logger, handler = logging.getLogger("a library"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        try:
            raise KeyError(WORD)
        except KeyError as missing:
            raise Refused(WORD) from missing
    except Refused:
        logger.exception("failed")
    logger.removeHandler(handler)
    log = stream.getvalue()
    assert WORD not in log.replace(f"KeyError({WORD})", "").replace("(WORD)", "")
    assert "KeyError" in log
    assert "Refused: ENTRY_TOO_LARGE" in log
    assert "The above exception was the direct cause" in log


def test_libraries_that_log_whole_requests_stay_quiet_at_any_level() -> None:
    for name in logs.VERBOSE_LIBRARIES:
        assert not logging.getLogger(f"{name}.inside").isEnabledFor(logging.INFO)


@pytest.mark.parametrize("error", [ConfigurationError("CHAT_URL is wrong"), ACCESS_DENIED])
def test_what_is_wrong_with_the_installation_is_told(error: Exception) -> None:
    assert str(logs.without_message(error)) == str(error)


def test_whatever_loads_annals_keeps_words_out_of_its_log() -> None:
    code = "import annals.times, logging; print(logging.getLogRecordFactory().__qualname__)"
    env = {"PYTHONPATH": str(ROOT / "layers/annals")}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)  # noqa: S603
    assert "make_without_message" in done.stdout
