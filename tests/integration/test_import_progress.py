"""Imports that one request has no time for: sent again, each goes on where it came to, whatever happened meanwhile."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from annals.conversations import importing
from annals.database.dynamodb import client
from tests.support.api import Api, Reply

pytestmark = pytest.mark.usefixtures("ministack")

PEOPLE = {"userId": "ada", "memorySpaceId": "home"}


def many(count: int, words: str = "hello") -> str:
    """The lines of so many small conversations."""
    lines: list[dict[str, Any]] = []
    for number in range(count):
        own = {"conversationId": f"small-{number}"}
        lines.append({"type": "conversation", "conversationType": "user-agent", "participants": PEOPLE, **own})
        lines += ({"type": "message", "role": "user", "content": content, **own} for content in (words, "2"))
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def bring(api: Api, text: str, query: str = "") -> Reply:
    return api.post(f"/v1/conversations/import?{query}", text, content_type="application/x-ndjson")


def counts(answer: Reply) -> dict[str, tuple[int, int]]:
    assert answer.status == 200, answer.body
    return {each["conversationId"]: (each["imported"], each["skipped"]) for each in answer.json["conversations"]}


def contents(api: Api, conversation_id: str) -> list[str]:
    items = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc").json["items"]
    return [item["content"] for item in items]


class Clock:
    """Each look at it takes a while."""

    def __init__(self, step_s: float) -> None:
        self.now = 0.0
        self.step_s = step_s

    def monotonic(self) -> float:
        self.now += self.step_s
        return self.now


def test_an_import_that_has_no_time_left_goes_on_where_it_came_to(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = many(350)
    monkeypatch.setattr(importing, "time", Clock(importing.BUDGET_S / 1.5))
    done: list[int] = []
    for _ in range(20):
        answer = bring(api, lines)
        if answer.status == 200:
            break
        assert answer.problem == (503, "IMPORT_UNFINISHED", None)
        assert answer.headers["retry-after"]
        assert answer.json["progress"]["total"] == 350
        done.append(answer.json["progress"]["done"])
    assert done == sorted(done)
    assert len(done) > 2
    assert set(counts(answer).values()) == {(2, 0)}
    assert len(counts(answer)) == 350
    monkeypatch.undo()
    assert set(counts(bring(api, lines)).values()) == {(0, 2)}
    assert all(contents(api, f"small-{number}") == ["hello", "2"] for number in (0, 99, 100, 349))


@pytest.mark.parametrize("query", ["skipBroken=true", "skipBroken=true&dryRun=true"])
def test_what_is_left_out_is_still_named_when_an_import_went_on_several_times(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    bring(api, many(150, "other"))
    monkeypatch.setattr(importing, "time", Clock(importing.BUDGET_S / 1.5))
    tries = [answer for answer in (bring(api, many(350), query) for _ in range(12)) if answer.status == 200][:1]
    monkeypatch.undo()
    [answer] = tries
    broken = answer.json["broken"]
    assert {each["code"] for each in broken} == {"CONVERSATION_DIFFERS"}
    assert [each["conversationId"] for each in broken] == [f"small-{number}" for number in range(150)]
    assert [each["place"] for each in broken[:2]] == ["line 1", "line 4"]
    assert len(counts(answer)) == 200
    assert len(api.get("/v1/conversations?limit=1000").json["items"]) == (150 if "dryRun" in query else 350)


def test_the_progress_of_one_import_is_not_another_s(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "time", Clock(importing.BUDGET_S / 1.5))
    for _ in range(6):
        bring(api, many(150))
    monkeypatch.undo()
    assert bring(api, many(150, "other")).problem[:2] == (409, "CONVERSATION_DIFFERS")
    assert bring(Api.of(f"{api.caller.tenant}-else"), many(150)).status == 200


def test_an_import_that_dies_in_the_middle_is_completed_by_the_next(api: Api) -> None:
    class Died(BaseException):
        """The process is gone."""

    writes = iter(range(1, 1000))

    def die(**_: object) -> None:
        if next(writes) > 60:
            raise Died

    client().meta.events.register("before-call.dynamodb.TransactWriteItems", die)
    try:
        with pytest.raises(Died):
            bring(api, many(150))
    finally:
        client().meta.events.unregister("before-call.dynamodb.TransactWriteItems", die)
    results = counts(bring(api, many(150)))
    assert set(results.values()) == {(0, 2), (2, 0)}
    assert all(contents(api, name) == ["hello", "2"] for name in list(results)[::10])


def test_two_equal_imports_at_once_make_each_conversation_once(api: Api) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: counts(bring(api, many(120))), range(2)))
    taken = [sum(results[name][0] for results in both) for name in both[0]]
    assert taken == [2] * 120
    assert len(api.get("/v1/conversations?limit=1000").json["items"]) == 120


def test_what_is_there_as_a_whole_is_known_by_reads_of_many_at_once(api: Api) -> None:
    lines = many(150)
    bring(api, lines)
    operations: list[str] = []
    client().meta.events.register("before-call.dynamodb", lambda model, **_: operations.append(model.name))
    try:
        assert set(counts(bring(api, lines)).values()) == {(0, 2)}
    finally:
        client().meta.events.unregister("before-call.dynamodb")
    assert len(operations) < 150 / 5
    assert "Query" not in operations


def test_of_many_conversations_the_one_that_differs_is_refused_and_named(api: Api) -> None:
    bring(api, many(150))
    lines = many(150).splitlines()
    lines[3 * 120 + 2] = lines[3 * 120 + 2].replace('"content": "2"', '"content": "3"')
    answer = bring(api, "\n".join(lines))
    assert answer.problem[:2] == (409, "CONVERSATION_DIFFERS")
    assert "small-120" in answer.json["detail"]
    other = many(150).replace('"ada"', '"bo"')
    assert bring(api, other).problem[:2] == (409, "CONVERSATION_ALREADY_EXISTS")


def test_what_was_erased_redacted_or_went_on_is_compared_like_any_other(api: Api) -> None:
    lines = many(4)
    bring(api, lines)
    ok = {200, 201}
    assert api.post("/v1/conversations/small-1/messages", {"role": "user", "content": "3"}).status in ok
    assert api.post("/v1/conversations/small-2/messages/msg-001/redact", {"reason": "why"}).status in ok
    assert set(counts(bring(api, lines)).values()) == {(0, 2)}
    assert contents(api, "small-1") == ["hello", "2", "3"]
    assert api.delete("/v1/conversations/small-3").status in ok
    assert bring(api, lines).problem[:2] == (410, "CONVERSATION_ERASED")
