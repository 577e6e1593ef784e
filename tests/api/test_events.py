"""The sample events: every trigger of the template has one, and its function takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.access.caller import Caller
from annals.ledger.keys import conversation_pk
from annals.memory import adapters
from annals.memory.models import Remember
from annals.memory.remember import remember
from annals.memory.streaming.models import RememberStream
from annals.memory.summarizers import get_summarizer
from local.workers import Context
from scripts.events import CALLER, FOLDER, TRANSCRIPT, TRANSCRIPT_KEY, samples
from tests.support import stack
from tests.support.ingesting import failures_queue, put_object
from tests.support.ledgers import read_contents

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
REFUSED = {
    "runs-get": 404,
    "runs-delete": 404,
    "conversations-find-session": 404,
    "documents-get": 404,
    "fallback-root": 404,
    "fallback-unknown": 404,
    "keys-revoke": 404,
    "erase-receipt": 404,
    "facts-get": 404,
    "facts-delete": 404,
    "memories-delete-by-external-id": 404,
    "memories-get-by-external-id": 404,
    "memories-restore": 409,
    "parts-get": 404,
    "spaces-get": 404,
    "users-patch": 404,
    "users-delete": 404,
    "users-delete-by-external-id": 404,
    "users-get-by-external-id": 404,
}


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return event


def function_name(name: str) -> str:
    return next(function for function in stack.TEMPLATE.functions if name.startswith(f"{function}-"))


HANDLED = [name for name in NAMES if function_name(name) not in {*stack.TEMPLATE.streaming, "ingest"}]
INGESTED = [name for name in NAMES if function_name(name) == "ingest"]


@pytest.fixture
def conversation(tmp_path: Path) -> Iterator[None]:
    """Tables and an index, and the conversation that the samples speak of."""
    with stack.on_moto(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_INDEX", str(tmp_path / "index.sqlite3"))
        patch.setenv("BLOBS_FOLDER", str(tmp_path / "blobs"))
        patch.setenv("EMBEDDINGS_URL", "offline")
        patch.setenv("CHAT_URL", "offline")
        patch.setenv("ROOT_KEY", "local")
        patch.setattr("annals.memory.indexing.drift.LAG_S", 0.0)
        stack.forget()
        turn = Remember.model_validate(
            {
                "memorySpaceId": "demo",
                "conversationId": "lisbon",
                "userId": "ada",
                "userMessage": "I am allergic to peanuts.",
                "agentResponse": "Noted.",
            }
        )
        remember(Caller.from_authorizer(CALLER), turn)
        yield
        for port in (adapters.index, adapters.embedder, get_summarizer):
            port.cache_clear()


def test_every_trigger_has_a_sample() -> None:
    assert sorted(name for name, _ in samples()) == NAMES, "run `python -m scripts.events`"


def test_the_samples_are_what_the_template_sends() -> None:
    assert {name: sample(name) for name in NAMES} == dict(samples())


@pytest.mark.parametrize("name", HANDLED)
@pytest.mark.usefixtures("conversation")
def test_a_function_takes_its_sample(name: str) -> None:
    event = sample(name)
    function = function_name(name)
    answer = stack.function(function).handler(event, Context(function))
    if "Records" in event:
        assert answer == {"batchItemFailures": []}
    elif event.get("type") == "REQUEST":
        assert answer["principalId"] == "root"
    elif event.get("source") == "aws.events":
        assert answer == {"missing": 2, "stale": 0, "orphaned": 0}
    else:
        assert answer["statusCode"] in ({REFUSED[name]} if name in REFUSED else {200, 201, 202, 204}), answer["body"]


@pytest.mark.parametrize("name", INGESTED)
@pytest.mark.usefixtures("conversation")
def test_what_a_sample_brings_is_stored(name: str) -> None:
    event = sample(name)
    put_object(TRANSCRIPT_KEY, TRANSCRIPT)
    with failures_queue("local") as failures:
        stack.function("ingest").handler(event, Context("ingest"))
    assert failures.reasons() == []
    assert len(read_contents(conversation_pk("local", "faro"))) == 2


def test_the_streamed_sample_is_a_turn() -> None:
    turn = RememberStream.model_validate_json(sample("remember_stream-remember-stream")["body"])
    assert turn.conversation_id == "lisbon"
