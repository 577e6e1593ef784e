"""What came of a reply that broke off, stored by whoever ran the model."""

from __future__ import annotations

import pytest

from tests.support.api import Api
from tests.support.ledgers import new_conversation

pytestmark = pytest.mark.usefixtures("moto")

MESSAGES = "/v1/conversations/conv-1/messages"
REPLY = {"role": "assistant", "content": "To be, or"}


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def test_a_message_can_be_stored_as_incomplete(api: Api) -> None:
    answer = api.post(MESSAGES, {**REPLY, "status": "incomplete"})
    assert answer.status == 201
    assert answer.json["messages"][0]["status"] == "incomplete"
    assert api.get(f"{MESSAGES}/msg-001").json["status"] == "incomplete"


def test_a_status_that_is_null_is_none(api: Api) -> None:
    api.post(MESSAGES, {**REPLY, "status": None})
    assert "status" not in api.get(f"{MESSAGES}/msg-001").json


@pytest.mark.parametrize("status", ["archived", "redacted", "complete", ""])
def test_what_only_annals_can_say_of_a_message_is_refused(api: Api, status: str) -> None:
    assert api.post(MESSAGES, {**REPLY, "status": status}).problem == (422, "INVALID_FORMAT", "status")


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "x" * 128])
def test_the_reason_why_a_reply_ended_is_kept_and_goes_through_export_and_import(api: Api, reason: str) -> None:
    api.post(MESSAGES, {**REPLY, "status": "incomplete", "finishReason": reason})
    assert api.get(f"{MESSAGES}/msg-001").json["finishReason"] == reason
    for format_name, content_type in (("jsonl", "application/x-ndjson"), ("csv", "text/csv")):
        file = api.get(f"/v1/conversations/conv-1/export?format={format_name}").body.decode()
        copied = file.replace("conv-1", f"conv-{format_name}")
        api.post("/v1/conversations/import?memorySpaceId=s&userId=u", copied, content_type=content_type)
        copy = api.get(f"/v1/conversations/conv-{format_name}/messages/msg-001").json
        assert (copy["finishReason"], copy["status"]) == (reason, "incomplete")


@pytest.mark.parametrize("reason", ["", " ", "x" * 129, 3])
def test_a_reason_that_is_none_is_refused(api: Api, reason: object) -> None:
    answer = api.post(MESSAGES, {**REPLY, "finishReason": reason})
    assert (answer.status, answer.problem[2]) == (422, "finishReason")
