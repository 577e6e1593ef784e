"""The reply to any request to DynamoDB gets lost, and the client library sends it again: nobody notices.

Each request of an operation is carried out, loses its reply, and is sent again; the operation's answer must be the one
that it gives undisturbed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from annals.access.keys import find_key
from annals.conversations.receipts import Receipt, store_counts, store_receipt
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.erasure.user_receipts import UserReceipt, store_user_receipt
from annals.memory.streaming.draft_table import DraftTable
from annals.memory.streaming.drafts import Draft, new_owner
from tests.support import faults
from tests.support.api import Api, Reply
from tests.support.streaming import Streams, events

MOST_CALLS = 120
KEY = {"name": "reader", "scopes": ["read"]}
USER = {"userId": "ada", "memorySpaceId": "home"}
NEW = {"type": "user-agent", "participants": USER, "metadata": {"secret": "tulip"}}
BY_EXTERNAL_ID = "/memories/by-external-id/a%2F1"
PUT = f"/v1{BY_EXTERNAL_ID}"
MISSING = {"participants": USER, "metadata": {"secret": "tulip"}}
TURN = {**USER, "userMessage": "q", "agentResponse": "a"}

pytestmark = pytest.mark.usefixtures("tables")


@dataclass
class Operation:
    """A request, the status of its answer, what has to be there before, and what has to hold afterwards."""

    request: Callable[[Api], Reply]
    status: int
    check: Callable[[Api, Reply], object] = field(default=lambda api, answer: None)
    prepare: Callable[[Api], object] = field(default=lambda api: None)


def conversation(api: Api) -> None:
    assert api.post("/v1/conversations", {**NEW, "conversationId": "one"}).status == 201
    assert api.post("/v1/conversations/one/messages", {"role": "user", "content": "tulip"}).status == 201


def memory(api: Api) -> str:
    """The id of a memory, the same one for each tenant's whole test."""
    if api.caller.tenant not in _memories:
        made = api.post("/v1/memories", {**USER, "content": "before"})
        assert made.status == 201, made.body
        _memories[api.caller.tenant] = made.json["memoryId"]
    return _memories[api.caller.tenant]


_memories: dict[str, str] = {}


def only_key_works(api: Api, answer: Reply) -> None:
    """There is one key, and its text is in the answer."""
    (listed,) = api.get("/v1/keys").json["items"]
    assert listed["keyId"] == answer.json["keyId"]
    assert find_key(answer.json["key"])


def only_key_is_revoked(api: Api, _: Reply) -> None:
    (listed,) = api.get("/v1/keys").json["items"]
    assert listed["revokedAt"]


def described(version: int) -> Callable[[Api, Reply], None]:
    def check(api: Api, answer: Reply) -> None:
        assert (answer.json["name"], answer.json["version"]) == ("new", version)
        assert api.get("/v1/spaces/home").json == answer.json

    return check


def one_conversation(api: Api, answer: Reply) -> None:
    (listed,) = api.get("/v1/conversations").json["items"]
    assert listed["conversationId"] == answer.json["conversationId"]


def changed(api: Api, answer: Reply) -> None:
    assert (answer.json["content"], answer.json["version"]) == ("after", 2)
    assert len(answer.json["previousVersions"]) == 1


def erased(messages: int) -> Callable[[Api, Reply], None]:
    def check(api: Api, answer: Reply) -> None:
        assert (answer.json["status"], answer.json["removed"]["messages"]) == ("erased", messages)
        assert api.get("/v1/conversations/one").status == 410

    return check


def stored_once(entries: int) -> Callable[[Api, Reply], None]:
    def check(api: Api, answer: Reply) -> None:
        verified = api.get("/v1/conversations/one/verify").json
        assert (verified["valid"], verified["entries"]) == (True, entries)
        not_replayed(api, answer)

    return check


def put(version: int) -> Callable[[Api, Reply], None]:
    def check(api: Api, answer: Reply) -> None:
        assert (answer.json["content"], answer.json["version"]) == ("after", version)
        stored = api.get(f"{PUT}?memorySpaceId=home&userId=ada").json
        assert (stored["memoryId"], stored["version"]) == (answer.json["memoryId"], version)

    return check


