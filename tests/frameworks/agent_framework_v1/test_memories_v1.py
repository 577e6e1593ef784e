"""The context provider: what it recalls before the model is asked, and what it remembers of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from agent_framework import ChatAgent, ChatMessage, FunctionCallContent
from asking_v1 import ScriptedModel, conversations_of, said, texts

from annals_client.integrations.agent_framework_v1 import AnnalsChatMessageStore, AnnalsContextProvider
from annals_client.testing import Annals, AsyncAnnals

PROMPT = AnnalsContextProvider.DEFAULT_CONTEXT_PROMPT


async def recalled(provider: AnnalsContextProvider, question: str) -> list[str]:
    context = await provider.invoking(said(question))
    assert (context.instructions, context.tools) == (None, [])
    return texts(context.messages)


async def test_what_was_said_is_recalled_as_one_message_of_the_user(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada")
    await memories.invoked(said("I like tea."), said("Noted.", role="assistant"))
    annals.settle()
    (message,) = (await memories.invoking(ChatMessage(role="user", text="tea?"))).messages
    assert str(message.role) == "user"
    assert message.text.splitlines()[:3] == [*PROMPT.splitlines(), "I like tea."]


async def test_nothing_is_added_where_nothing_is_asked_or_known(async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada")
    assert await recalled(memories, " ") == []
    assert await recalled(memories, "tea?") == []


async def test_texts_are_stored_and_nothing_else(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada")
    call = ChatMessage(role="assistant", contents=[FunctionCallContent(call_id="c-1", name="clock", arguments="{}")])
    await memories.invoked(said("Time?")[0], [call, *said("noon", role="tool"), *said("Noon.", role="assistant")])
    (conversation,) = conversations_of(annals)
    assert [each.content for each in annals.messages.list(conversation.conversation_id)] == ["Time?", "Noon."]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"user_id": "ada"}, {"user_id": "ben"}),
        ({"user_id": "ada", "agent_id": "a"}, {"user_id": "ada", "agent_id": "b"}),
        ({"user_id": "ada", "application_id": "shop"}, {"user_id": "ada", "application_id": "clinic"}),
        ({"user_id": "ada", "thread_id": "t-1"}, {"user_id": "ada", "thread_id": "t-2"}),
    ],
)
async def test_each_id_narrows_what_is_recalled(
    annals: Annals, async_annals: AsyncAnnals, stored: dict[str, str], asked: dict[str, str]
) -> None:
    own: dict[str, Any] = {"client": async_annals, **stored}
    await AnnalsContextProvider(**own).invoked(said("I like tea."))
    annals.settle()
    other: dict[str, Any] = {"client": async_annals, **asked}
    assert await recalled(AnnalsContextProvider(**own), "tea?") == [f"{PROMPT}\nI like tea."]
    assert await recalled(AnnalsContextProvider(**other), "tea?") == []


async def test_memories_may_be_those_of_the_frameworks_thread(annals: Annals, async_annals: AsyncAnnals) -> None:
    scope: dict[str, Any] = {"client": async_annals, "user_id": "ada", "scope_to_per_operation_thread_id": True}
    first, second = AnnalsContextProvider(**scope), AnnalsContextProvider(**scope)
    await first.thread_created("t-1")
    await second.thread_created("t-2")
    await first.invoked(said("I like tea."))
    annals.settle()
    assert await recalled(first, "tea?") == [f"{PROMPT}\nI like tea."]
    assert await recalled(second, "tea?") == []
    await first.thread_created("t-1")
    with pytest.raises(ValueError, match="t-2"):
        await first.thread_created("t-2")


async def test_a_provider_without_a_scope_is_refused(async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals)
    with pytest.raises(ValueError, match="application_id"):
        await memories.invoking(said("tea?"))
    with pytest.raises(ValueError, match="application_id"):
        await memories.invoked(said("tea?"))


async def test_a_new_thread_knows_what_the_user_said_in_another(
    annals: Annals, annals_url: str, annals_key: str
) -> None:
    memories = AnnalsContextProvider(url=annals_url, key=annals_key, user_id="ada")
    model = ScriptedModel("Noted.", "Tea.")
    agent = ChatAgent(model, context_providers=memories)
    await agent.run("I like tea.", thread=agent.get_new_thread())
    annals.settle()
    await agent.run("What do I like?", thread=agent.get_new_thread())
    assert "I like tea." in model.asked[1][0].text


async def test_beside_a_store_of_messages_it_may_leave_the_storing_to_that(
    annals: Annals, async_annals: AsyncAnnals
) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", stores_messages=False)
    model = ScriptedModel("Noted.", "Tea.")
    agent = ChatAgent(
        model,
        context_providers=memories,
        chat_message_store_factory=lambda: AnnalsChatMessageStore(client=async_annals, user_id="ada"),
    )
    await agent.run("I like tea.", thread=agent.get_new_thread())
    assert [conversation.message_count for conversation in conversations_of(annals)] == [2]
    await agent.run("What do I like?", thread=agent.get_new_thread())
    assert "I like tea." in model.asked[1][0].text
