"""A process that dies at any of its requests while a memory changes: sent again, the request leaves nothing half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.api import Api, Reply
from tests.support.crashes import dying
from tests.support.holding import places_of

pytestmark = pytest.mark.usefixtures("ministack")

ADA = {"memorySpaceId": "home", "userId": "ada"}
MOST_CALLS = 40
WORD = "xylophone"

_made: dict[str, str] = {}


@dataclass(frozen=True)
class Operation:
    """A request about a memory that was changed once, and what has to hold behind its second try."""

    request: Callable[[Api], Reply]
    check: Callable[[Api, Reply], None]


def explicit(api: Api) -> str:
    return f"/v1/memories/{_made[api.caller.tenant]}"


def raw(_: Api) -> str:
    return "/v1/memories/mem:chat:1"


def prepare(api: Api) -> None:
    """A message that was changed as a memory, and an explicit memory that was, both with the word in all versions."""
    turn = {"userMessage": f"A {WORD} is mine.", "agentResponse": "Noted."}
    assert api.post("/v1/memory/remember", {**ADA, "conversationId": "chat", **turn}).status == 201
    _made[api.caller.tenant] = api.post("/v1/memories", {**ADA, "content": f"A {WORD} is hers."}).json["memoryId"]
    for path in (raw(api), explicit(api)):
        assert api.patch(path, {"content": f"The {WORD} is Ada's."}).status == 200


def whole(path: Callable[[Api], str], status: str) -> Callable[[Api, Reply], None]:
    """The memory is as it was asked for, and has every version from the first on."""

    def check(api: Api, answer: Reply) -> None:
        assert answer.status == 200, answer.body
        memory = api.get(path(api)).json
        assert memory["status"] == status
        numbers = [each["version"] for each in (memory, *memory["previousVersions"])]
        assert numbers == list(range(memory["version"], 0, -1))

    return check


def is_gone(path: Callable[[Api], str], others: int) -> Callable[[Api, Reply], None]:
    """The memory is gone with all versions; so many other items still hold the word."""

    def check(api: Api, answer: Reply) -> None:
        assert answer.status in (204, 404), answer.body
        assert api.get(path(api)).status == 404
        assert len(places_of(api.caller.tenant, WORD)) == others

    return check


OPERATIONS = {
    "change a message's memory": Operation(lambda api: api.patch(raw(api), {"importance": 9}), whole(raw, "active")),
    "change a memory": Operation(lambda api: api.patch(explicit(api), {"importance": 9}), whole(explicit, "active")),
    "archive a message's memory": Operation(lambda api: api.post(f"{raw(api)}/archive"), whole(raw, "archived")),
    "archive a memory": Operation(lambda api: api.post(f"{explicit(api)}/archive"), whole(explicit, "archived")),
    # What stays is the message, and the other memory with its version.
    "delete a message's memory": Operation(lambda api: api.delete(raw(api)), is_gone(raw, 3)),
    "delete a memory": Operation(lambda api: api.delete(explicit(api)), is_gone(explicit, 3)),
}


@pytest.mark.parametrize(("path", "others"), [(raw, 3), (explicit, 3)])
def test_a_deletion_that_was_broken_off_leaves_the_memory_whole_or_no_word_of_it(
    tenant: str, path: Callable[[Api], str], others: int
) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        prepare(api)
        before = len(places_of(api.caller.tenant, WORD))
        with dying("before-call", call) as death:
            api.delete(path(api))
        is_there = api.get(path(api)).status == 200
        assert len(places_of(api.caller.tenant, WORD)) == (before if is_there else others)
        if not death.came:
            assert call > 1
            return
    pytest.fail(f"deleting takes more than {MOST_CALLS} writes")


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_a_crash_broke_off_of_a_memory_s_change_is_finished_by_the_same_request(
    tenant: str, name: str, moment: str
) -> None:
    operation = OPERATIONS[name]
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        prepare(api)
        with dying(moment, call) as death:
            answer = operation.request(api)
        operation.check(api, operation.request(api) if death.came else answer)
        if not death.came:
            assert call > 1
            return
    pytest.fail(f"{name} takes more than {MOST_CALLS} requests")
