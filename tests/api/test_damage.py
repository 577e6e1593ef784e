"""Items that were changed behind Annals so that they cannot be read: they are named, and no route answers 500."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from annals.conversations.genesis import get_genesis_entry
from annals.conversations.heads import head_key, project_head
from annals.database import failures_queue
from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.tail import tails
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/conv-1"
Stored = dict[str, Any]

DAMAGES: dict[str, Callable[[Stored], object]] = {
    "no records": lambda item: item.update(records={"L": []}),
    "records that are text": lambda item: item.update(records={"S": "none"}),
    "a record that is text": lambda item: item["records"]["L"].append({"S": "none"}),
    "no hash": lambda item: item.pop("hash"),
    "no count": lambda item: item.pop("count"),
    "a count that is text": lambda item: item.update(count={"S": "2"}),
    "a count that is a fraction": lambda item: item.update(count={"N": "1.5"}),
    "a number of records that is text": lambda item: item.update(n={"S": "1"}),
    "no number of records": lambda item: item.pop("n"),
    "no time": lambda item: item.pop("at"),
    "no state": lambda item: item.pop("state"),
    "a salt that is text": lambda item: item["records"]["L"][0]["M"].update(salt={"S": "salt"}),
    "a body that is a number": lambda item: item["records"]["L"][0]["M"].update(body={"N": "7"}),
    "no digest": lambda item: item["records"]["L"][0]["M"].pop("digest"),
    "a thread that is none": lambda item: item.update(thread={"S": "t"}),
    "a preamble that is not there": lambda item: item.update(preamble={"N": "77"}),
    "a preamble that is none": lambda item: item.update(preamble={"N": "1"}),
    "a count of too many": lambda item: item.update(count={"N": "70"}),
}

BROKEN_BODIES: dict[str, Any] = {
    "no text": {"B": b"\xff\xff not deflated"},
    "half of a deflated text": {"B": zlib.compress(b"{}" * 40)[2:9]},
    "no JSON": {"S": "{"},
    "no object": {"S": "[]"},
    "other words": {"S": '{"role":"user","content":7}'},
}

READS = [
    "",
    "?include=messages,facts,summary",
    "/messages",
    "/messages?order=asc",
    "/messages?order=asc&offset=1",
    "/messages?offset=1",
    "/messages?lastRuns=2",
    "/messages/msg-002",
    "/context?maxTokens=1000",
    "/analytics",
    "/export?format=json",
    "/export?format=jsonl",
    "/export?format=csv",
    "/export?format=openai-chat",
    "/export?format=ledger",
    "/verify",
]

WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/messages", {"role": "user", "content": "more"}),
    ("POST", "/preamble", {"content": "before"}),
    ("POST", "/archive", {"before": 2}),
    ("POST", "/messages/msg-002/redact", {"reason": "why"}),
    ("POST", "/seal", None),
    ("PATCH", "", {"metadata": {"a": 1}}),
]


@pytest.fixture
def pk(api: Api) -> str:
    """A conversation of three entries behind its genesis, and its neighbour."""
    for name in ("conv-1", "neighbour"):
        people = {"userId": "ada", "memorySpaceId": "home"}
        made = {"type": "user-agent", "conversationId": name, "participants": people}
        assert api.post("/v1/conversations", made).status == 201
        for text in ("one", "two", "three"):
            message = {"role": "user", "content": text}
            assert api.post(f"/v1/conversations/{name}/messages", message).status == 201
        project_head(conversation_pk(api.caller.tenant, name))
    return conversation_pk(api.caller.tenant, "conv-1")


def damage(pk: str, seq: int, change: Callable[[Stored], object]) -> None:
    table = settings().ledger_table
    item: Any = client().get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}})["Item"]
    change(item)
    client().put_item(TableName=table, Item=item)
    forget(pk)


def forget(pk: str) -> None:
    """As in another process, which has read nothing of it yet."""
    tails.forget(pk)
    get_genesis_entry.cache_clear()


AT_THE_ENDS = ("no records", "no hash", "a count that is text", "no digest")


@pytest.mark.parametrize(
    ("name", "seq"), [*((name, 2) for name in DAMAGES), *((name, seq) for name in AT_THE_ENDS for seq in (0, 3))]
)
def test_a_damaged_entry_is_named_by_verify_and_makes_no_route_answer_500(
    name: str, seq: int, api: Api, pk: str
) -> None:
    damage(pk, seq, DAMAGES[name])
    verified = api.get(f"{PATH}/verify").json
    assert (verified["valid"], verified["firstBadSeq"]) == (False, seq)
    for path in READS:
        answer = api.get(f"{PATH}{path}")
        assert answer.status == 200 or answer.problem[:2] == (409, "ENTRY_DAMAGED"), path
    for method, path, body in WRITES:
        answer = api.send(method, f"{PATH}{path}", body)
        assert answer.status < 300 or answer.problem[:2] == (409, "ENTRY_DAMAGED"), path
    listed = api.get("/v1/conversations")
    assert {item["conversationId"] for item in listed.json["items"]} == {"conv-1", "neighbour"}
    assert api.get("/v1/conversations/export").json["conversations"][-1]["conversationId"] == "neighbour"


@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_a_message_whose_words_are_not_what_was_appended_is_shown_as_damaged_without_them(
    name: str, api: Api, pk: str
) -> None:
    damage(pk, 2, lambda item: item["records"]["L"][0]["M"].update(body=BROKEN_BODIES[name]))
    assert api.get(f"{PATH}/verify").json["firstBadSeq"] == 2
    for path in READS:
        assert api.get(f"{PATH}{path}").status == 200, path
    messages = api.get(f"{PATH}/messages").json["items"]
    assert [message.get("content") for message in messages] == ["one", None, "three"]
    assert messages[1].keys() == {"messageId", "seq", "timestamp", "status"}
    assert messages[1]["status"] == "damaged"
    assert [each["content"] for each in api.get(f"{PATH}/context?maxTokens=1000").json["messages"]] == ["one", "three"]


def test_an_export_shows_the_place_of_a_damaged_entry(api: Api, pk: str) -> None:
    damage(pk, 2, lambda item: item.pop("hash"))
    messages = api.get(f"{PATH}/export?format=json").json["messages"]
    assert [message.get("status") for message in messages] == [None, "damaged", None]


def test_an_item_behind_the_tail_s_back_is_named(api: Api, pk: str) -> None:
    client().put_item(TableName=settings().ledger_table, Item={"pk": {"S": pk}, "sk": {"S": "E#000000000007"}})
    assert api.get(f"{PATH}/verify").json["firstBadSeq"] == 4
    forget(pk)
    assert api.post(f"{PATH}/messages", {"role": "user", "content": "x"}).problem[:2] == (409, "ENTRY_DAMAGED")


def damage_head(pk: str, **change: Any) -> None:
    item: Any = client().get_item(TableName=settings().state_table, Key=head_key(pk))["Item"]
    client().put_item(TableName=settings().state_table, Item={**item, **change})


@pytest.mark.parametrize(
    "change", [{"metadata": {"S": "{"}}, {"version": {"S": "1"}}, {"participants": {"S": "ada"}}, {"seq": {"S": "1"}}]
)
def test_a_damaged_head_is_left_out_of_lists_and_named_by_its_id(api: Api, pk: str, change: Stored) -> None:
    damage_head(pk, **change)
    for path in (
        "/v1/conversations",
        "/v1/conversations?sortBy=updatedAt",
        "/v1/conversations?participants.userId=ada",
    ):
        answer = api.get(path)
        assert [item["conversationId"] for item in answer.json["items"]] == ["neighbour"], path
    assert api.get(PATH).problem[:2] == (409, "ITEM_DAMAGED")
    assert api.patch(PATH, {"metadata": {}}).problem[:2] == (409, "ITEM_DAMAGED")
    assert api.get(f"{PATH}/messages").status == 200
    assert api.get(f"{PATH}/verify").json["valid"]


@pytest.mark.parametrize("text", ["{", "{}", '{"colour": "red"}', "[]", "7"])
def test_a_damaged_memory_is_left_out_of_a_user_s_list_and_named_by_its_id(api: Api, text: str) -> None:
    made = [api.post("/v1/users/ada/memories", {"memory": each}).json["memoryId"] for each in ("a", "b")]
    key = {"pk": {"S": f"T#{api.caller.tenant}#UM#ada"}, "sk": {"S": f"M#{made[0].rpartition(':')[2]}"}}
    client().update_item(
        TableName=settings().state_table,
        Key=key,
        UpdateExpression="SET memory = :text",
        ExpressionAttributeValues={":text": {"S": text}},
    )
    assert [item["memoryId"] for item in api.get("/v1/users/ada/memories").json["items"]] == [made[1]]
    assert api.get(f"/v1/memories/{made[0]}").problem[:2] == (409, "ITEM_DAMAGED")


def records_of(*keys: tuple[str, str]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventName": "INSERT",
                "dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}, "SequenceNumber": str(number)},
            }
            for number, (pk, sk) in enumerate(keys)
        ]
    }


class Queue:
    """The queue of failures."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803 - as boto3 names them
        self.messages.append(json.loads(MessageBody))


