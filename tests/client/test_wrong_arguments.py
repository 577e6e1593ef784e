"""What no request can say is refused by its name before anything is sent, as an AnnalsError."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from annals_client import Annals, AnnalsError, AsyncAnnals, InvalidArgument, ValidationFailed
from annals_client.own_turn import OwnTurn
from annals_client.resources.conversations import Conversations
from annals_client.resources.facts import Facts
from annals_client.resources.keys import Keys
from annals_client.resources.memories import Memories
from annals_client.resources.memory import Remembering
from annals_client.resources.messages import Messages
from annals_client.resources.users import UserMemories
from tests.client.asking import Ask
from tests.client.scripted import scripted

HALF = "\ud83d"
ANYTHING: Any = None


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else []


def round_about() -> Any:
    held: dict[str, Any] = {}
    held["again"] = held
    return held


@pytest.mark.parametrize(
    ("do", "field"),
    [
        (lambda it: it.messages.append("c", role="user", content=HALF), "content"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": [HALF]}), "metadata.a[0]"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={HALF: 1}), "metadata.?"),
        (lambda it: it.messages.append_many("c", [{"role": "user", "content": HALF}]), "messages[0].content"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": float("nan")}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", parts=[float("inf")]), "parts[0]"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": {1: 2}}), "metadata.a.1"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={None: 2}), "metadata.None"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": object()}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": {1, 2}}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": b"x"}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": Decimal("0.1")}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", metadata={"a": 10**1000}), "metadata.a"),
        (lambda it: it.messages.append("c", role="user", content="x", timestamp=datetime(2026, 1, 1)), "timestamp"),
        (lambda it: it.messages.append("c", role="user", content="x", idempotency_key="🔑"), "Idempotency-Key"),
        (lambda it: it.messages.append("c", role="user", content="x", idempotency_key="a\nb"), "Idempotency-Key"),
        (lambda it: it.messages.append("c", role="user", content="x", idempotency_key=""), "Idempotency-Key"),
        (lambda it: it.conversations.get(""), "conversationId"),
        (lambda it: it.conversations.get(".."), "conversationId"),
        (lambda it: it.conversations.get(HALF), "conversationId"),
        (lambda it: it.conversations.get(ANYTHING), "conversationId"),
        (lambda it: it.conversations.count(user_id=HALF), "userId"),
        (lambda it: it.conversations.count(metadata={"a": float("nan")}), "metadata.a"),
        (lambda it: it.conversations.count(metadata={1: "a"}), "metadata.1"),
        (lambda it: it.memories.list(tags=["a,b"]), "tags"),
        (lambda it: it.memories.list(limit=-1), "limit"),
        (lambda it: it.memory.search("q", embedding=["x"]), "embedding"),
        (lambda it: it.memory.search("q", embedding=[10**400]), "embedding"),
        (lambda it: it.memory.search(HALF), "query"),
        (lambda it: it.conversations.import_([f'{{"type": "{HALF}"}}']), "line 1"),
        (lambda it: it.conversations.import_(["{}", "["]), "line 1"),
        (lambda it: it.conversations.import_(["[" * 100_000]), "conversation 1"),
    ],
)  # fmt: skip
def test_what_no_request_can_say_is_refused_by_its_name(ask: Ask, do: Callable[[Any], Any], field: str) -> None:
    with scripted() as server, pytest.raises(InvalidArgument) as refused:
        ask(server.url, do)
    assert refused.value.field == field
    assert isinstance(refused.value, ValidationFailed)
    assert refused.value.status == 0
    assert server.requests == []


@pytest.mark.parametrize("value", [deep(64), round_about()], ids=["deep", "round about"])
def test_what_nests_too_deep_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="64 levels") as refused:
        Messages.append.call("c", role="user", content="x", parts=value)
    assert str(refused.value.field).startswith("parts")


def test_every_kind_of_mapping_and_list_is_json() -> None:
    metadata = MappingProxyType({"a": (1, [None, True])})
    call = Messages.append.call("c", role="user", content="Grüße 👋", metadata=metadata)
    assert call.content == '{"role":"user","content":"Grüße 👋","metadata":{"a":[1,[null,true]]}}'.encode()
    assert call.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("client", [Annals, AsyncAnnals])
@pytest.mark.parametrize(
    ("url", "key"), [("http://x:y", "k"), ("http://x", "a\nb"), ("http://x", "🔑"), ("ftp://x", "k"), ("unix://x", "k")]
)
def test_a_client_that_could_ask_nobody_is_refused(client: Any, url: str, key: str) -> None:
    with pytest.raises(AnnalsError):
        client(url, key)


CONVERSATION_FILTERS = ["user_id", "agent_id", "agent1", "memory_space_id", "contains", "type", "status",
                        "created_after", "message_count", "metadata"]  # fmt: skip
MEMORY_FILTERS = ["user_id", "agent_id", "participant_id", "conversation_id", "thread_id", "run_id", "role", "status",
                  "source_type", "tags", "tags_all", "importance_min", "created_before", "metadata"]  # fmt: skip
LISTED = ["user_id", "memory_space_id", "participant_id", "subject", "predicate", "object", "fact_type", "at"]
ASKED: list[tuple[Callable[..., Any], list[str]]] = [
    (Conversations.list.walk, CONVERSATION_FILTERS),
    (Conversations.count.call, CONVERSATION_FILTERS),
    (Conversations.delete_many.call, CONVERSATION_FILTERS),
    (lambda **conditions: Conversations.search.call("q", **conditions), CONVERSATION_FILTERS),
    (lambda **conditions: Conversations.export_many.describe(None, "file", **conditions), CONVERSATION_FILTERS),
    (Memories.list.walk, [*MEMORY_FILTERS, "memory_space_id"]),
    (Memories.count.call, [*MEMORY_FILTERS, "memory_space_id"]),
    (Memories.delete_many.call, [*MEMORY_FILTERS, "memory_space_id"]),
    (lambda **conditions: Memories.export.describe(None, "file", **conditions), [*MEMORY_FILTERS, "memory_space_id"]),
    (lambda **conditions: Remembering.search.call("q", **conditions), [*MEMORY_FILTERS, "memory_space_id"]),
    (lambda **conditions: Remembering.recall.call("q", **conditions), [*MEMORY_FILTERS[1:], "memory_space_id"]),
    (lambda **conditions: Remembering.recall.call("q", filter=conditions), MEMORY_FILTERS),
    (lambda **conditions: Messages.list.walk("c", **conditions), ["roles", "thread_id", "run_id", "since", "until"]),
    (Facts.list.walk, LISTED),
    (lambda **conditions: UserMemories.list.walk("ada", **conditions), ["agent_id", "topic", "memory_space_id"]),
    (lambda **conditions: UserMemories.search.call("ada", **conditions), ["agent_id", "topic", "memory_space_id"]),
    (lambda **limits: Keys.create.call("k", ["read"], **limits), ["memory_spaces", "expires_at"]),
]


@pytest.mark.parametrize(("ask_for", "name"), [(ask_for, name) for ask_for, names in ASKED for name in names])
@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
def test_a_condition_that_is_none_or_empty_is_refused_rather_than_left_out(
    ask_for: Callable[..., Any], name: str, value: Any
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ask_for(**{name: value})
    assert (refused.value.code, refused.value.field) == ("INVALID_FILTER", _camel(name))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"session": None}, "metadata.session"),
        ({"a": {"b": ""}}, "metadata.a.b"),
        ({"a": {"$in": []}}, "metadata.a"),
        ({"a": {"$in": ["x", None]}}, "metadata.a[1]"),
    ],
)
def test_an_empty_condition_on_metadata_is_refused(metadata: Any, field: str) -> None:
    for ask_for in (Conversations.delete_many.call, Memories.delete_many.call):
        with pytest.raises(InvalidArgument) as refused:
            ask_for(metadata=metadata)
        assert refused.value.field == field


def test_a_blank_among_tags_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        Memories.delete_many.call(tags=["a", ""])
    assert refused.value.field == "tags[1]"


def test_what_is_false_or_zero_is_a_condition() -> None:
    call = Conversations.delete_many.call(message_count=0, metadata={"a": False})
    assert call.body is not None
    assert call.body["filter"] == {"messageCount": 0, "metadata": {"a": False}}


def test_all_memories_of_a_space_are_meant_only_where_that_is_said() -> None:
    call = Memories.delete_many.call(memory_space_id="home", all=True)
    assert call.body == {"memorySpaceId": "home", "all": True, "dryRun": False, "confirm": False, "filter": {}}


def test_a_turn_that_cannot_be_written_is_refused_before_its_model_is_asked() -> None:
    with pytest.raises(InvalidArgument) as failed:
        OwnTurn.of("key", memory_space_id="home", user_message="Hi.", metadata={"a": float("nan")})
    assert failed.value.field == "metadata.a"
