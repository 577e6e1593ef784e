"""Changes to entries that are in place: redactions and erasures explain them, everything else raises the alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk, entry_sk
from annals.settings import settings
from local.emulator import Emulator
from tests.support.api import Api
from tests.support.following import following

NEW = {
    "type": "user-agent",
    "participants": {"userId": "ada", "memorySpaceId": "home"},
    "conversationId": "one",
}

pytestmark = pytest.mark.usefixtures("ministack")

Unexplained = Callable[[], int]


@pytest.fixture
def unexplained(
    ministack: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Unexplained:
    """Works off what is in the stream; how many changes the metric tells of."""

    def worked_off() -> int:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setenv("AWS_LAMBDA_FUNCTION_NAME", "project")
            with following(ministack, tmp_path, "project"):
                pass
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
        return int(sum(sum(line.get("UnexplainedLedgerChange", [])) for line in lines))

    return worked_off


@pytest.fixture
def talk(api: Api) -> str:
    """A conversation of two messages in one entry and one in another; its partition key."""
    assert api.post("/v1/conversations", NEW).status == 201
    for contents in (["a", "b"], ["c"]):
        batch = {"messages": [{"role": "user", "content": content} for content in contents]}
        assert api.post("/v1/conversations/one/messages", batch).status == 201
    return conversation_pk(api.caller.tenant, "one")


def address(pk: str, seq: int) -> dict[str, Any]:
    return {"TableName": settings().ledger_table, "Key": {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}}


def test_appends_redactions_and_erasures_are_explained(api: Api, talk: str, unexplained: Unexplained) -> None:
    assert api.post("/v1/conversations/one/messages/msg-002/redact", {"reason": "why"}).status == 200
    assert unexplained() == 0
    assert api.delete("/v1/conversations/one").status == 200
    assert unexplained() == 0


def test_a_body_that_was_changed_raises_the_alarm(talk: str, unexplained: Unexplained) -> None:
    unexplained()
    values = {":other": {"B": b'{"role": "user", "content": "other"}'}}
    client().update_item(
        **address(talk, 1), UpdateExpression="SET records[0].body = :other", ExpressionAttributeValues=values
    )
    assert unexplained() == 1


def test_a_body_that_went_without_a_redaction_raises_the_alarm(api: Api, talk: str, unexplained: Unexplained) -> None:
    assert api.post("/v1/conversations/one/messages/msg-001/redact", {"reason": "why"}).status == 200
    unexplained()
    client().update_item(**address(talk, 1), UpdateExpression="REMOVE records[1].body, records[1].salt")
    assert unexplained() == 1


def test_an_entry_that_goes_raises_the_alarm(talk: str, unexplained: Unexplained) -> None:
    unexplained()
    client().delete_item(**address(talk, 3))
    assert unexplained() == 1


def test_a_whole_conversation_that_goes_raises_the_alarm(talk: str, unexplained: Unexplained) -> None:
    unexplained()
    for seq in (0, 1, 3):
        client().delete_item(**address(talk, seq))
    assert unexplained() == 3


def test_records_that_come_again_do_not_make_an_explained_change_unexplained(
    api: Api, talk: str, unexplained: Unexplained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert api.post("/v1/conversations/one/messages/msg-003/redact", {"reason": "why"}).status == 200
    unexplained()
    (tmp_path / "streams.json").unlink()
    unexplained()
    assert talk not in caplog.text