def one_user_memory(api: Api, answer: Reply) -> None:
    assert api.get("/v1/users/ada/memories").json["items"] == [answer.json]


def no_user_memory(api: Api) -> None:
    assert api.get("/v1/users/ada/memories").json["items"] == []
    assert api.put(f"/v1/users/ada{BY_EXTERNAL_ID}", {"memory": "new"}).status == 201


def not_replayed(_: Api, answer: Reply) -> None:
    assert "idempotent-replayed" not in answer.headers


def run(api: Api) -> None:
    conversation(api)
    assert api.put(f"{ONE}/runs/r", {"status": "before"}).status == 201


def put_run(version: int) -> Callable[[Api, Reply], None]:
    def check(api: Api, answer: Reply) -> None:
        assert (answer.json["status"], answer.json["version"], answer.json["number"]) == ("x", version, 1)
        assert api.get(f"{ONE}/runs").json["items"] == [answer.json]

    return check


def no_run(api: Api, _: Reply) -> None:
    assert api.get(f"{ONE}/runs").json["items"] == []
    assert api.put(f"{ONE}/runs/r", {"status": "x"}).json["number"] == 2


FACT = {"memorySpaceId": "home", "userId": "ada", "fact": "x", "subject": "a", "predicate": "b", "object": "c"}
ONE = "/v1/conversations/one"

