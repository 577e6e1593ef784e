"""LangChain's histories in Annals: messages come back as they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables.history import RunnableWithMessageHistory

from annals_client.integrations.langchain import AnnalsChatMessageHistory
from annals_client.testing import Annals, AsyncAnnals

MESSAGES: list[BaseMessage] = [
    HumanMessage("Tea?", id="h-1", name="ada", additional_kwargs={"a": [None, 1.5]}),
    HumanMessage([{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:x"}}]),
    SystemMessage("Be brief."),
    AIMessage(
        "",
        id="ai-1",
        tool_calls=[{"name": "brew", "args": {"tea": "green", "n": 2}, "id": "call-1", "type": "tool_call"}],
        invalid_tool_calls=[{"name": "x", "args": "{", "id": "call-2", "error": "bad", "type": "invalid_tool_call"}],
        usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        response_metadata={"model": "m", "logprobs": None},
    ),
    ToolMessage(
        "ready", tool_call_id="call-1", artifact={"bytes": b"\0\xff", "pair": (1, (2.5,)), "inf": float("inf")}
    ),
    ToolMessage([{"type": "text", "text": "no"}], tool_call_id="call-2", status="error", artifact=("a", b"b")),
    ToolMessage("odd", tool_call_id="call-3", artifact={"$bytes": "not mine", "x": {"$tuple": [1]}}),
    FunctionMessage(content="42", name="answer"),
    ChatMessage(content="Hm.", role="critic"),
    AIMessageChunk(content="par", id="chunk-1", tool_call_chunks=[{"name": "f", "args": "{", "id": "c", "index": 0}]),
    HumanMessageChunk(content="part"),
    RemoveMessage(id="h-1"),
    HumanMessage("👋 \u0000 ünïcode\n\tend"),
]


@pytest.fixture
def history(annals: Annals) -> AnnalsChatMessageHistory:
    return AnnalsChatMessageHistory("trip", annals, user_id="ada")


def again(annals: Annals, session_id: str = "trip", **more: Any) -> AnnalsChatMessageHistory:
    return AnnalsChatMessageHistory(session_id, annals, **{"user_id": "ada", **more})


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_equal(history: AnnalsChatMessageHistory, annals: Annals, message: BaseMessage) -> None:
    history.add_messages([message])

    [found] = again(annals).messages

    assert type(found) is type(message)
    assert found == message
    assert repr(found) == repr(message)


def test_messages_come_back_in_their_order_however_they_were_added(
    history: AnnalsChatMessageHistory, annals: Annals
) -> None:
    history.add_messages(MESSAGES)
    again(annals).add_user_message("More?")
    history.add_ai_message("No.")

    assert again(annals).messages == [*MESSAGES, HumanMessage("More?"), AIMessage("No.")]
    assert again(annals, history_size=2).messages == [HumanMessage("More?"), AIMessage("No.")]
    assert again(annals, history_size=0).messages == []


async def test_a_history_for_asyncio_is_the_same(annals: Annals, async_annals: AsyncAnnals) -> None:
    for client in (annals, async_annals):
        history = AnnalsChatMessageHistory("trip", client, user_id="ada")
        await history.aadd_messages(MESSAGES[:3])
        assert await history.aget_messages() == MESSAGES[:3] == history.messages
        await history.aclear()
        assert await history.aget_messages() == []


def test_a_cleared_history_begins_anew_and_the_ledger_keeps_it(
    history: AnnalsChatMessageHistory, annals: Annals
) -> None:
    history.add_messages(MESSAGES[:2])
    history.clear()
    assert again(annals).messages == []

    history.add_messages(MESSAGES[:2])
    again(annals).clear()
    history.add_messages(MESSAGES[2:3])

    assert again(annals).messages == MESSAGES[2:3]
    conversation = annals.conversations.find_session("trip", user_id="ada")
    assert conversation is not None
    assert len([*annals.messages.list(conversation.conversation_id, include_rewound=True)]) == 5


def test_clearing_what_there_is_not_does_nothing(annals: Annals) -> None:
    again(annals, "none").clear()
    assert again(annals, "none").messages == []


def test_the_same_session_of_two_users_is_two_sessions(history: AnnalsChatMessageHistory, annals: Annals) -> None:
    history.add_user_message("Ada's.")
    again(annals, user_id="bob").add_user_message("Bob's.")
    again(annals, user_id=None).add_user_message("Nobody's.")

    assert [message.content for message in history.messages] == ["Ada's."]


def test_each_message_is_one_of_the_ledger_and_is_found(history: AnnalsChatMessageHistory, annals: Annals) -> None:
    history.add_messages([HumanMessage("I like oolong."), AIMessage("Noted.")])
    annals.settle()

    conversation = annals.conversations.find_session("trip", user_id="ada")
    assert conversation is not None
    stored = [*annals.messages.list(conversation.conversation_id)]

    assert [(message.role, message.content) for message in stored] == [
        ("user", "I like oolong."),
        ("assistant", "Noted."),
    ]
    assert [hit.content for hit in annals.memory.search("oolong", user_id="ada", limit=1)] == ["I like oolong."]


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_a_message_of_any_size_comes_back(history: AnnalsChatMessageHistory, annals: Annals, size: int) -> None:
    large = [
        HumanMessage("tea " * (size // 4)),
        ToolMessage(
            [{"type": "text", "text": f"{number} " * (size // 200)} for number in range(100)], tool_call_id="1"
        ),
    ]
    history.add_messages([*MESSAGES[:2], *large])

    assert again(annals).messages == [*MESSAGES[:2], *large]


def test_what_cannot_be_stored_is_refused_by_where_it_is(history: AnnalsChatMessageHistory) -> None:
    with pytest.raises(TypeError, match=r"message\.data\.artifact\.x is a object"):
        history.add_messages([HumanMessage("ok"), ToolMessage("x", tool_call_id="1", artifact={"x": object()})])
    assert history.messages == []


def test_many_who_add_at_once_lose_nothing(annals: Annals) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: again(annals).add_user_message(str(number)), range(24)))

    assert sorted(int(str(message.content)) for message in again(annals).messages) == [*range(24)]


def test_a_chain_with_history_remembers(annals: Annals) -> None:
    chain = RunnableWithMessageHistory(
        FakeListChatModel(responses=["Hello.", "Tea."]),
        lambda session_id: AnnalsChatMessageHistory(session_id, annals, user_id="ada"),
    )
    for text in ("Hi.", "What do I like?"):
        chain.invoke([HumanMessage(text)], {"configurable": {"session_id": "trip"}})

    assert [message.content for message in again(annals).messages] == ["Hi.", "Hello.", "What do I like?", "Tea."]


def test_what_others_stored_in_the_conversation_is_read(history: AnnalsChatMessageHistory, annals: Annals) -> None:
    history.add_user_message("Hello.")
    conversation = annals.conversations.find_session("trip", user_id="ada")
    assert conversation is not None
    annals.messages.append(conversation.conversation_id, role="assistant", content="Hi.", external_id="theirs")

    found = again(annals).messages[1]

    assert (type(found), found.content, found.id) == (AIMessage, "Hi.", "theirs")
