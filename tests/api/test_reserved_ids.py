"""What stands beside an id in the routes is no id, whichever way an id comes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from annals.access.caller import Caller
from annals.api.fields import RESERVED_IDS
from annals.api.problems import from_validation
from annals.errors import InvalidInput
from annals.ingest.envelope import parse_envelope
from annals.ingest.lines import store_line
from annals.ledger.idempotency import IdempotentRequest
from tests.support.api import Api, Reply

pytestmark = pytest.mark.usefixtures("moto")

PATHS = [path.strip("/").split("/") for path in json.loads(Path("openapi.json").read_text())["paths"]]
PEOPLE = {"userId": "ada", "memorySpaceId": "home"}


def beside(parameter: str) -> set[str]:
    """The literal segments that stand where some route has a parameter."""
    prefixes = [(path[:at]) for path in PATHS for at, part in enumerate(path) if part == f"{{{parameter}}}"]
    return {
        path[len(front)]
        for front in prefixes
        for path in PATHS
        if len(path) > len(front) and path[: len(front)] == front and not path[len(front)].startswith("{")
    }


def bring(api: Api, *lines: dict[str, Any]) -> Reply:
    text = "\n".join(map(json.dumps, lines))
    return api.post("/v1/conversations/import", text, content_type="application/x-ndjson")


def bring_csv(api: Api, name: str) -> Reply:
    columns = "conversationId,kind,messageId,seq,timestamp,role,content"
    text = f"{columns}\r\n{name},message,msg-001,1,2026-01-01T00:00:00.000Z,user,hello\r\n"
    return api.post("/v1/conversations/import?memorySpaceId=home&userId=ada", text, content_type="text/csv")


def conversation(name: str) -> dict[str, Any]:
    return {"type": "conversation", "conversationType": "user-agent", "conversationId": name, "participants": PEOPLE}


WAYS: dict[str, Callable[[Api, str], Reply]] = {
    "create": lambda api, name: api.post(
        "/v1/conversations", {"type": "user-agent", "conversationId": name, "participants": PEOPLE}
    ),
    "by participants": lambda api, name: api.put(
        "/v1/conversations/by-participants", {"type": "user-agent", "conversationId": name, "participants": PEOPLE}
    ),
    "by session": lambda api, name: api.put(
        "/v1/conversations/by-session", {"sessionId": "s", "conversationId": name, "participants": PEOPLE}
    ),
    "remember": lambda api, name: api.post(
        "/v1/memory/remember", {**PEOPLE, "conversationId": name, "userMessage": "a", "agentResponse": "b"}
    ),
    "import": lambda api, name: bring(api, conversation(name)),
    "import of a message": lambda api, name: bring(
        api, conversation("c"), {"type": "message", "conversationId": name, "role": "user", "content": "hello"}
    ),
    "import of csv": bring_csv,
}


def test_the_reserved_ids_are_what_stands_beside_a_conversation_s_id_in_the_routes() -> None:
    assert beside("conversationId") == RESERVED_IDS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted(RESERVED_IDS))
def test_no_way_in_takes_the_name_of_a_route_as_an_id(way: str, name: str, api: Api) -> None:
    answer = WAYS[way](api, name)
    assert answer.problem[0] == 422, answer.body
    assert api.get("/v1/conversations").json["items"] == []


def refusal(work: Callable[[], Any]) -> str | None:
    """The code with which something is refused."""
    try:
        work()
    except ValidationError as error:
        return str(getattr(from_validation(error.errors()), "code", None))
    except InvalidInput as error:
        return error.code
    return None


@pytest.mark.parametrize("name", sorted(RESERVED_IDS))
def test_no_event_or_line_of_an_object_takes_the_name_of_a_route_as_an_id(name: str, api: Api) -> None:
    message = {"role": "user", "content": "hello"}
    for conversation_id, expected in ((name, "INVALID_ID_FORMAT"), ("fine", None)):
        envelope = {"conversation": {"conversationId": conversation_id}, "messages": [message]}
        assert refusal(lambda envelope=envelope: parse_envelope(envelope)) == expected  # type: ignore[misc]
    request = IdempotentRequest.of(api.caller.tenant, "events", "k", b"")
    caller: Caller = api.caller
    for line in (conversation(name), {"type": "message", "conversationId": name, **message}):
        assert refusal(lambda line=line: store_line(caller, line, request)) == "INVALID_ID_FORMAT"  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(beside("memoryId") | beside("messageId")))
def test_annals_makes_no_id_that_is_a_route_of_its_own(name: str, api: Api) -> None:
    """Memories and messages are named by Annals alone, with a prefix that no route has."""
    assert not name.startswith(("mem-", "mem:", "um:", "msg-", "fact-"))
    new_memory = {"memorySpaceId": "home", "content": "x", "memoryId": name, "userId": "ada"}
    assert api.post("/v1/memories", new_memory).problem[:2] == (422, "UNKNOWN_FIELD")
