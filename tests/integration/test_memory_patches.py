"""Two who change a memory's metadata at once: each one's keys are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.api import Api
from tests.support.holding import held

pytestmark = pytest.mark.usefixtures("ministack")

ADA = {"memorySpaceId": "home", "userId": "ada"}


def explicit(api: Api) -> str:
    return f"/v1/memories/{api.post('/v1/memories', {**ADA, 'content': 'x'}).json['memoryId']}"


def raw(api: Api) -> str:
    turn = {**ADA, "conversationId": "chat", "userMessage": "x", "agentResponse": "y"}
    assert api.post("/v1/memory/remember", turn).status == 201
    return "/v1/memories/mem:chat:1"


def users(api: Api) -> str:
    path = "/v1/users/ada/memories"
    return f"{path}/{api.post(path, {'memory': 'x'}).json['memoryId']}"


@pytest.mark.parametrize("create", [explicit, raw, users])
def test_metadata_that_two_patch_at_once_are_all_kept(api: Api, create: Callable[[Api], str]) -> None:
    path = create(api)
    first, second, was_held = held(
        lambda: api.patch(path, {"metadata": {"first": 1}}), 1, lambda: api.patch(path, {"metadata": {"second": 2}})
    )
    assert was_held
    assert (first.status, second.status) == (200, 200)
    assert first.json["metadata"] == {"first": 1, "second": 2}
    assert first.json["version"] == 3