@pytest.fixture
def queue(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    setting("FAILURES_QUEUE_URL", "http://127.0.0.1:1/queue")
    monkeypatch.setattr(failures_queue, "sqs_client", lambda url: queue)
    return queue


def test_project_sets_a_damaged_conversation_aside_and_projects_its_neighbours(
    api: Api, pk: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    damage(pk, 3, lambda item: item.update(count={"S": "secret words"}))
    neighbour = conversation_pk(api.caller.tenant, "neighbour")
    client().delete_item(TableName=settings().state_table, Key=head_key(neighbour))
    event = records_of((pk, entry_sk(3)), (pk, "E#x"), (pk, "OTHER"), ("T#x", "E#1"), (neighbour, entry_sk(3)))
    assert function("project").handler(event, None) == {"batchItemFailures": []}
    assert api.get("/v1/conversations/neighbour").json["messageCount"] == 3
    assert [message["sk"] for message in queue.messages] == [entry_sk(3)]
    assert pk in caplog.text
    assert "secret words" not in caplog.text


def test_what_may_pass_is_sent_again_and_not_set_aside(
    api: Api, pk: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import EndpointConnectionError

    def fails(pk: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr(function("project"), "project_with_timer", fails)
    answer = function("project").handler(records_of((pk, entry_sk(1)), (pk, entry_sk(2))), None)
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["0", "1"]
    assert queue.messages == []
