"""Orders that no index keeps, and erasing many, end at a limit; it is lowered here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annals.conversations import lists
from annals.memory.erasure import conversation_erasure as erase
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("moto")


@pytest.fixture
def three(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A client of a tenant with four conversations, three of them Ada's, where three are the limit."""
    for user in ("ada", "ada", "ada", "bob"):
        body = {"type": "user-agent", "participants": {"userId": user, "memorySpaceId": "home"}}
        assert api.post("/v1/conversations", body).status == 201
    monkeypatch.setattr(lists, "MAX_SORTED", 3)
    monkeypatch.setattr(erase, "MAX_MANY", 3)
    return api


@pytest.mark.parametrize("key", ["messageCount", "updatedAt"])
def test_sorting_more_than_the_limit_is_refused(three: Api, key: str) -> None:
    path = f"/v1/conversations?limit=2&sortBy={key}"
    assert three.get(path).problem == (422, "TOO_MANY_MATCHES", "sortBy")
    assert len(three.get(f"{path}&participants.userId=ada").json["items"]) == 2


@pytest.mark.parametrize("key", ["lastMessageAt", "createdAt"])
def test_an_order_that_an_index_keeps_has_no_limit(three: Api, key: str) -> None:
    assert len(three.get(f"/v1/conversations?sortBy={key}").json["items"]) == 4


def test_erasing_more_than_the_limit_at_once_is_refused(three: Api) -> None:
    body = {"filter": {"type": "user-agent"}, "confirm": True}
    assert three.post("/v1/conversations/delete-many", body).problem == (422, "TOO_MANY_MATCHES", "filter")
    assert three.get("/v1/conversations/count").json == {"count": 4}
    body["filter"] = {"participants": {"userId": "ada"}}  # type: ignore[assignment]
    assert three.post("/v1/conversations/delete-many", body).json["count"] == 3
