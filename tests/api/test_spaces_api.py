"""Memory spaces and the participants who share one, over the functions' real events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

TEAM = "/v1/spaces/team"
PEOPLE = [{"participantId": "ada", "type": "person", "name": "Ada"}, {"participantId": "planner"}]


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def test_a_space_comes_back_as_it_was_described(api: Api) -> None:
    body = {"name": "Team", "participants": PEOPLE, "metadata": {"_x": [1.5, None], "n": None}}

    response = api.put(TEAM, body)

    assert response.status == 201
    space = api.get(TEAM).json
    assert {name: space[name] for name in body} == body
    assert (space["memorySpaceId"], space["version"], response.headers["etag"]) == ("team", 1, '"1"')


def test_a_space_is_described_anew_as_a_whole(api: Api) -> None:
    first = api.put(TEAM, {"name": "Team", "participants": PEOPLE}).json

    again = api.put(TEAM, {"participants": PEOPLE[:1]}, if_match='"1"')

    assert again.status == 200
    assert (again.json["participants"], again.json["version"]) == (PEOPLE[:1], 2)
    assert "name" not in again.json
    assert again.json["createdAt"] == first["createdAt"]
    assert api.put(TEAM, {}, if_match='"1"').problem[:2] == (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"participants": [PEOPLE[0], PEOPLE[0]]}, "DUPLICATE_VALUES"),
        ({"participants": [{"name": "Ada"}]}, "MISSING_REQUIRED_FIELD"),
        ({"participants": [{"participantId": " "}]}, "MISSING_REQUIRED_FIELD"),
        ({"name": " "}, "MISSING_REQUIRED_FIELD"),
        ({"members": []}, "UNKNOWN_FIELD"),
    ],
)
def test_a_description_that_is_wrong_is_refused(api: Api, body: dict[str, Any], code: str) -> None:
    assert api.put(TEAM, body).problem[:2] == (422, code)


def test_a_description_that_no_item_could_hold_is_refused(api: Api) -> None:
    assert api.put(TEAM, {"metadata": {"x": "y" * 300_000}}).problem[:2] == (413, "REQUEST_TOO_LARGE")


def test_only_an_admin_describes_spaces_and_only_those_that_are_open_to_it(api: Api) -> None:
    api.put(TEAM, {"name": "Team"})
    elsewhere = api.limited(spaces={"home"})

    assert api.limited(scopes={"read", "write"}).put(TEAM, {}).problem[:2] == (403, "FORBIDDEN")
    assert elsewhere.put(TEAM, {}).problem[:2] == (404, "SPACE_NOT_FOUND")
    assert elsewhere.get(TEAM).problem == api.get("/v1/spaces/nowhere").problem == (404, "SPACE_NOT_FOUND", None)
    assert Api.of("another-tenant").get(TEAM).problem[0] == 404


def share(api: Api) -> None:
    """A conversation and explicit memories of several participants, in a space that nobody described."""
    body = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "hive"}, "conversationId": "hive"}
    assert api.post("/v1/conversations", body).status == 201
    for who in ("planner", "critic", "planner"):
        message = {"role": "assistant", "content": f"The {who} speaks of bees.", "participantId": who}
        assert api.post("/v1/conversations/hive/messages", message).status == 201
    for who in ("planner", "critic"):
        memory = {"memorySpaceId": "hive", "agentId": "a", "participantId": who, "content": f"The {who} knows bees."}
        assert api.post("/v1/memories", memory).status == 201


def test_searches_and_lists_tell_the_participants_of_a_space_apart(api: Api, stream: Stream) -> None:
    share(api)
    stream.deliver()
    stream.deliver_ledger()

    for who, count in (("planner", 3), ("critic", 2), ("nobody", 0)):
        search = {"query": "bees", "memorySpaceId": "hive", "filter": {"participantId": who}}
        hits = api.post("/v1/memory/search", search).json["items"]
        assert [hit["participantId"] for hit in hits] == [who] * count
        listed = api.get(f"/v1/memories?memorySpaceId=hive&participantId={who}").json["items"]
        assert {item["memoryId"] for item in listed} == {hit["memoryId"] for hit in hits}
        assert api.get(f"/v1/memories/count?participantId={who}").json == {"count": count}


def test_all_participants_of_a_space_see_what_each_of_them_brought(api: Api, stream: Stream) -> None:
    share(api)
    stream.deliver()
    stream.deliver_ledger()
    hive, elsewhere = api.limited(spaces={"hive"}), api.limited(spaces={"home"})

    assert len(hive.post("/v1/memory/search", {"query": "bees"}).json["items"]) == 5
    assert elsewhere.post("/v1/memory/search", {"query": "bees"}).json["items"] == []
    assert [item["conversationId"] for item in hive.get("/v1/conversations").json["items"]] == ["hive"]


def test_a_messages_participant_is_counted_in_the_analytics(api: Api) -> None:
    share(api)

    assert api.get("/v1/conversations/hive/analytics").json["byParticipant"] == {"planner": 2, "critic": 1}
