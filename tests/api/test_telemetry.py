"""What operators see: a line per request, metrics in the embedded metric format, and no word of what was said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from annals.telemetry import NAMESPACE
from local.template import ROOT
from local.workers import Context
from tests.support.api import Api
from tests.support.indexing import embedded_index
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

CONVERSATION = {
    "type": "user-agent",
    "participants": {"userId": "ada", "memorySpaceId": "home"},
    "conversationId": "one",
}
Published = Callable[[], dict[str, float]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Published:
    """On Lambda: the sums of the metrics that were published since it was last asked."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "one-of-ours")

    def sums() -> dict[str, float]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
        totals: dict[str, float] = {}
        for line in lines:
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == NAMESPACE
            for metric in directive["Metrics"]:
                totals[metric["Name"]] = totals.get(metric["Name"], 0) + sum(line[metric["Name"]])
        return totals

    return sums


def answered(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the log says of the requests that were answered."""
    return [vars(record) for record in caplog.records if record.getMessage() == "answered"]


def test_an_append_is_counted_once_and_its_replay_is_not(api: Api, published: Published) -> None:
    api.post("/v1/conversations", CONVERSATION)
    published()
    for _ in range(2):
        api.post("/v1/conversations/one/messages", {"role": "user", "content": "tulip"}, idempotency_key="k")
    assert published() == {"Appends": 1}


def test_away_from_lambda_nothing_is_published(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.post("/v1/conversations", {**CONVERSATION, "conversationId": "two"})
    api.post("/v1/conversations/two/messages", {"role": "user", "content": "tulip"})
    assert capsys.readouterr().out == ""


def test_on_lambda_whatever_a_module_logs_is_a_line_of_json() -> None:
    statement = "logging.getLogger('annals').info('answered', extra={'status': 200})"
    done = subprocess.run(  # noqa: S603 - written above
        [sys.executable, "-c", f"import logging; import annals.telemetry; {statement}"],
        env={**os.environ, "AWS_LAMBDA_FUNCTION_NAME": "one-of-ours", "PYTHONPATH": str(ROOT / "layers/annals")},
        capture_output=True,
        text=True,
        check=True,
    )
    line = json.loads(done.stdout)
    assert (line["level"], line["message"], line["status"]) == ("INFO", "answered", 200)
    assert datetime.fromisoformat(line["timestamp"]).tzinfo


def test_a_request_is_one_line_with_its_route_and_tenant(
    api: Api, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "annals"):
        api.get("/v1/conversations/secret-id")
    (line,) = answered(caplog)
    assert (line["status"], line["code"], line["method"]) == (404, "CONVERSATION_NOT_FOUND", "GET")
    assert (line["route"], line["tenant"]) == ("/v1/conversations/{conversationId}", api.caller.tenant)
    assert line["latencyMs"] >= 0
    assert line["requestId"]


def test_no_line_holds_what_was_said_or_an_id_of_the_callers_choice(
    api: Api, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", "annals"):
        api.post("/v1/conversations", {**CONVERSATION, "conversationId": "secret-id"})
        api.post("/v1/conversations/secret-id/messages", {"role": "user", "content": "secret words"})
        api.post("/v1/conversations/secret-id/messages", {"role": "secret role", "content": "secret words"})
        api.get("/v1/conversations/secret-id/export")
    lines = answered(caplog)
    assert [line["status"] for line in lines] == [201, 201, 422, 200]
    assert "secret" not in json.dumps(lines, default=str)


def test_a_streamed_answer_is_logged_when_all_of_it_is_sent(
    api: Api, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "annals"):
        assert api.get("/v1/conversations/nowhere/export").status == 404
    (line,) = answered(caplog)
    assert (line["status"], line["code"], line["tenant"]) == (404, "CONVERSATION_NOT_FOUND", api.caller.tenant)


def test_searches_and_what_they_embed_are_counted(api: Api, published: Published, tmp_path: Path) -> None:
    with embedded_index(tmp_path):
        assert api.post("/v1/memory/search", {"query": "tulip", "memorySpaceId": "home"}).status == 200
    assert published()["Searches"] == 1


def test_what_is_indexed_is_counted_once_with_what_is_embedded_for_it(
    api: Api, published: Published, tmp_path: Path
) -> None:
    api.post("/v1/conversations", {**CONVERSATION, "conversationId": "indexed"})
    api.post("/v1/conversations/indexed/messages", {"role": "user", "content": "a tulip"})
    published()
    with embedded_index(tmp_path) as stream:
        stream.deliver_ledger()
        first = published()
        stream.deliver_ledger()
    assert first["IndexedDocuments"] >= 1
    assert first["EmbeddedTexts"] >= first["IndexedDocuments"]
    assert (published().get("IndexedDocuments", 0), first["IndexFailures"]) == (0, 0)


@pytest.fixture
def broken_index(tmp_path: Path) -> Iterator[None]:
    """An index in a file that is none."""
    (tmp_path / "index.sqlite3").write_text("no database" * 1000)
    with embedded_index(tmp_path):
        yield


@pytest.mark.usefixtures("broken_index")
def test_a_search_that_the_index_leaves_without_an_answer_is_counted(api: Api, published: Published) -> None:
    assert api.post("/v1/memory/search", {"query": "tulip", "memorySpaceId": "home"}).status == 503
    assert published()["SearchUnavailable"] == 1


@pytest.mark.parametrize(("kind", "age_s"), [("project", 5), ("index", 5)])
def test_the_age_of_a_batch_is_that_of_its_oldest_record(
    published: Published, tmp_path: Path, kind: str, age_s: int
) -> None:
    keys = {"pk": {"S": "T#acme#C#none"}, "sk": {"S": "E#000000000001"}}
    records = [
        {"dynamodb": {"Keys": keys, "SequenceNumber": str(age), "ApproximateCreationDateTime": time.time() - age}}
        for age in (1, age_s)
    ]
    with embedded_index(tmp_path):
        function(kind).handler({"Records": records}, Context(kind))
    lag_ms = published()[f"{kind.title()}LagMs"]
    assert 1000 * age_s <= lag_ms < 1000 * age_s + 60_000
