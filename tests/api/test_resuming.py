"""Who finishes an erasure: whoever is at work on it, until their time is over; then the stream's function."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from annals.conversations import receipts
from annals.conversations.receipts import find_receipt, receipt_id, store_receipt
from annals.ledger.keys import conversation_pk
from annals.memory.erasure import conversation_erasure, resuming
from annals.memory.erasure.user_receipts import put_repeat_request, repeat_request_key, user_receipt_id
from annals.times import now_ms
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.following import invoke
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

LEASE_S = 1.0
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "one"}


def begin(api: Api, monkeypatch: pytest.MonkeyPatch, *, leased_for_s: float) -> str:
    """An erasure whose process died behind the receipt; the receipt's id."""
    monkeypatch.setattr(receipts, "LEASE_MARGIN_MS", 0)
    assert api.post("/v1/conversations", NEW).status == 201
    until = receipts.lease_end(leased_for_s)
    return conversation_erasure._begin(api.caller.tenant, "one", "key-1", leased_until=until).receipt_id


def finish(api: Api, name: str, sk: str = "RECEIPT") -> None:
    """Tell the stream's function of a receipt, or of what is beside it."""
    keys = {"pk": {"S": f"T#{api.caller.tenant}#R#{name}"}, "sk": {"S": sk}}
    event = {"Records": [{"eventName": "INSERT", "dynamodb": {"Keys": keys, "SequenceNumber": "1"}}]}
    assert invoke("finish_erasure", event) == {"batchItemFailures": []}


def is_erased(api: Api, name: str) -> bool:
    return bool(api.get(f"/v1/receipts/{name}").json["status"] == "erased")


def test_an_erasure_is_left_to_whoever_works_on_it_until_their_time_is_over(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = begin(api, monkeypatch, leased_for_s=LEASE_S)
    began = time.monotonic()
    finish(api, name)
    assert time.monotonic() - began > LEASE_S / 2
    assert is_erased(api, name)


def test_nobody_is_waited_for_without_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "LONGEST_WAIT_S", LEASE_S)
    name = begin(api, monkeypatch, leased_for_s=3600)
    finish(api, name)
    assert is_erased(api, name)


def test_what_has_no_lease_is_gone_on_with_at_once(api: Api, setting: Setting) -> None:
    assert api.post("/v1/conversations", NEW).status == 201
    setting("ERASE_BUDGET_S", "0")
    name = api.delete("/v1/conversations/one").json["receiptId"]
    setting("ERASE_BUDGET_S", "20")
    began = time.monotonic()
    finish(api, name)
    assert time.monotonic() - began < LEASE_S * 5
    assert is_erased(api, name)


def test_an_erasure_that_is_not_done_after_an_hour_is_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = begin(api, monkeypatch, leased_for_s=0)
    receipt = find_receipt(api.caller.tenant, receipt_id(conversation_pk(api.caller.tenant, "one")))
    assert receipt
    store_receipt(replace(receipt, begun_at=now_ms() - resuming.OVERDUE_MS - 1))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "one-of-ours")
    finish(api, name)
    assert "ErasuresOverdue" in capsys.readouterr().out


def test_a_wish_to_erase_a_person_once_more_is_kept_until_that_is_done(
    api: Api, setting: Setting, tmp_path: Path
) -> None:
    with embedded_index(tmp_path):
        name = user_receipt_id(api.caller.tenant, "ada")
        assert api.delete("/v1/users/ada").json["found"] is False
        assert api.post("/v1/users/ada/memories", {"memory": "Said in time."}).status == 201
        put_repeat_request(api.caller.tenant, name, "ada")
        setting("ERASE_BUDGET_S", "0")
        keys = {key: value for key, value in repeat_request_key(api.caller.tenant, name).items() if key in ("pk", "sk")}
        event = {"Records": [{"eventName": "INSERT", "dynamodb": {"Keys": keys, "SequenceNumber": "1"}}]}
        assert invoke("finish_erasure", event) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
        setting("ERASE_BUDGET_S", "20")
        invoke("finish_erasure", event)
        assert invoke("finish_erasure", event) == {"batchItemFailures": []}
        assert api.get("/v1/users/ada/memories").json["items"] == []
        assert api.get(f"/v1/receipts/{name}").json["found"] is True
