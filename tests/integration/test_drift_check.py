"""The scheduled comparison of a sample of the tables with the search index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from annals.ledger.keys import conversation_pk
from annals.memory import adapters
from annals.memory.indexing.sampling import sample_tables
from annals.memory.indexing.table_scan import EntryRange
from local.workers import Context
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("ministack")


@pytest.fixture
def stream(ministack: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    monkeypatch.setattr("annals.memory.indexing.drift.LAG_S", 0.0)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "check-drift")
    with embedded_index(tmp_path) as found:
        yield found


def talk(api: Api, messages: int) -> None:
    made = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "one"}
    assert api.post("/v1/conversations", made).status == 201
    for number in range(messages):
        message = {"role": "user", "content": f"tulip {number}"}
        assert api.post("/v1/conversations/one/messages", message).status == 201


def drift(capsys: pytest.CaptureFixture[str]) -> float:
    """The metric that a check publishes."""
    capsys.readouterr()
    function("check_drift").handler({}, Context("check_drift"))
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if "IndexDrift" in line)
    return float(sum(line["IndexDrift"]))


def test_an_index_that_follows_the_tables_has_no_drift(
    api: Api, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(api, 3)
    stream.deliver_ledger()
    assert drift(capsys) == 0


def test_what_the_index_lacks_is_published(api: Api, stream: Stream, capsys: pytest.CaptureFixture[str]) -> None:
    talk(api, 3)
    stream.deliver_ledger()
    adapters.index().delete(api.caller.tenant, ["mem:one:1", "mem:one:3"])
    assert drift(capsys) == 2


def test_a_sample_is_as_large_as_it_is_asked_for_and_names_nothing_twice(api: Api) -> None:
    talk(api, 150)
    pk = conversation_pk(api.caller.tenant, "one")
    everything = list(sample_tables(10_000))
    assert len(everything) == len(set(everything))
    assert sum(each.size for each in everything if isinstance(each, EntryRange) and each.pk == pk) == 150
    few = list(sample_tables(10))
    assert few[0].size <= 100
    assert sum(each.size for each in few[:-1]) < 10
