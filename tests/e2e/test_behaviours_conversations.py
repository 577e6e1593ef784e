"""Conversations over HTTP: made, found, changed, listed and erased, and every refusal on the way."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.asking import (
    AGENTS,
    USER,
    at_once,
    create,
    eventually,
    history,
    key_of,
    listed,
    pages,
    path_of,
    problem,
    say,
    say_each,
    unique,
    verified,
)
from tests.e2e.servers import Server

NEW = {"type": "user-agent", "participants": USER}
HARD_IDS = [
    "x#C#y",
    "..x",
    "%2e%2e",
    "%",
    "a b",
    "a+b",
    "é",
    "日本",
    "a%20b",
    "a?b=c",
    "a&b",
    "'\"<>",
    "👩",
    "T#local#C#x",
]


def test_a_new_conversation_has_an_id_of_its_own_and_no_messages(own: httpx.Client) -> None:
    made = own.post("/v1/conversations", json=NEW)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    conversation = made.json()
    assert conversation["conversationId"].startswith("conv-")
    assert (conversation["messageCount"], conversation["lastMessageAt"], conversation["status"]) == (0, None, "active")
    assert (conversation["type"], conversation["participants"], conversation["metadata"]) == ("user-agent", USER, {})
    assert conversation["createdAt"] == conversation["updatedAt"]
    assert own.get(path_of(conversation["conversationId"])).json() == conversation


@pytest.mark.parametrize("conversation_id", HARD_IDS)
def test_an_id_of_the_callers_is_kept_and_found_again(own: httpx.Client, conversation_id: str) -> None:
    assert create(own, conversationId=conversation_id) == conversation_id
    say(own, conversation_id, "hello")
    assert own.get(path_of(conversation_id)).json()["conversationId"] == conversation_id
    assert [message["content"] for message in history(own, conversation_id)] == ["hello"]
    assert verified(own, conversation_id)["valid"]
    eventually(lambda: listed(own) == [conversation_id])


def test_an_id_of_128_characters_is_kept(own: httpx.Client) -> None:
    assert create(own, conversationId="é" * 128) == "é" * 128
    assert own.get(path_of("é" * 128)).status_code == 200


def test_an_id_is_given_once(own: httpx.Client) -> None:
    create(own, conversationId="one")
    again = own.post("/v1/conversations", json={**NEW, "conversationId": "one"})
    assert problem(again) == (409, "CONVERSATION_ALREADY_EXISTS", "conversationId")


def test_an_id_that_twenty_ask_for_at_once_is_given_once(own: httpx.Client) -> None:
    answers = at_once(20, lambda _: own.post("/v1/conversations", json={**NEW, "conversationId": "one"}))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


def test_an_erased_id_is_never_given_again(own: httpx.Client) -> None:
    create(own, conversationId="one")
    own.delete("/v1/conversations/one")
    assert problem(own.post("/v1/conversations", json={**NEW, "conversationId": "one"}))[:2] == (
        410,
        "CONVERSATION_ERASED",
    )


def test_a_request_to_make_a_conversation_that_was_erased_does_not_bring_it_back(own: httpx.Client) -> None:
    body = {**NEW, "conversationId": "one", "metadata": {"secret": "tulip"}}
    for _ in range(8):  # so that every worker has seen it
        assert own.post("/v1/conversations", json=body, headers={"Idempotency-Key": "k"}).status_code == 201
    own.delete("/v1/conversations/one")
    for _ in range(8):
        again = own.post("/v1/conversations", json=body, headers={"Idempotency-Key": "k"})
        assert problem(again)[:2] == (410, "CONVERSATION_ERASED")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"participants": {"userId": "ada"}}, "MISSING_REQUIRED_FIELD", "participants.memorySpaceId"),
        ({"participants": {**USER, "memorySpaceId": ""}}, "MISSING_REQUIRED_FIELD", "participants.memorySpaceId"),
        ({"participants": {**USER, "memorySpaceId": " \t"}}, "MISSING_REQUIRED_FIELD", "participants.memorySpaceId"),
        ({"participants": {**USER, "userId": " "}}, "MISSING_REQUIRED_FIELD", "participants.userId"),
        ({"participants": {**USER, "userId": 5}}, "INVALID_FORMAT", "participants.userId"),
        ({"participants": {**USER, "userId": ["ada"]}}, "INVALID_FORMAT", "participants.userId"),
        ({"participants": {**USER, "tenant": "x"}}, "UNKNOWN_FIELD", "participants.tenant"),
        ({"participants": []}, "INVALID_FORMAT", "participants"),
        ({"participants": "ada"}, "INVALID_FORMAT", "participants"),
        ({"participants": None}, "INVALID_FORMAT", "participants"),
        ({"participants": {"memorySpaceId": "home"}}, "INVALID_PARTICIPANTS", "participants"),
        ({"participants": {**USER, "agent1": "a"}}, "INVALID_PARTICIPANTS", "participants"),
        ({"participants": {**USER, "agents": ["a", "b"]}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "bad"}, "INVALID_TYPE", "type"),
        ({"type": ""}, "INVALID_TYPE", "type"),
        ({"type": None}, "INVALID_TYPE", "type"),
        ({"type": 1}, "INVALID_TYPE", "type"),
        ({"type": ["user-agent"]}, "INVALID_TYPE", "type"),
        ({"type": {}}, "INVALID_TYPE", "type"),
        ({"conversationId": "a\nb"}, "INVALID_ID_FORMAT", "conversationId"),
        ({"conversationId": "a\u0000b"}, "INVALID_ID_FORMAT", "conversationId"),
        ({"conversationId": "a" * 129}, "INVALID_ID_FORMAT", "conversationId"),
        ({"conversationId": ".."}, "INVALID_ID_FORMAT", "conversationId"),
        ({"conversationId": "count"}, "INVALID_ID_FORMAT", "conversationId"),
        ({"conversationId": ""}, "MISSING_REQUIRED_FIELD", "conversationId"),
        ({"conversationId": 5}, "INVALID_FORMAT", "conversationId"),
        ({"metadata": []}, "INVALID_FORMAT", "metadata"),
        ({"metadata": None}, "INVALID_FORMAT", "metadata"),
        ({"metadata": "x"}, "INVALID_FORMAT", "metadata"),
        ({"tenant": "local"}, "UNKNOWN_FIELD", "tenant"),
        ({"tenantId": "local"}, "UNKNOWN_FIELD", "tenantId"),
        ({"type": "agent-agent", "participants": {"agent1": "a"}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": {"agents": ["a"]}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": {"agents": []}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": {"agents": ["a", "b", "c"]}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": USER}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": {**AGENTS, "userId": "a"}}, "INVALID_PARTICIPANTS", "participants"),
        ({"type": "agent-agent", "participants": {"agent1": "a", "agent2": "a"}}, "DUPLICATE_VALUES", "participants"),
        ({"type": "agent-agent", "participants": {"agents": ["a", "a"]}}, "DUPLICATE_VALUES", "participants"),
    ],
)
def test_a_conversation_that_cannot_be_is_refused_by_field_and_not_made(
    own: httpx.Client, change: dict[str, Any], code: str, field: str
) -> None:
    body = {**NEW, **change}
    assert problem(own.post("/v1/conversations", json=body)) == (422, code, field)
    if "conversationId" not in change:
        assert problem(own.put("/v1/conversations/by-participants", json=body)) == (422, code, field)
    assert own.get("/v1/conversations/count").json() == {"count": 0}


@pytest.mark.parametrize("name", ["type", "participants"])
def test_a_conversation_without_a_required_field_is_refused_by_name(own: httpx.Client, name: str) -> None:
    body = {key: value for key, value in NEW.items() if key != name}
    assert problem(own.post("/v1/conversations", json=body)) == (422, "MISSING_REQUIRED_FIELD", name)


def test_two_agents_may_be_named_either_way(own: httpx.Client) -> None:
    body = {"type": "agent-agent", "participants": {"agents": ["a", "b"], "memorySpaceId": "home"}}
    made = own.post("/v1/conversations", json=body).json()
    assert made["participants"] == {"agent1": "a", "agent2": "b", "memorySpaceId": "home"}


def test_two_agents_need_no_memory_space(own: httpx.Client) -> None:
    body = {"type": "agent-agent", "participants": {"agents": ["a", "b"]}}
    assert own.post("/v1/conversations", json=body).json()["participants"] == {"agent1": "a", "agent2": "b"}


@pytest.mark.parametrize("agent", ["search", "count", "export"])
def test_a_participant_may_be_called_what_a_route_is_called(own: httpx.Client, agent: str) -> None:
    create(own, {"agentId": agent, "memorySpaceId": agent})
    eventually(lambda: len(listed(own, **{"participants.agentId": agent})) == 1)


def test_an_unknown_conversation_is_not_found(own: httpx.Client) -> None:
    assert problem(own.get("/v1/conversations/nowhere"))[:2] == (404, "CONVERSATION_NOT_FOUND")


def test_a_patch_merges_into_the_metadata_and_counts_the_version_up(own: httpx.Client) -> None:
    made = create(own, metadata={"a": 1, "nested": {"x": 1, "y": 2}, "gone": True})
    patched = own.patch(path_of(made), json={"metadata": {"nested": {"y": None, "z": [None]}, "gone": None, "b": 2}})
    assert (patched.status_code, patched.headers["etag"]) == (200, '"2"')
    assert patched.json()["metadata"] == {"a": 1, "nested": {"x": 1, "z": [None]}, "b": 2}
    assert patched.json()["version"] == 2
    assert own.get(path_of(made)).json() == patched.json()


def test_a_patch_of_an_old_version_is_refused_with_the_current_one(own: httpx.Client) -> None:
    made = create(own)
    own.patch(path_of(made), json={"metadata": {"a": 1}}, headers={"If-Match": '"1"'})
    refused = own.patch(path_of(made), json={"metadata": {"a": 2}}, headers={"If-Match": '"1"'})
    assert problem(refused) == (412, "PRECONDITION_FAILED", "If-Match")
    assert refused.json()["current"] == 2
    assert own.get(path_of(made)).json()["metadata"] == {"a": 1}


def test_patches_at_once_all_count(own: httpx.Client) -> None:
    made = create(own)
    answers = at_once(8, lambda n: own.patch(path_of(made), json={"metadata": {f"k{n}": n}}))
    assert {answer.status_code for answer in answers} == {200}
    found = own.get(path_of(made)).json()
    assert (found["version"], found["metadata"]) == (9, {f"k{n}": n for n in range(8)})


def test_of_patches_of_one_version_at_once_one_wins(own: httpx.Client) -> None:
    made = create(own)
    answers = at_once(8, lambda n: own.patch(path_of(made), json={"metadata": {"n": n}}, headers={"If-Match": '"1"'}))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "metadata"),
        ({"metadata": None}, "INVALID_FORMAT", "metadata"),
        ({"metadata": 1}, "INVALID_FORMAT", "metadata"),
        ({"metadata": {}, "status": "sealed"}, "UNKNOWN_FIELD", "status"),
        ({"metadata": {}, "participants": USER}, "UNKNOWN_FIELD", "participants"),
    ],
)
def test_a_patch_of_anything_but_metadata_is_refused(
    own: httpx.Client, body: dict[str, Any], code: str, field: str
) -> None:
    assert problem(own.patch(path_of(create(own)), json=body)) == (422, code, field)


def test_metadata_come_back_exactly(own: httpx.Client) -> None:
    metadata = {
        "camelCase": 1,
        "snake_case": {"inner_key": [1.5, None, {"x": None}]},
        "_leading": "x",
        "with.dot": True,
        "$dollar": 10**30,
        "": "empty",
        "é\u0000": "\u202e",
        "userId": -0.1,
    }
    made = create(own, metadata=metadata)
    assert own.get(path_of(made)).json()["metadata"] == metadata
    patched = own.patch(path_of(made), json={"metadata": {"more_Keys": {"a_b": {"cD": 1e-7}}}})
    assert patched.json()["metadata"] == {**metadata, "more_Keys": {"a_b": {"cD": 1e-7}}}


def test_participants_share_one_conversation(own: httpx.Client) -> None:
    first = own.put("/v1/conversations/by-participants", json=NEW)
    second = own.put("/v1/conversations/by-participants", json=NEW)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_the_order_of_two_agents_does_not_matter(own: httpx.Client) -> None:
    named = [{"agent1": "a", "agent2": "b"}, {"agent1": "b", "agent2": "a"}, {"agents": ["b", "a"]}]
    asked = [{"type": "agent-agent", "participants": {**agents, "memorySpaceId": "home"}} for agents in named]
    made = [own.put("/v1/conversations/by-participants", json=body) for body in asked]
    assert [answer.status_code for answer in made] == [201, 200, 200]
    assert len({answer.json()["conversationId"] for answer in made}) == 1


def test_twenty_who_get_or_create_at_once_share_one_conversation(own: httpx.Client) -> None:
    answers = at_once(20, lambda _: own.put("/v1/conversations/by-participants", json=NEW))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["conversationId"] for answer in answers}) == 1
    eventually(lambda: len(listed(own)) == 1)


def test_a_conversation_to_be_found_by_its_participants_takes_no_id(own: httpx.Client) -> None:
    answer = own.put("/v1/conversations/by-participants", json={**NEW, "conversationId": "mine"})
    assert problem(answer)[::2] == (422, "conversationId")


def test_a_list_shows_the_newest_activity_first(own: httpx.Client) -> None:
    made = [create(own) for _ in range(3)]
    say(own, made[0], "hello")
    eventually(lambda: listed(own) == [made[0], made[2], made[1]])


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"limit": "0"}, "INVALID_RANGE", "limit"),
        ({"limit": "-1"}, "INVALID_RANGE", "limit"),
        ({"limit": "1001"}, "INVALID_RANGE", "limit"),
        ({"limit": "many"}, "INVALID_FORMAT", "limit"),
        ({"limit": ""}, "INVALID_FORMAT", "limit"),
        ({"limit": "1.5"}, "INVALID_FORMAT", "limit"),
        ({"cursor": "x"}, "INVALID_CURSOR", "cursor"),
        ({"cursor": "é"}, "INVALID_CURSOR", "cursor"),
        ({"cursor": "AAAA"}, "INVALID_CURSOR", "cursor"),
        ({"cursor": "x" * 5000}, "INVALID_CURSOR", "cursor"),
        ({"sortBy": "title"}, "INVALID_FORMAT", "sortBy"),
        ({"sortOrder": "up"}, "INVALID_FORMAT", "sortOrder"),
        ({"nope": "1"}, "INVALID_FILTER", "nope"),
        ({"tenant": "local"}, "INVALID_FILTER", "tenant"),
        ({"participants": "ada"}, "INVALID_FILTER", "participants"),
        ({"participants.name": "ada"}, "INVALID_FILTER", "participants.name"),
        ({"metadata": "x"}, "INVALID_FILTER", "metadata"),
        ({"type": "bad"}, "INVALID_TYPE", "type"),
        ({"status": "gone"}, "INVALID_FILTER", "status"),
        ({"messageCount": "-1"}, "INVALID_RANGE", "messageCount"),
        ({"messageCountMin": "x"}, "INVALID_RANGE", "messageCountMin"),
        ({"createdAfter": "yesterday"}, "INVALID_FORMAT", "createdAfter"),
        ({"createdAfter": "2025-01-01T00:00:00"}, "INVALID_FORMAT", "createdAfter"),
        ({"createdAfter": "1714557601", "createdBefore": "1714557600"}, "INVALID_DATE_RANGE", "createdAfter"),
        ({"createdAfter": "1714557600", "createdBefore": "1714557600"}, "INVALID_DATE_RANGE", "createdAfter"),
        (
            {"lastMessageAfter": "1714557600", "lastMessageBefore": "1714557600"},
            "INVALID_DATE_RANGE",
            "lastMessageAfter",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_name(
    own: httpx.Client, query: dict[str, str], code: str, field: str
) -> None:
    assert problem(own.get("/v1/conversations", params=query)) == (422, code, field)


def test_a_cursor_that_was_changed_anywhere_is_refused(own: httpx.Client) -> None:
    for _ in range(2):
        create(own)
    eventually(lambda: len(listed(own)) == 2)
    cursor = own.get("/v1/conversations", params={"limit": 1}).json()["nextCursor"]
    damaged = [cursor[:-1], cursor + "A", cursor.swapcase(), *(_changed(cursor, at) for at in range(0, len(cursor), 7))]
    for each in damaged:
        assert problem(own.get("/v1/conversations", params={"limit": 1, "cursor": each}))[1] == "INVALID_CURSOR", each
    other = own.get("/v1/conversations", params={"limit": 1, "cursor": cursor, "sortBy": "createdAt"})
    assert problem(other)[1] == "INVALID_CURSOR"


def _changed(cursor: str, place: int) -> str:
    return cursor[:place] + ("B" if cursor[place] == "A" else "A") + cursor[place + 1 :]


def test_a_cursor_of_another_tenant_or_of_a_key_of_other_spaces_is_refused(server: Server, api: httpx.Client) -> None:
    tenant = unique("tenant")
    with server.client(key_of(api, tenant)) as own:
        for _ in range(3):
            create(own)
        eventually(lambda: len(listed(own)) == 3)
        cursor = own.get("/v1/conversations", params={"limit": 1}).json()["nextCursor"]
    for key in (key_of(api, unique("other")), key_of(api, tenant, memorySpaces=["elsewhere"])):
        with server.client(key) as other:
            refused = problem(other.get("/v1/conversations", params={"limit": 1, "cursor": cursor}))
            assert refused[:2] == (422, "INVALID_CURSOR")


@pytest.mark.parametrize("sort_by", ["lastMessageAt", "createdAt", "updatedAt", "messageCount"])
def test_a_cursor_walks_every_conversation_once(own: httpx.Client, sort_by: str) -> None:
    made = [create(own) for _ in range(7)]
    eventually(lambda: len(listed(own)) == 7)
    for order in ("asc", "desc"):
        walked = listed(own, limit=2, sortBy=sort_by, sortOrder=order)
        assert (len(walked), set(walked)) == (7, set(made))


def test_erasing_many_needs_a_filter(own: httpx.Client) -> None:
    path = "/v1/conversations/delete-many"
    assert problem(own.post(path, json={})) == (422, "MISSING_REQUIRED_FIELD", "filter")
    assert problem(own.post(path, json={"filter": {}})) == (422, "MISSING_REQUIRED_FIELD", "filter")


def test_a_dry_run_says_what_would_go_and_erases_nothing(own: httpx.Client) -> None:
    made = [create(own, {"userId": user, "memorySpaceId": "home"}) for user in ("ada", "ada", "bob")]
    eventually(lambda: len(listed(own)) == 3)
    asked = {"filter": {"participants": {"userId": "ada"}}, "dryRun": True}
    answer = own.post("/v1/conversations/delete-many", json=asked).json()
    assert (answer["count"], set(answer["conversationIds"]), answer["dryRun"]) == (2, set(made[:2]), True)
    assert {own.get(path_of(each)).status_code for each in made} == {200}


def test_more_than_ten_are_erased_only_when_that_is_confirmed(own: httpx.Client) -> None:
    made = [create(own) for _ in range(11)]
    kept = create(own, {"userId": "bob", "memorySpaceId": "home"})
    say(own, made[0], "hello")
    eventually(lambda: len(listed(own)) == 12)
    asked = {"filter": {"participants": {"userId": "ada"}}}
    refused = own.post("/v1/conversations/delete-many", json=asked)
    assert problem(refused)[:2] == (409, "DELETE_MANY_THRESHOLD_EXCEEDED")
    assert {own.get(path_of(each)).status_code for each in made} == {200}
    answer = own.post("/v1/conversations/delete-many", json={**asked, "confirm": True}).json()
    assert (answer["count"], set(answer["conversationIds"]), answer["dryRun"]) == (11, set(made), False)
    assert {own.get(path_of(each)).status_code for each in made} == {410}
    eventually(lambda: listed(own) == [kept])


def test_ten_are_erased_without_confirmation(own: httpx.Client) -> None:
    made = [create(own) for _ in range(10)]
    eventually(lambda: len(listed(own)) == 10)
    answer = own.post("/v1/conversations/delete-many", json={"filter": {"type": "user-agent"}})
    assert (answer.status_code, answer.json()["count"]) == (200, 10)
    assert {own.get(path_of(each)).status_code for each in made} == {410}


def test_an_erased_conversation_leaves_a_receipt_and_no_trace(own: httpx.Client) -> None:
    made = create(own, metadata={"secret": "tulip"})
    say_each(own, made, "my secret is tulip", "and another", "and a third")
    before = verified(own, made)
    question = {"query": "tulip", "memorySpaceId": "home"}
    eventually(lambda: own.post("/v1/memory/search", json=question).json()["items"])
    answer = own.delete(path_of(made))
    receipt = answer.json()
    assert (answer.status_code, receipt["conversationId"], receipt["status"]) == (200, made, "erased")
    assert receipt["removed"]["messages"] == 3
    assert receipt["removed"]["memories"] == 3
    assert receipt["erasedAt"] >= receipt["begunAt"]
    assert own.get(f"/v1/receipts/{receipt['receiptId']}").json() == receipt
    assert problem(own.get(path_of(made)))[:2] == (410, "CONVERSATION_ERASED")
    after = verified(own, made)
    assert (after["valid"], after["messageCount"], after["headHash"]) == (True, 3, receipt["headHash"])
    assert after["entries"] == before["entries"] + 1
    eventually(lambda: not own.post("/v1/memory/search", json=question).json()["items"])
    eventually(lambda: not listed(own))
    assert own.get("/v1/conversations/count").json() == {"count": 0}
    assert own.post("/v1/conversations/search", json={"query": "tulip"}).json()["items"] == []


def test_nothing_but_verify_answers_of_an_erased_conversation(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "hello")
    own.delete(path_of(made))
    said = {"role": "user", "content": "again"}
    asked: list[tuple[str, str, Any]] = [
        ("GET", path_of(made), None),
        ("PATCH", path_of(made), {"metadata": {}}),
        ("GET", path_of(made, "messages"), None),
        ("POST", path_of(made, "messages"), said),
        ("GET", path_of(made, "messages", "msg-001"), None),
        ("POST", path_of(made, "messages", "get-many"), {"messageIds": ["msg-001"]}),
        ("POST", path_of(made, "messages", "msg-001", "redact"), {"reason": "why"}),
        ("GET", f"{path_of(made, 'context')}?maxTokens=100", None),
        ("GET", path_of(made, "analytics"), None),
        ("POST", path_of(made, "seal"), None),
        ("POST", path_of(made, "archive"), {"before": 1}),
        ("POST", path_of(made, "preamble"), {"content": "x"}),
    ]
    for method, path, body in asked:
        assert problem(own.request(method, path, json=body))[:2] == (410, "CONVERSATION_ERASED"), path


def test_a_message_sent_again_to_an_erased_conversation_is_refused(own: httpx.Client) -> None:
    made = create(own)
    said, key = {"role": "user", "content": "tulip"}, {"Idempotency-Key": "k"}
    for _ in range(8):  # so that every worker has seen it
        assert own.post(path_of(made, "messages"), json=said, headers=key).status_code == 201
    own.delete(path_of(made))
    for _ in range(8):
        again = own.post(path_of(made, "messages"), json=said, headers=key)
        assert problem(again)[:2] == (410, "CONVERSATION_ERASED")


def test_erasing_again_gives_the_same_receipt(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "hello")
    first = own.delete(path_of(made))
    assert own.delete(path_of(made)).json() == first.json()
    assert verified(own, made)["entries"] == 3


def test_erasing_at_once_gives_one_receipt(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, *(f"message {n}" for n in range(10)))
    answers = at_once(8, lambda _: own.delete(path_of(made)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["receiptId"] for answer in answers}) == 1
    assert verified(own, made)["valid"]
    assert verified(own, made)["entries"] == 12


def test_erasing_what_there_is_not_is_404(own: httpx.Client) -> None:
    assert problem(own.delete("/v1/conversations/nowhere"))[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert problem(own.get("/v1/receipts/rcp-none"))[:2] == (404, "RECEIPT_NOT_FOUND")


def test_a_key_of_one_space_gets_the_same_answers_of_what_it_erased(server: Server, api: httpx.Client) -> None:
    key = key_of(api, unique("tenant"), memorySpaces=["home"])
    with server.client(key) as limited:
        made = create(limited)
        receipt = limited.delete(path_of(made)).json()
        for _ in range(8):  # whichever worker answers
            assert problem(limited.get(path_of(made)))[:2] == (410, "CONVERSATION_ERASED")
            assert limited.delete(path_of(made)).json() == receipt
            assert limited.get(f"/v1/receipts/{receipt['receiptId']}").json() == receipt
            assert verified(limited, made)["valid"]


def test_a_walk_ends_where_a_page_says_so(own: httpx.Client) -> None:
    for _ in range(4):
        create(own)
    eventually(lambda: len(listed(own)) == 4)
    assert [len(page) for page in pages(own, "/v1/conversations", limit=2)] == [2, 2]