OPERATIONS = {
    "make a key": Operation(lambda api: api.post("/v1/keys", KEY), 201, only_key_works),
    "make a key once": Operation(lambda api: api.post("/v1/keys", KEY, idempotency_key="k"), 201, only_key_works),
    "revoke a key": Operation(
        lambda api: api.delete(f"/v1/keys/{api.get('/v1/keys').json['items'][0]['keyId']}"),
        204,
        only_key_is_revoked,
        lambda api: api.post("/v1/keys", KEY),
    ),
    "describe a space": Operation(
        lambda api: api.put("/v1/spaces/home", {"name": "new"}, if_match='"0"'), 201, described(1)
    ),
    "describe a space again": Operation(
        lambda api: api.put("/v1/spaces/home", {"name": "new"}, if_match='"1"'),
        200,
        described(2),
        lambda api: api.put("/v1/spaces/home", {"name": "old"}),
    ),
    "create": Operation(lambda api: api.post("/v1/conversations", NEW, idempotency_key="k"), 201, one_conversation),
    "create with an id": Operation(
        lambda api: api.post("/v1/conversations", {**NEW, "conversationId": "one"}), 201, one_conversation
    ),
    "put a run": Operation(lambda api: api.put(f"{ONE}/runs/r", {"status": "x"}), 201, put_run(1), conversation),
    "replace a run": Operation(lambda api: api.put(f"{ONE}/runs/r", {"status": "x"}), 200, put_run(2), run),
    "replace a version of a run": Operation(
        lambda api: api.put(f"{ONE}/runs/r", {"status": "x"}, if_match='"1"'), 200, put_run(2), run
    ),
    "delete a run": Operation(lambda api: api.delete(f"{ONE}/runs/r"), 204, no_run, run),
    "get or create a session": Operation(
        lambda api: api.put("/v1/conversations/by-session", {**NEW, "sessionId": "s"}), 201, one_conversation
    ),
    "create a session": Operation(
        lambda api: api.post("/v1/conversations", {**NEW, "sessionId": "s"}, idempotency_key="k"), 201, one_conversation
    ),
    "get or create": Operation(lambda api: api.put("/v1/conversations/by-participants", NEW), 201, one_conversation),
    "patch": Operation(
        lambda api: api.patch(ONE, {"metadata": {"new": 1}}, if_match='"1"'), 200, one_conversation, conversation
    ),
    "append": Operation(
        lambda api: api.post(f"{ONE}/messages", {"role": "user", "content": "x"}, idempotency_key="k"),
        201,
        stored_once(3),
        conversation,
    ),
    "append with an external id": Operation(
        lambda api: api.post(f"{ONE}/messages", {"role": "user", "content": "x", "externalId": "x"}),
        201,
        stored_once(3),
        conversation,
    ),
    "append to a missing conversation": Operation(
        lambda api: api.post(
            f"{ONE}/messages", {"role": "user", "content": "x", "externalId": "x", "conversation": MISSING}
        ),
        201,
        stored_once(2),
    ),
    "append behind a seq": Operation(
        lambda api: api.post(f"{ONE}/messages", {"role": "user", "content": "x"}, if_match='"1"'),
        201,
        stored_once(3),
        conversation,
    ),
    "redact": Operation(
        lambda api: api.post(f"{ONE}/messages/msg-001/redact", {"reason": "why"}), 200, stored_once(3), conversation
    ),
    "seal": Operation(lambda api: api.post(f"{ONE}/seal"), 200, stored_once(3), conversation),
    "archive": Operation(lambda api: api.post(f"{ONE}/archive", {"before": 2}), 200, stored_once(3), conversation),
    "remember": Operation(
        lambda api: api.post("/v1/memory/remember", {**TURN, "conversationId": "one"}, idempotency_key="k"),
        201,
        stored_once(2),
    ),
    "make a memory": Operation(
        lambda api: api.post("/v1/memories", {**USER, "content": "x"}, idempotency_key="k"),
        201,
        not_replayed,
    ),
    "make a memory with an external id": Operation(
        lambda api: api.post("/v1/memories", {**USER, "content": "x", "externalId": "x"}), 201, not_replayed
    ),
    "put a memory": Operation(lambda api: api.put(PUT, {**USER, "content": "after"}, if_match='"0"'), 201, put(1)),
    "put a memory again": Operation(
        lambda api: api.put(PUT, {**USER, "content": "after"}, if_match='"1"'),
        200,
        put(2),
        lambda api: api.put(PUT, {**USER, "content": "before"}),
    ),
    "put a user's memory": Operation(
        lambda api: api.put(f"/v1/users/ada{BY_EXTERNAL_ID}", {"memory": "after"}), 201, one_user_memory
    ),
    "delete a user's memory by its external id": Operation(
        lambda api: api.delete(f"/v1/users/ada{BY_EXTERNAL_ID}"),
        204,
        lambda api, _: no_user_memory(api),
        lambda api: api.put(f"/v1/users/ada{BY_EXTERNAL_ID}", {"memory": "before"}),
    ),
    "change a memory": Operation(
        lambda api: api.patch(f"/v1/memories/{memory(api)}", {"content": "after"}, if_match='"1"'),
        200,
        changed,
        memory,
    ),
    "make a fact": Operation(lambda api: api.post("/v1/facts", FACT, idempotency_key="k"), 201, not_replayed),
    "erase": Operation(lambda api: api.delete(ONE), 200, erased(1), conversation),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_knows_its_own_writes_again(tenant: str, name: str) -> None:
    operation = OPERATIONS[name]
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        operation.prepare(api)
        with faults.losing_reply(call) as loss:
            answer = operation.request(api)
        assert answer.status == operation.status, (call, answer.body)
        operation.check(api, answer)
        if not loss.came:
            assert call > 1
            return
    pytest.fail(f"{name} takes more than {MOST_CALLS} requests")


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply], ids=["before", "behind"])
def test_a_process_that_dies_while_it_makes_a_key_leaves_one_that_its_retry_names_or_none(
    tenant: str, fault: faults.Fault
) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        with faults.dying_at(call, fault) as loss:
            first = api.post("/v1/keys", KEY, idempotency_key="k")
        assert first.status in (201, 503)
        again = api.post("/v1/keys", KEY, idempotency_key="k")
        (listed,) = api.get("/v1/keys").json["items"]
        if again.status == 201:
            assert listed["keyId"] == again.json["keyId"]
        else:
            assert again.problem[:2] == (409, "KEY_ALREADY_MADE")
            assert listed["keyId"] in again.json["detail"]
        if not loss.came:
            assert call > 1
            return
    pytest.fail(f"making a key takes more than {MOST_CALLS} requests")


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply], ids=["before", "behind"])
def test_a_space_that_a_process_was_describing_when_it_died_is_described_once_by_the_retry(
    tenant: str, fault: faults.Fault
) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        api.put("/v1/spaces/home", {"name": "old"})
        with faults.dying_at(call, fault) as loss:
            first = api.put("/v1/spaces/home", {"name": "new"}, if_match='"1"', idempotency_key="k")
        assert first.status in (200, 503)
        again = api.put("/v1/spaces/home", {"name": "new"}, if_match='"1"', idempotency_key="k")
        assert (again.status, again.json["version"]) == (200, 2)
        assert api.get("/v1/spaces/home").json == again.json
        if not loss.came:
            assert call > 1
            return


