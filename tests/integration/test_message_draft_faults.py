"""Messages while they are said, where processes die, replies get lost, and words go at the same moment."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.memory.message_drafts import ending
from annals.settings import settings
from annals.times import now_ms
from local.workers import Context
from tests.support import crashes, faults
from tests.support.api import Api, Reply
from tests.support.crashes import items_of
from tests.support.holding import held
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("tables")

CHAT = "/v1/conversations/chat"
MESSAGES = f"{CHAT}/messages"
REPLY = f"{MESSAGES}/reply"
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "chat"}
MOST_CALLS = 40


@pytest.fixture(autouse=True)
def conversation(api: Api) -> None:
    assert api.post("/v1/conversations", NEW).status == 201


def put(api: Api, content: str, **more: Any) -> Reply:
    return api.put(REPLY, {"role": "assistant", "content": content, **more})


def contents(api: Api) -> list[str]:
    """All that the ledger has of the conversation, in order; the chain is whole."""
    assert api.get(f"{CHAT}/verify").json["valid"]
    lines = api.get(f"{CHAT}/export?format=json").json["messages"]
    return [message["content"] for message in lines]


def rest_of(api: Api) -> list[str]:
    """What is stored of drafts."""
    keys = [(item["pk"]["S"], item["sk"]["S"]) for item in items_of(api.caller.tenant, settings().state_table)]
    return [sk for pk, sk in keys if "#DM#" in pk or sk.startswith("DRAFT#")]


def timers_of(api: Api) -> list[dict[str, Any]]:
    """The keys of the drafts' timers."""
    items = items_of(api.caller.tenant, settings().state_table)
    return [{"pk": item["pk"], "sk": item["sk"]} for item in items if item["sk"]["S"].startswith("DRAFTEND#")]


def run_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let hours pass and the timers of drafts go; what the stream's function answers."""
    later = now_ms() + 10 * 3_600_000
    monkeypatch.setattr(ending, "now_ms", lambda: later)
    keys = timers_of(api)
    for key in keys:
        client().delete_item(TableName=settings().state_table, Key=key)
    return end(*keys)


def end(*keys: dict[str, Any]) -> dict[str, Any]:
    records = [{"dynamodb": {"Keys": key, "SequenceNumber": str(number)}} for number, key in enumerate(keys)]
    answer: dict[str, Any] = function("finish_erasure").handler({"Records": records}, Context("finish_erasure"))
    return answer


LONG = "To be, or not to be. " * 100
REQUESTS: dict[str, dict[str, Any]] = {
    "begun": {"content": LONG, "revision": 1},
    "added": {"content": " More.", "revision": 2},
    "added long": {"content": LONG, "revision": 2},
    "replaced": {"content": LONG, "revision": 2, "replace": True, "name": "Hamlet"},
    "completed": {"content": " The end.", "revision": 2, "completed": True},
    "completed at once": {"content": "All.", "revision": 2, "completed": True, "replace": True},
}


def prepare(api: Api, name: str) -> None:
    if name != "begun":
        put(api, LONG, revision=1)


