"""A change and a removal at once, one held before each of its writes: afterwards the words are nowhere.

Each pair runs in two threads. One of them is held before its first write, then before its second, and so on, and each
time the other one runs to its end meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from annals.ledger.keys import conversation_pk
from annals.memory import summarizing
from annals.memory.retention_timers import project_with_timer
from annals.memory.summarizers import WrittenSummary
from tests.support.api import Api, Reply
from tests.support.holding import TenantIndex, held, places_of
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("own_tables", "index", "summarizer")

SECRET = "xylophone"
MOST_WRITES = 40
ADA = {"memorySpaceId": "home", "userId": "ada"}
RAW = "/v1/memories/mem:chat:1"
BY_EXTERNAL_ID = "/v1/memories/by-external-id/own%2F1"
ONE = {"conversationId": "chat", "messageIds": ["msg-001"]}
FACT = {
    **ADA,
    "fact": f"The password is {SECRET}.",
    "subject": "it",
    "predicate": "is",
    "object": "x",
    "sourceRef": ONE,
}
GONE = {404, 409, 410, 412}

Request = Callable[[Api], Reply]


class Summarizer:
    """Says what it read."""

    def write(self, earlier: str | None, messages: list[dict[str, str]], **_: object) -> WrittenSummary:
        return WrittenSummary(summary=" ".join([earlier or "", *(each["content"] for each in messages)]), topics=[])

    def model_name(self, model: str | None) -> str:
        return "test"


@pytest.fixture
def summarizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizing, "get_summarizer", Summarizer)


@pytest.fixture
def index(own_tables: object, tmp_path: Path) -> Iterator[None]:
    with embedded_index(tmp_path):
        yield


@dataclass(frozen=True)
class Change:
    """A request that stores words, or keeps some; ``prepare`` is what has to be there before."""

    request: Request
    prepare: Callable[[Api], object] = field(default=lambda api: None)


def talk(api: Api) -> None:
    """A conversation of Ada's with a message that holds the secret."""
    turn = {"userMessage": f"My password is {SECRET}.", "agentResponse": "I keep it.", "metadata": {"topics": ["a"]}}
    assert api.post("/v1/memory/remember", {**ADA, "conversationId": "chat", **turn}).status == 201


def changed(api: Api) -> None:
    assert api.patch(RAW, {"content": f"{SECRET} it is"}).status == 200


def projected(api: Api) -> Reply:
    project_with_timer(conversation_pk(api.caller.tenant, "chat"))
    return Reply(200, {}, b"{}")


OF_A_MESSAGE = {
    "change content": Change(lambda api: api.patch(RAW, {"content": f"{SECRET} it is"})),
    "change content again": Change(lambda api: api.patch(RAW, {"content": f"{SECRET} it was"}), changed),
    "patch metadata": Change(lambda api: api.patch(RAW, {"metadata": {"word": SECRET}})),
    "archive": Change(lambda api: api.post(f"{RAW}/archive")),
    "restore": Change(lambda api: api.post(f"{RAW}/restore"), lambda api: api.post(f"{RAW}/archive")),
    "move a memory to it": Change(
        lambda api: api.put(BY_EXTERNAL_ID, {**ADA, "content": f"{SECRET} it is", "conversationRef": ONE}),
        lambda api: api.put(BY_EXTERNAL_ID, {**ADA, "content": "before"}),
    ),
    "move the reply's memory to it": Change(
        lambda api: api.patch("/v1/memories/mem:chat:2", {"content": f"{SECRET} it is", "conversationRef": ONE})
    ),
    "store a fact": Change(lambda api: api.post("/v1/facts", FACT)),
    "summarise": Change(lambda api: api.post("/v1/conversations/chat/summarize", {})),
    "analyse": Change(lambda api: api.get("/v1/conversations/chat/analytics")),
    "project": Change(projected),
}
"""What is made of a message, beside what was said."""

