"""An erasure or a redaction whose process dies at any of its requests to DynamoDB is finished by the stream functions.

Nobody sends the request again: what the streams tell is all that goes on.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from annals.settings import settings
from tests.support.api import Api
from tests.support.crashes import dying, items_of, let_streams_finish

MOST_CALLS = 80
ONE = "/v1/conversations/one"
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "one"}
MOMENTS = ["before-call", "after-call"]

pytestmark = pytest.mark.usefixtures("own_tables")


def ok(status: int) -> None:
    assert status in (200, 201)


def talk(api: Api) -> None:
    """A conversation whose second message was made much of: changed as a memory, with a fact and a memory."""
    ok(api.post("/v1/conversations", NEW).status)
    for word in ("rose", "tulip", "lily"):
        ok(api.post(f"{ONE}/messages", {"role": "user", "content": f"My word is {word}."}).status)
    ok(api.patch("/v1/memories/mem:one:2", {"content": "The word was tulip."}).status)
    ok(api.patch("/v1/memories/mem:one:2", {"content": "The tulip is the word."}).status)
    fact = {"fact": "The word is tulip.", "factType": "knowledge", "confidence": 90, "subject": "word"}
    source = {"conversationId": "one", "messageIds": ["msg-002"]}
    events = {**fact, "predicate": "is", "object": "tulip", "memorySpaceId": "home", "sourceRef": source}
    ok(api.post("/v1/facts", events).status)
    made = {"memorySpaceId": "home", "userId": "ada", "contentType": "summarized", "conversationRef": source}
    ok(api.post("/v1/memories", {**made, "content": "All about a tulip."}).status)


def words_of(api: Api, *words: str) -> list[str]:
    """What of some words is left in the tables."""
    tables = (settings().ledger_table, settings().state_table)
    stored = str([item for table in tables for item in items_of(api.caller.tenant, table)])
    return [word for word in words if word in stored]


def crash_everywhere(tenant: str, moment: str, request: Callable[[Api], object], check: Callable[[Api], None]) -> None:
    """Break a request off at each of its calls in turn, let the streams finish it, and check what is left."""
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        talk(api)
        with dying(moment, call) as death:
            request(api)
        let_streams_finish(api.caller.tenant)
        check(api)
        if not death.came:
            assert call > 1
            return
    pytest.fail(f"it takes more than {MOST_CALLS} writes")


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_erasure_that_began_ends_without_whoever_asked_for_it(tenant: str, moment: str) -> None:
    def check(api: Api) -> None:
        is_there = api.get(ONE).status == 200
        assert words_of(api, "rose", "tulip", "lily") == (["rose", "tulip", "lily"] if is_there else [])
        assert is_there or api.delete(ONE).json["removed"] == {"messages": 3, "memories": 4, "facts": 1}
        assert api.get(f"{ONE}/verify").json["valid"]

    crash_everywhere(tenant, moment, lambda api: api.delete(ONE), check)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_redaction_that_began_ends_without_whoever_asked_for_it(tenant: str, moment: str) -> None:
    def check(api: Api) -> None:
        payload = api.get(f"{ONE}/messages/msg-002").json.get("content")
        assert words_of(api, "rose", "tulip", "lily") == ["rose", *(["tulip"] if payload else []), "lily"]
        assert api.get(f"{ONE}/verify").json["valid"]

    redact = f"{ONE}/messages/msg-002/redact"
    crash_everywhere(tenant, moment, lambda api: api.post(redact, {"reason": "asked"}), check)


@pytest.mark.parametrize("moment", MOMENTS)
def test_of_many_conversations_each_whose_erasure_began_is_erased(tenant: str, moment: str) -> None:
    def check(api: Api) -> None:
        is_there = api.get(ONE).status == 200
        assert words_of(api, "tulip") == (["tulip"] if is_there else [])

    many = {"filter": {"participants": {"userId": "ada"}}}
    crash_everywhere(tenant, moment, lambda api: api.post("/v1/conversations/delete-many", many), check)