def shown(api: Api) -> list[Any]:
    """What a reader sees, but for times and random values."""
    items = api.get(f"{MESSAGES}?drafts=true").json["items"]
    return [{name: item.get(name) for name in ("externalId", "content", "revision", "status")} for item in items]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_lost_reply_changes_nothing(api: Api, name: str) -> None:
    expected: Any = None
    for call in range(1, MOST_CALLS):
        one = Api.of(f"{api.caller.tenant}-{call}")
        assert one.post("/v1/conversations", NEW).status == 201
        prepare(one, name)
        with faults.losing_reply(call) as loss:
            answer = put(one, **REQUESTS[name])
        assert answer.status in (200, 201), answer.json
        outcome = (answer.status, shown(one))
        expected = expected or outcome
        assert outcome == expected
        if not loss.came:
            return
    pytest.fail("the request never ended")


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_after_a_crash_the_same_request_comes_to_the_same(api: Api, name: str, moment: str) -> None:
    expected: Any = None
    for call in range(1, MOST_CALLS):
        one = Api.of(f"{api.caller.tenant}-{call}")
        assert one.post("/v1/conversations", NEW).status == 201
        prepare(one, name)
        with crashes.dying(moment, call) as death:
            put(one, **REQUESTS[name])
        answer = put(one, **REQUESTS[name])
        assert answer.status in (200, 201), answer.json
        outcome = (shown(one), one.get(f"{CHAT}/verify").json["messageCount"])
        if not death.came:
            assert outcome == expected
            return
        expected = expected or outcome
        assert outcome == expected
    pytest.fail("the request never ended")


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_a_draft_that_runs_out_is_kept_once_even_if_its_function_dies(
    api: Api, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in range(1, MOST_CALLS):
        one = Api.of(f"{api.caller.tenant}-{call}")
        assert one.post("/v1/conversations", NEW).status == 201
        put(one, LONG, onExpiry="keep")
        timers = [
            item for item in items_of(one.caller.tenant, settings().state_table) if "DRAFTEND#" in item["sk"]["S"]
        ]
        keys = [{"pk": item["pk"], "sk": item["sk"]} for item in timers]
        monkeypatch.setattr(ending, "now_ms", lambda: now_ms() + 10 * 3_600_000)
        with crashes.dying(moment, call) as death:
            end(*keys)
        assert end(*keys) == {"batchItemFailures": []}
        assert (contents(one), rest_of(one)) == ([LONG], [])
        if not death.came:
            return
    pytest.fail("the function never ended")


def test_a_draft_that_is_completed_while_it_runs_out_is_one_message(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(1, MOST_CALLS):
        one = Api.of(f"{api.caller.tenant}-{at}")
        assert one.post("/v1/conversations", NEW).status == 201
        put(one, LONG, onExpiry="keep")
        ending_it, completing_it = partial(run_out, one, monkeypatch), partial(put, one, " The end.", completed=True)
        _, answer, was_held = held(ending_it, at, completing_it)
        assert answer.status == 201
        stored = contents(one)
        assert stored in ([f"{LONG} The end."], [LONG, f"{LONG} The end."])
        assert [message["content"] for message in one.get(MESSAGES).json["items"]] == [f"{LONG} The end."]
        assert rest_of(one) == []
        if not was_held:
            return
    pytest.fail("the function never ended")


SECRET = "xylophone"
GOING = {
    "an erasure": (lambda api: api.delete(CHAT), (410,)),
    "a redaction": (lambda api: api.post(f"{MESSAGES}/msg-001/redact", {"reason": "private"}), (410,)),
}
SAYING: dict[str, dict[str, Any]] = {
    "more": {"content": f" {SECRET}" * 20},
    "replaced": {"content": f"{SECRET} " * 20, "replace": True},
    "completed": {"content": f" {SECRET}" * 20, "completed": True},
}


@pytest.mark.parametrize("saying", SAYING)
@pytest.mark.parametrize("going", GOING)
@pytest.mark.parametrize("first", ["saying", "going"])
def test_no_word_is_left_of_what_is_said_while_it_goes(api: Api, saying: str, going: str, first: str) -> None:
    remove, refused = GOING[going]
    for at in range(1, MOST_CALLS):
        one = Api.of(f"{api.caller.tenant}-{at}")
        assert one.post("/v1/conversations", NEW).status == 201
        part = {"role": "assistant", "content": SECRET, "externalId": "reply", "status": "incomplete"}
        assert one.post(MESSAGES, part).status == 201
        if saying != "completed":
            assert put(one, f" {SECRET}").status == 200
        say, go = partial(put, one, **SAYING[saying]), partial(remove, one)
        pair = (say, go) if first == "saying" else (go, say)
        *answers, was_held = held(pair[0], at, pair[1])
        said, gone = answers if first == "saying" else answers[::-1]
        assert gone.status in (200, 202)
        assert said.status in (200, 201, *refused), said.json
        crashes.let_streams_finish(one.caller.tenant)
        left = [
            (item["pk"]["S"], item["sk"]["S"])
            for table in (settings().ledger_table, settings().state_table)
            for item in items_of(one.caller.tenant, table)
            if SECRET in repr(item)
        ]
        assert left == []
        if not was_held:
            return
    pytest.fail("the request never ended")