@pytest.fixture
def draft(tenant: str) -> Draft:
    """A draft that nobody has claimed."""
    once = IdempotentRequest.of(tenant, "stream-reply", "k")
    return Draft(tenant, f"stream-{secrets.token_hex(12)}", "c", "s", 7, "keep", {}, once, new_owner())


def test_a_stream_is_claimed_by_whoever_lost_the_reply_to_the_claim(draft: Draft) -> None:
    with faults.on("PutItem", faults.go_through, faults.lose_reply):
        assert DraftTable().claim(draft)
    assert not DraftTable().claim(replace(draft, owner=new_owner()))


def test_a_stream_is_taken_over_by_whoever_lost_the_reply_to_the_claim(draft: Draft) -> None:
    former, later = draft, draft.with_new_owner(3)
    assert DraftTable().claim(former)
    with faults.on("PutItem", faults.go_through, faults.lose_reply):
        assert DraftTable().claim(later, former.owner)
    assert not DraftTable().claim(former.with_new_owner(5), former.owner)


def test_a_streamed_turn_is_told_by_its_own_request_whatever_reply_is_lost(stream: Streams, api: Api) -> None:
    for call in range(1, MOST_CALLS):
        with faults.losing_reply(call) as loss:
            received = events(stream(conversationId=f"c-{call}"))
        assert [event.name for event in received][:2] == ["start", "context"]
        assert received[-1].name == "result", (call, received[-1].data)
        verified = api.get(f"/v1/conversations/c-{call}/verify").json
        assert (verified["valid"], verified["messageCount"]) == (True, 2)
        if not loss.came:
            assert call > 1
            return
    pytest.fail(f"a streamed turn takes more than {MOST_CALLS} requests")


@pytest.mark.usefixtures("stream")
def test_a_person_is_erased_whatever_reply_is_lost(tenant: str) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        conversation(api)
        with faults.losing_reply(call) as loss:
            answer = api.delete("/v1/users/ada")
        assert (answer.status, answer.json["status"]) == (200, "erased"), (call, answer.body)
        assert answer.json["removed"]["conversations"] == 1
        assert api.get(ONE).status == 410
        if not loss.came:
            assert call > 1
            return
    pytest.fail(f"erasing a person takes more than {MOST_CALLS} requests")


def receipt(tenant: str) -> Receipt:
    return Receipt(tenant, "rcp-1", "one", "key-1", 1)


def test_a_receipt_is_stored_by_whoever_lost_the_reply(tenant: str) -> None:
    counted = replace(receipt(tenant), facts=2)
    with faults.on("PutItem", faults.lose_reply):
        assert store_counts(counted) == counted
    assert store_counts(replace(counted, facts=0)) == counted
    done = replace(counted, erased_at=5)
    with faults.on("PutItem", faults.lose_reply):
        assert store_receipt(done) == done
    assert store_receipt(replace(done, erased_at=6)) == done


def test_a_person_s_receipt_goes_on_for_whoever_lost_the_reply_and_for_nobody_else(tenant: str) -> None:
    begun = UserReceipt(tenant=tenant, receipt_id="rcp-2", user_id="ada", by="key-1", begun_at=1, stage="conversations")
    with faults.on("PutItem", faults.lose_reply):
        first = store_user_receipt(begun)
    with faults.on("PutItem", faults.lose_reply):
        second = store_user_receipt(first)
    assert second.step == 2
    with pytest.raises(Exception, match="Another request goes on with this erasure"):
        store_user_receipt(first)


def test_of_two_who_store_the_same_step_of_a_person_s_receipt_one_goes_on(tenant: str) -> None:
    step: dict[str, Any] = {"receipt_id": "rcp-3", "user_id": "ada", "by": "key-1", "begun_at": 1, "stage": "facts"}
    same = UserReceipt(tenant=tenant, **step)
    store_user_receipt(same)
    with pytest.raises(Exception, match="Another request goes on with this erasure"):
        store_user_receipt(same)