REDACTIONS: dict[str, Request] = {
    "redact": lambda api: api.post("/v1/conversations/chat/messages/msg-001/redact", {"reason": "asked for"}),
    "erase": lambda api: api.delete("/v1/conversations/chat"),
    "erase the person": lambda api: api.delete("/v1/users/ada"),
}

OWN = {
    "replace": Change(lambda api: api.patch(own(api), {"memory": f"{SECRET} it was"})),
    "patch metadata": Change(lambda api: api.patch(own(api), {"metadata": {"word": SECRET}})),
    "archive": Change(lambda api: api.post(f"/v1/memories/{id_of(api)}/archive")),
    "restore": Change(
        lambda api: api.post(f"/v1/memories/{id_of(api)}/restore"),
        lambda api: api.post(f"/v1/memories/{id_of(api)}/archive"),
    ),
}
"""What is changed of a user's memory."""

REDACTIONS_OF_OWN: dict[str, Request] = {
    "delete": lambda api: api.delete(own(api)),
    "clear": lambda api: api.delete("/v1/users/ada/memories"),
    "erase the person": lambda api: api.delete("/v1/users/ada"),
}

_made: dict[str, str] = {}


def made_for(api: Api) -> None:
    """A user's memory, changed once."""
    payload = {"memory": f"Her password is {SECRET}."}
    _made[api.caller.tenant] = api.post("/v1/users/ada/memories", payload).json["memoryId"]
    assert api.patch(own(api), {"memory": f"Ada's password is {SECRET}."}).status == 200


def id_of(api: Api) -> str:
    return _made[api.caller.tenant]


def own(api: Api) -> str:
    return f"/v1/users/ada/memories/{id_of(api)}"


def made_explicitly(api: Api) -> None:
    """A memory that no message is, changed once."""
    payload = {**ADA, "content": f"Her password is {SECRET}."}
    _made[api.caller.tenant] = api.post("/v1/memories", payload).json["memoryId"]
    assert api.patch(explicit(api), {"content": f"Ada's password is {SECRET}."}).status == 200


def explicit(api: Api) -> str:
    return f"/v1/memories/{id_of(api)}"


EXPLICIT = {
    "change content": Change(lambda api: api.patch(explicit(api), {"content": f"{SECRET} it was"})),
    "archive": Change(lambda api: api.post(f"{explicit(api)}/archive")),
    "restore": Change(
        lambda api: api.post(f"{explicit(api)}/restore"), lambda api: api.post(f"{explicit(api)}/archive")
    ),
}

REDACTIONS_OF_EXPLICIT: dict[str, Request] = {
    "delete": lambda api: api.delete(explicit(api)),
    "erase the person": lambda api: api.delete("/v1/users/ada"),
}


def both(
    tenant: str, begin: Callable[[Api], None], change: Change, redaction: Request, *, holds_change: bool
) -> Iterator[tuple[Api, list[str]]]:
    """Run both, the one that is held at each of its writes in turn; each time with another tenant.

    Yields the tenant's client, and what a search for the secret finds behind both.
    """
    for at in range(1, MOST_WRITES):
        api = Api.of(f"{tenant}-{at}")
        begin(api)
        change.prepare(api)
        index = TenantIndex(api.caller.tenant)
        index.bring_up_to_date()
        first, second = (change.request, redaction) if holds_change else (redaction, change.request)
        answers = held(lambda: first(api), at, lambda: second(api))  # noqa: B023 - run before the next one
        of_change, of_redaction = answers[:2] if holds_change else answers[1::-1]
        assert of_change.status < 300 or of_change.status in GONE, of_change.body
        assert of_redaction.status < 300, of_redaction.body
        index.bring_up_to_date()
        yield api, search_finds(api)
        if not answers[2]:
            assert at > 1
            return
    pytest.fail(f"more than {MOST_WRITES} writes")


def search_finds(api: Api) -> list[str]:
    return [hit["memoryId"] for hit in api.post("/v1/memory/search", {"query": SECRET}).json["items"]]


