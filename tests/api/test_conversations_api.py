"""Making and reading conversations."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, ERASURE
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")

PARTICIPANTS = {"userId": "ada", "memorySpaceId": "work"}
USER_AGENT = {"type": "user-agent", "participants": PARTICIPANTS}
AGENTS = {"type": "agent-agent", "participants": {"agent1": "planner", "agent2": "critic"}}
MANY = {"€": [1, 2.5, {"a": None}], "snake_case": True, "camelCase": "x", "_leading": "", "Ω\0": -0.0, "$in": {}}


def _erase(api: Api, conversation_id: str) -> None:
    append(api.caller.tenant, conversation_id, [NewRecord(ERASURE, b"{}")], state=ERASED)


def test_a_new_conversation_gets_an_id_and_has_no_messages(api: Api) -> None:
    made = api.post("/v1/conversations", USER_AGENT)
    assert made.status == 201
    assert made.json["conversationId"].startswith("conv-")
    assert (made.json["messageCount"], made.json["version"], made.json["status"]) == (0, 1, "active")
    assert made.json["participants"] == PARTICIPANTS
    assert made.json["lastMessageAt"] is None
    assert made.headers["etag"] == '"1"'


def test_two_conversations_without_ids_are_two(api: Api) -> None:
    ids = {api.post("/v1/conversations", USER_AGENT).json["conversationId"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("conversation_id", ["mine", "a b", "ü", "x#C#y", "100%", "%41", "😀" * 128])
def test_an_id_of_the_caller_s_is_kept(api: Api, conversation_id: str) -> None:
    made = api.post("/v1/conversations", {**USER_AGENT, "conversationId": conversation_id})
    assert (made.status, made.json["conversationId"]) == (201, conversation_id)
    assert api.get(f"/v1/conversations/{quote(conversation_id, safe='')}").json == made.json


def test_an_id_is_given_once(api: Api) -> None:
    named = {**USER_AGENT, "conversationId": "mine"}
    api.post("/v1/conversations", named)
    again = api.post("/v1/conversations", named)
    assert again.problem == (409, "CONVERSATION_ALREADY_EXISTS", "conversationId")


def test_an_erased_id_is_never_given_again(api: Api) -> None:
    named = {**USER_AGENT, "conversationId": "mine"}
    api.post("/v1/conversations", named)
    _erase(api, "mine")
    assert api.post("/v1/conversations", named).problem[:2] == (410, "CONVERSATION_ERASED")
    assert api.get("/v1/conversations/mine").problem[:2] == (410, "CONVERSATION_ERASED")


def _with(**participants: Any) -> dict[str, Any]:
    return {"type": "user-agent", "participants": participants}


def _agents(**participants: Any) -> dict[str, Any]:
    return {"type": "agent-agent", "participants": participants}


SPACE = {"memorySpaceId": "work"}
MISSING, BAD_ID, UNFIT = "MISSING_REQUIRED_FIELD", "INVALID_ID_FORMAT", "INVALID_PARTICIPANTS"

REFUSALS: list[tuple[dict[str, Any], str, str | None]] = [
    (_with(userId="ada"), MISSING, "participants.memorySpaceId"),
    (_with(userId="ada", memorySpaceId=" "), MISSING, "participants.memorySpaceId"),
    (_with(userId="", memorySpaceId="work"), MISSING, "participants.userId"),
    ({"type": "user-agent"}, MISSING, "participants"),
    ({"participants": PARTICIPANTS}, MISSING, "type"),
    ({**USER_AGENT, "type": "bad"}, "INVALID_TYPE", "type"),
    ({**USER_AGENT, "type": ["user-agent"]}, "INVALID_TYPE", "type"),
    ({**USER_AGENT, "conversationId": "a\nb"}, BAD_ID, "conversationId"),
    ({**USER_AGENT, "conversationId": "x" * 129}, BAD_ID, "conversationId"),
    ({**USER_AGENT, "conversationId": "search"}, BAD_ID, "conversationId"),
    ({**USER_AGENT, "conversationId": "by-participants"}, BAD_ID, "conversationId"),
    ({**USER_AGENT, "conversationId": 7}, "INVALID_FORMAT", "conversationId"),
    (_with(**SPACE), UNFIT, "participants"),
    (_with(**PARTICIPANTS, agent1="a"), UNFIT, "participants"),
    (_agents(agent1="a"), UNFIT, "participants"),
    (_agents(agents=["a"]), UNFIT, "participants"),
    (_agents(agents=["a", "b", "c"]), UNFIT, "participants"),
    (_agents(agents=["a", "b"], agent1="a"), UNFIT, "participants"),
    (_agents(agent1="a", agent2="b", userId="u"), UNFIT, "participants"),
    (_agents(agent1="a", agent2="a"), "DUPLICATE_VALUES", "participants"),
    (_agents(agents=["a", "a"]), "DUPLICATE_VALUES", "participants"),
    ({**USER_AGENT, "colour": "red"}, "UNKNOWN_FIELD", "colour"),
    (_with(**PARTICIPANTS, colour="red"), "UNKNOWN_FIELD", "participants.colour"),
    ({**USER_AGENT, "tenant": "other"}, "UNKNOWN_FIELD", "tenant"),
    ({**USER_AGENT, "metadata": []}, "INVALID_FORMAT", "metadata"),
]


@pytest.mark.parametrize(("body", "code", "field"), REFUSALS)
@pytest.mark.parametrize("route", [("POST", "/v1/conversations"), ("PUT", "/v1/conversations/by-participants")])
def test_a_conversation_that_cannot_be_is_refused_by_field(
    api: Api, route: tuple[str, str], body: dict[str, Any], code: str, field: str | None
) -> None:
    if route[0] == "PUT" and "conversationId" in body:
        assert api.send(*route, body).problem == (422, "INVALID_FORMAT", "conversationId")
    else:
        assert api.send(*route, body).problem == (422, code, field)


def test_two_agents_may_be_named_either_way(api: Api) -> None:
    listed = api.post("/v1/conversations", _agents(agents=["planner", "critic"])).json
    assert listed["participants"] == AGENTS["participants"]


def test_an_unknown_conversation_is_not_found(api: Api) -> None:
    assert api.get("/v1/conversations/none").problem == (404, "CONVERSATION_NOT_FOUND", None)


def _same_refusal(one: Any, other: Any) -> bool:
    return {**one.json, "requestId": ""} == {**other.json, "requestId": ""}


def test_what_another_tenant_or_space_holds_looks_like_nothing_at_all(api: Api) -> None:
    api.post("/v1/conversations", {**USER_AGENT, "conversationId": "mine"})
    unknown = Api.of("nobody").get("/v1/conversations/mine")
    for stranger in (Api.of("another"), api.limited(spaces={"home"}), api.limited(spaces=set())):
        seen = stranger.get("/v1/conversations/mine")
        assert seen.problem == (404, "CONVERSATION_NOT_FOUND", None)
        assert _same_refusal(seen, unknown)
    assert api.limited(spaces={"work"}).get("/v1/conversations/mine").status == 200


def test_a_conversation_is_not_made_in_a_space_that_is_not_the_caller_s(api: Api) -> None:
    home = api.limited(spaces={"home"})
    for send in (
        lambda: home.post("/v1/conversations", USER_AGENT),
        lambda: home.put("/v1/conversations/by-participants", USER_AGENT),
    ):
        assert send().status == 404


def test_metadata_come_back_exactly(api: Api) -> None:
    made = api.post("/v1/conversations", {**USER_AGENT, "metadata": MANY}).json
    assert made["metadata"] == MANY
    assert api.get(f"/v1/conversations/{made['conversationId']}").json["metadata"] == MANY


def test_metadata_over_the_limit_are_refused_and_nothing_is_made(api: Api) -> None:
    large = {**USER_AGENT, "conversationId": "mine", "metadata": {"x": "y" * 131_072}}
    assert api.post("/v1/conversations", large).problem == (413, "REQUEST_TOO_LARGE", "metadata")
    assert api.get("/v1/conversations/mine").status == 404
    fitting = {**large, "metadata": {"x": "y" * 131_000}}
    assert api.post("/v1/conversations", fitting).status == 201


def test_a_patch_merges_and_counts_the_version_up(api: Api) -> None:
    api.post("/v1/conversations", {**USER_AGENT, "conversationId": "mine", "metadata": {"a": 1, "b": {"c": 2}}})
    patched = api.patch("/v1/conversations/mine", {"metadata": {"a": None, "b": {"_d": 3}, "snake_case": []}})
    assert patched.json["metadata"] == {"b": {"c": 2, "_d": 3}, "snake_case": []}
    assert (patched.json["version"], patched.headers["etag"]) == (2, '"2"')
    assert api.get("/v1/conversations/mine").json == patched.json


def test_a_patch_of_an_old_version_is_refused_with_the_current_one(api: Api) -> None:
    api.post("/v1/conversations", {**USER_AGENT, "conversationId": "mine"})
    assert api.patch("/v1/conversations/mine", {"metadata": {"a": 1}}, if_match='"1"').status == 200
    stale = api.patch("/v1/conversations/mine", {"metadata": {"a": 2}}, if_match='"1"')
    assert stale.problem == (412, "PRECONDITION_FAILED", "If-Match")
    assert stale.json["current"] == 2
    assert api.get("/v1/conversations/mine").json["metadata"] == {"a": 1}


def test_a_patch_over_the_limit_is_refused_and_changes_nothing(api: Api) -> None:
    api.post("/v1/conversations", {**USER_AGENT, "conversationId": "mine", "metadata": {"x": "y" * 131_000}})
    more = api.patch("/v1/conversations/mine", {"metadata": {"z": "y" * 100}})
    assert more.problem == (413, "REQUEST_TOO_LARGE", "metadata")
    assert api.get("/v1/conversations/mine").json["version"] == 1


@pytest.mark.parametrize("body", [USER_AGENT, AGENTS, _with(agentId="bot", participantId="p", **SPACE)])
def test_participants_share_one_conversation(api: Api, body: dict[str, Any]) -> None:
    first = api.put("/v1/conversations/by-participants", body)
    second = api.put("/v1/conversations/by-participants", body)
    assert (first.status, second.status) == (201, 200)
    assert first.json["conversationId"] == second.json["conversationId"]


def test_the_order_of_two_agents_does_not_matter(api: Api) -> None:
    first = api.put("/v1/conversations/by-participants", _agents(agent1="a", agent2="b"))
    second = api.put("/v1/conversations/by-participants", _agents(agents=["b", "a"]))
    assert first.json["conversationId"] == second.json["conversationId"]


def test_other_participants_have_another_conversation(api: Api) -> None:
    others = [USER_AGENT, _with(userId="ada", memorySpaceId="home"), _with(userId="bob", **SPACE), AGENTS]
    ids = {api.put("/v1/conversations/by-participants", body).json["conversationId"] for body in others}
    ids.add(Api.of("another").put("/v1/conversations/by-participants", USER_AGENT).json["conversationId"])
    assert len(ids) == 5


def test_participants_get_another_conversation_once_theirs_is_erased(api: Api) -> None:
    first = api.put("/v1/conversations/by-participants", USER_AGENT).json["conversationId"]
    _erase(api, first)
    second = api.put("/v1/conversations/by-participants", USER_AGENT)
    assert second.status == 201
    assert second.json["conversationId"] != first


def test_participants_with_the_longest_ids_have_a_conversation(api: Api) -> None:
    longest = _with(**dict.fromkeys(("userId", "agentId", "participantId", "memorySpaceId"), "#😀" * 64))
    assert api.put("/v1/conversations/by-participants", longest).status == 201
    assert api.put("/v1/conversations/by-participants", longest).status == 200


def test_making_a_conversation_again_with_the_same_key_gives_the_first_answer(api: Api) -> None:
    first = api.post("/v1/conversations", USER_AGENT, idempotency_key="k")
    api.post(f"/v1/conversations/{first.json['conversationId']}/messages", {"role": "user", "content": "hi"})
    again = api.post("/v1/conversations", USER_AGENT, idempotency_key="k")
    assert (again.status, again.json) == (201, first.json)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")


def test_the_same_key_with_another_conversation_is_refused(api: Api) -> None:
    api.post("/v1/conversations", USER_AGENT, idempotency_key="k")
    other = api.post("/v1/conversations", AGENTS, idempotency_key="k")
    assert other.problem == (409, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = api.post("/v1/conversations", USER_AGENT, idempotency_key=key)
    assert answer.problem == (422, "INVALID_FORMAT", "Idempotency-Key")
