"""Changes that are sent again with their Idempotency-Key: PATCH and PUT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from annals.dynamodb import client
from annals.settings import settings
from tests.support.api import Api, Reply

pytestmark = pytest.mark.usefixtures("moto")

PARTICIPANTS = {"userId": "ada", "memorySpaceId": "work"}


@dataclass(frozen=True)
class Change:
    """A kind of change: how it is asked for, with what, with what else, and where its outcome is read."""

    send: Callable[..., Reply]
    path: str
    said: dict[str, Any]
    other: dict[str, Any]

    def __call__(self, said: dict[str, Any] | None = None, **headers: str) -> Reply:
        return self.send(self.path, self.said if said is None else said, **headers)


def of_conversation(api: Api) -> Change:
    made = {"conversationId": "conv-1", "type": "user-agent", "participants": PARTICIPANTS, "metadata": {"a": 0}}
    api.post("/v1/conversations", made)
    return Change(api.patch, "/v1/conversations/conv-1", {"metadata": {"a": 1}}, {"metadata": {"b": 2}})


def of_space(api: Api) -> Change:
    api.put("/v1/spaces/work", {"name": "Work"})
    return Change(api.put, "/v1/spaces/work", {"name": "Works"}, {"participants": [{"participantId": "ada"}]})


CHANGES = [of_conversation, of_space]


@pytest.fixture(params=CHANGES, ids=lambda change: change.__name__)
def change(api: Api, request: pytest.FixtureRequest) -> Change:
    """A change of something that there is."""
    made: Change = request.param(api)
    return made


def test_a_change_sent_again_is_told_the_first_answer_and_changes_nothing(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    again = change(idempotency_key="k")
    assert (again.status, again.json, again.headers["etag"]) == (first.status, first.json, first.headers["etag"])
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert api.get(change.path).json["version"] == first.json["version"]


def test_a_change_sent_again_behind_another_one_leaves_that_one(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    later = change(change.other, idempotency_key="k2")
    again = change(idempotency_key="k")
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert api.get(change.path).headers["etag"] == later.headers["etag"]


def test_a_change_with_an_expected_version_is_known_again_by_its_key(change: Change) -> None:
    current = change().headers["etag"].strip('"')
    first = change(idempotency_key="k", if_match=current)
    again = change(idempotency_key="k", if_match=current)
    assert (first.status, again.json, again.headers["idempotent-replayed"]) == (200, first.json, "true")
    assert change(idempotency_key="k2", if_match=current).status == 412


def test_another_change_under_the_same_key_is_refused(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    assert change(change.other, idempotency_key="k").problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert api.get(change.path).json["version"] == first.json["version"]


def test_another_callers_key_is_another_key_for_changes_too(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    other = replace(change, send=getattr(Api(replace(api.caller, key_id="key-2")), change.send.__name__))
    second = other(idempotency_key="k")
    assert (second.status, second.json["version"]) == (200, first.json["version"] + 1)


def test_a_refused_change_leaves_its_key_free(change: Change) -> None:
    assert change(idempotency_key="k", if_match="99").status == 412
    assert "idempotent-replayed" not in change(idempotency_key="k").headers


def test_a_blank_key_is_refused_and_nothing_is_changed(api: Api, change: Change) -> None:
    before = api.get(change.path).headers.get("etag")
    assert change(idempotency_key=" ").problem == (422, "INVALID_FORMAT", "Idempotency-Key")
    assert api.get(change.path).headers.get("etag") == before


def test_a_description_of_a_space_sent_again_is_told_that_it_was_the_first(api: Api) -> None:
    answers = [api.put("/v1/spaces/work", {"name": "Work"}, idempotency_key="k") for _ in range(2)]
    assert [(answer.status, answer.json["version"]) for answer in answers] == [(201, 1), (201, 1)]
    assert answers[1].headers["idempotent-replayed"] == "true"


def test_an_erasure_takes_along_what_was_kept_of_a_change(api: Api) -> None:
    change = of_conversation(api)
    change(idempotency_key="k")
    api.delete("/v1/conversations/conv-1")
    items = client().scan(TableName=settings().state_table)["Items"]
    assert [item["sk"] for item in items if item["pk"]["S"] == f"T#{api.caller.tenant}#C#conv-1"] == []
    assert change(idempotency_key="k").problem[:2] == (410, "CONVERSATION_ERASED")


def test_asking_for_a_conversation_by_its_participants_again_is_told_that_it_was_made(api: Api) -> None:
    asked = {"type": "user-agent", "participants": PARTICIPANTS}
    path = "/v1/conversations/by-participants"
    first = api.put(path, asked, idempotency_key="k")
    api.patch(f"/v1/conversations/{first.json['conversationId']}", {"metadata": {"a": 1}})
    again = api.put(path, asked, idempotency_key="k")
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    found = [api.put(path, asked, idempotency_key="k2") for _ in range(2)]
    assert [(answer.status, answer.headers.get("idempotent-replayed")) for answer in found] == [
        (200, None),
        (200, "true"),
    ]
    other = {**asked, "participants": {**PARTICIPANTS, "userId": "bob"}}
    for key in ("k", "k2"):
        assert api.put(path, other, idempotency_key=key).problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