@pytest.mark.parametrize("holds_change", [True, False], ids=["the change is held", "the redaction is held"])
@pytest.mark.parametrize("redaction_name", REDACTIONS)
@pytest.mark.parametrize("change", OF_A_MESSAGE)
def test_what_is_made_of_a_message_while_it_is_redacted_is_nowhere_afterwards(
    tenant: str, change: str, redaction_name: str, holds_change: bool
) -> None:
    for api, found in both(tenant, talk, OF_A_MESSAGE[change], REDACTIONS[redaction_name], holds_change=holds_change):
        assert places_of(api.caller.tenant, SECRET) == []
        assert found == []


def said(api: Api) -> Reply:
    """Append the message with the secret, by an external id that holds it, too."""
    message = {"role": "user", "content": f"My password is {SECRET}.", "externalId": f"{SECRET}/1"}
    return api.post("/v1/conversations/chat/messages", {**message, "conversation": {"participants": ADA}})


def begun(api: Api) -> None:
    assert said(api).status == 201


@pytest.mark.parametrize("redaction_name", ["redact", "erase"])
def test_what_is_appended_again_while_it_is_redacted_is_nowhere_afterwards(tenant: str, redaction_name: str) -> None:
    for api, found in both(tenant, begun, Change(said), REDACTIONS[redaction_name], holds_change=False):
        assert places_of(api.caller.tenant, SECRET) == []
        assert found == []


@pytest.mark.parametrize("holds_change", [True, False], ids=["the change is held", "the redaction is held"])
@pytest.mark.parametrize("change", ["change content", "change content again", "patch metadata", "archive", "restore"])
def test_what_is_changed_of_a_message_s_memory_while_that_is_deleted_is_nowhere_but_in_the_ledger(
    tenant: str, change: str, holds_change: bool
) -> None:
    for api, _ in both(tenant, talk, OF_A_MESSAGE[change], lambda api: api.delete(RAW), holds_change=holds_change):
        assert [sk for _, sk in places_of(api.caller.tenant, SECRET)] == ["E#000000000001"]
        assert api.get(RAW).status == 404


@pytest.mark.parametrize("holds_change", [True, False], ids=["the change is held", "the redaction is held"])
@pytest.mark.parametrize("redaction_name", REDACTIONS_OF_OWN)
@pytest.mark.parametrize("change", OWN)
def test_what_is_changed_of_a_user_s_memory_while_that_is_removed_is_nowhere_afterwards(
    tenant: str, change: str, redaction_name: str, holds_change: bool
) -> None:
    for api, found in both(tenant, made_for, OWN[change], REDACTIONS_OF_OWN[redaction_name], holds_change=holds_change):
        assert places_of(api.caller.tenant, SECRET) == []
        assert found == []


@pytest.mark.parametrize("holds_change", [True, False], ids=["the change is held", "the redaction is held"])
@pytest.mark.parametrize("redaction_name", REDACTIONS_OF_EXPLICIT)
@pytest.mark.parametrize("change", EXPLICIT)
def test_what_is_changed_of_an_explicit_memory_while_that_is_removed_is_nowhere_afterwards(
    tenant: str, change: str, redaction_name: str, holds_change: bool
) -> None:
    redaction = REDACTIONS_OF_EXPLICIT[redaction_name]
    for api, found in both(tenant, made_explicitly, EXPLICIT[change], redaction, holds_change=holds_change):
        assert places_of(api.caller.tenant, SECRET) == []
        assert found == []


def test_a_change_that_was_read_before_an_archiving_leaves_the_memory_archived(tenant: str) -> None:
    change = EXPLICIT["change content"]
    for api, _ in both(
        tenant, made_explicitly, change, lambda api: api.post(f"{explicit(api)}/archive"), holds_change=True
    ):
        assert api.get(explicit(api)).json["status"] == "archived"
