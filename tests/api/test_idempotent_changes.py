"""Changes that are sent again with their Idempotency-Key: PATCH and PUT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from annals.database.dynamodb import client, from_item
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api, Reply

pytestmark = pytest.mark.usefixtures("moto")

FACT = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}
PARTICIPANTS = {"userId": "ada", "memorySpaceId": "work"}


@dataclass(frozen=True)
class Change:
    """A kind of change: whose, how it is asked for, what it says, what another one says, where its outcome is read."""

    api: Api
    method: str
    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    read_at: str = ""

    def __call__(self, body: dict[str, Any] | None = None, of: Api | None = None, **headers: str) -> Reply:
        return (of or self.api).send(self.method, self.path, self.body if body is None else body, **headers)

    def read(self) -> Reply:
        """What there is now."""
        return self.api.get(self.read_at or self.path)


def of_conversation(api: Api) -> Change:
    made = {"conversationId": "conv-1", "type": "user-agent", "participants": PARTICIPANTS, "metadata": {"a": 0}}
    api.post("/v1/conversations", made)
    return Change(api, "PATCH", "/v1/conversations/conv-1", {"metadata": {"a": 1}}, {"metadata": {"b": 2}})


def of_space(api: Api) -> Change:
    api.put("/v1/spaces/work", {"name": "Work"})
    return Change(api, "PUT", "/v1/spaces/work", {"name": "Works"}, {"participants": [{"participantId": "ada"}]})


def of_memory(api: Api) -> Change:
    made = api.post("/v1/memories", {"memorySpaceId": "work", "userId": "ada", "content": "Ada lives in Rome."})
    path = f"/v1/memories/{made.json['memoryId']}"
    return Change(api, "PATCH", path, {"content": "Ada lives in Paris."}, {"metadata": {"a": 1}})


def of_message(api: Api) -> Change:
    of_conversation(api)
    api.post("/v1/conversations/conv-1/messages", {"role": "user", "content": "I live in Rome."})
    return Change(api, "PATCH", "/v1/memories/mem:conv-1:1", {"content": "Ada lives in Paris."}, {"importance": 90})


def of_user_memory(api: Api) -> Change:
    made = api.post("/v1/users/ada/memories", {"memory": "Lives in Rome."})
    path = f"/v1/memories/{made.json['memoryId']}"
    patch = f"/v1/users/ada/memories/{made.json['memoryId']}"
    return Change(api, "PATCH", patch, {"memory": "Lives in Paris."}, {"topics": ["home"]}, path)


CHANGES = [of_conversation, of_space, of_memory, of_message, of_user_memory]


def items_of(api: Api) -> list[dict[str, Any]]:
    """All that the state table holds of the tenant."""
    items = map(from_item, client().scan(TableName=settings().state_table)["Items"])
    return [item for item in items if item["pk"].startswith(f"T#{api.caller.tenant}#")]


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
    assert change.read().json["version"] == first.json["version"]


def test_a_change_sent_again_behind_another_one_leaves_that_one(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    later = change(change.other, idempotency_key="k2")
    again = change(idempotency_key="k")
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert change.read().headers["etag"] == later.headers["etag"]


def test_a_change_with_an_expected_version_is_known_again_by_its_key(change: Change) -> None:
    current = change().headers["etag"].strip('"')
    first = change(idempotency_key="k", if_match=current)
    again = change(idempotency_key="k", if_match=current)
    assert (first.status, again.json, again.headers["idempotent-replayed"]) == (200, first.json, "true")
    assert change(idempotency_key="k2", if_match=current).status == 412


def test_another_change_under_the_same_key_is_refused(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    assert change(change.other, idempotency_key="k").problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    assert change.read().json["version"] == first.json["version"]


def test_another_callers_key_is_another_key_for_changes_too(api: Api, change: Change) -> None:
    first = change(idempotency_key="k")
    second = change(idempotency_key="k", of=Api(replace(api.caller, key_id="key-2")))
    assert (second.status, second.json["version"]) == (200, first.json["version"] + 1)


def test_a_refused_change_leaves_its_key_free(change: Change) -> None:
    assert change(idempotency_key="k", if_match="99").status == 412
    assert "idempotent-replayed" not in change(idempotency_key="k").headers


def test_a_blank_key_is_refused_and_nothing_is_changed(api: Api, change: Change) -> None:
    before = change.read().headers.get("etag")
    assert change(idempotency_key=" ").problem == (422, "INVALID_FORMAT", "Idempotency-Key")
    assert change.read().headers.get("etag") == before


@pytest.mark.parametrize("made", [of_memory, of_message, of_user_memory])
def test_a_deletion_takes_along_what_was_kept_of_changes(api: Api, made: Any) -> None:
    change = made(api)
    change(idempotency_key="k")
    api.delete(change.path)
    left = [item for item in items_of(api) if item["sk"].startswith(("I#", "V#"))]
    assert left == []
    assert change(idempotency_key="k").problem[:2] == (404, "MEMORY_NOT_FOUND")


def test_a_redaction_takes_along_what_was_kept_of_a_messages_changes(api: Api) -> None:
    of_message(api)(idempotency_key="k")
    api.post("/v1/conversations/conv-1/messages/msg-001/redact", {"reason": "asked"})
    assert [item for item in items_of(api) if item["sk"].startswith(("I#", "V#"))] == []


def test_a_version_that_is_not_kept_any_more_is_told_as_it_is_now(api: Api, setting: Setting) -> None:
    setting("MEMORY_VERSIONS", "1")
    change = of_memory(api)
    change(idempotency_key="k")
    for number in range(3):
        change({"content": str(number)})
    again = change(idempotency_key="k")
    assert (again.json["content"], again.headers["idempotent-replayed"]) == ("2", "true")


def test_a_memory_restored_again_under_its_key_is_told_so(api: Api) -> None:
    path = of_memory(api).path
    archived = [api.post(f"{path}/archive", idempotency_key="a") for _ in range(2)]
    restored = [api.post(f"{path}/restore", idempotency_key="r") for _ in range(2)]
    for first, again in (archived, restored):
        assert (again.status, again.json, again.headers["idempotent-replayed"]) == (200, first.json, "true")
    assert api.post(f"{path}/restore").problem[:2] == (409, "MEMORY_NOT_ARCHIVED")
    assert api.post(f"{path}/restore", idempotency_key="r2").status == 409


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/v1/memories", {"memorySpaceId": "work", "userId": "a", "content": "A word."}, {"content": "Another."}),
        ("/v1/users/a/memories", {"memory": "A word."}, {"memory": "Another."}),
        ("/v1/facts", {"memorySpaceId": "work", **FACT}, {"fact": "Another."}),
    ],
)
def test_what_is_kept_of_what_was_made_tells_nothing_once_that_is_deleted(
    api: Api, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    made = api.post(path, body, idempotency_key="k")
    assert api.post(path, body, idempotency_key="k").headers["idempotent-replayed"] == "true"
    assert api.post(path, {**body, **other}, idempotency_key="k").problem[1] == "IDEMPOTENCY_KEY_REUSED"
    api.delete(
        f"/v1/{'facts' if 'factId' in made.json else 'memories'}/{made.json.get('factId') or made.json['memoryId']}"
    )
    assert [item for item in items_of(api) if "salt" in repr(item)] == []


def test_one_key_for_memories_of_two_users_is_two_keys(api: Api) -> None:
    first, second = (
        api.post(f"/v1/users/{user}/memories", {"memory": "A word."}, idempotency_key="k") for user in "ab"
    )
    assert (first.status, second.status) == (201, 201)
    assert second.json["userId"] == "b"


def test_a_description_of_a_space_sent_again_is_told_that_it_was_the_first(api: Api) -> None:
    answers = [api.put("/v1/spaces/work", {"name": "Work"}, idempotency_key="k") for _ in range(2)]
    assert [(answer.status, answer.json["version"]) for answer in answers] == [(201, 1), (201, 1)]
    assert answers[1].headers["idempotent-replayed"] == "true"


def test_an_erasure_takes_along_what_was_kept_of_a_change(api: Api) -> None:
    change = of_conversation(api)
    change(idempotency_key="k")
    api.delete("/v1/conversations/conv-1")
    assert [item["sk"] for item in items_of(api) if item["pk"] == f"T#{api.caller.tenant}#C#conv-1"] == []
    assert change(idempotency_key="k").problem[:2] == (410, "CONVERSATION_ERASED")


def test_asking_for_a_conversation_by_its_participants_again_is_told_that_it_was_made(api: Api) -> None:
    body = {"type": "user-agent", "participants": PARTICIPANTS}
    path = "/v1/conversations/by-participants"
    first = api.put(path, body, idempotency_key="k")
    api.patch(f"/v1/conversations/{first.json['conversationId']}", {"metadata": {"a": 1}})
    again = api.put(path, body, idempotency_key="k")
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    answers = [api.put(path, body, idempotency_key="k2") for _ in range(2)]
    assert [(answer.status, answer.headers.get("idempotent-replayed")) for answer in answers] == [
        (200, None),
        (200, "true"),
    ]
    other = {**body, "participants": {**PARTICIPANTS, "userId": "bob"}}
    for key in ("k", "k2"):
        assert api.put(path, other, idempotency_key=key).problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
