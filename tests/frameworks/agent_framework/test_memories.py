"""The context provider: what it recalls before a run, and what it remembers after it."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from agent_framework import Agent, AgentResponse, AgentSession, Content, Message, SessionContext
from asking import ScriptedModel, conversations_of, said, texts

from annals_client import NO_RETRIES, ConnectionFailed
from annals_client.integrations.agent_framework import AnnalsContextProvider, AnnalsHistoryProvider
from annals_client.testing import Annals, AsyncAnnals

PROMPT = AnnalsContextProvider.DEFAULT_CONTEXT_PROMPT


async def remember(provider: AnnalsContextProvider, *messages: Message, session_id: str = "s-1") -> None:
    """What an agent does after a run: the first message is the user's, the others are the model's."""
    context = SessionContext(session_id=session_id, input_messages=[*messages[:1]])
    context._response = AgentResponse(messages=[*messages[1:]])  # the agent sets it
    session = AgentSession(session_id=session_id)
    await provider.after_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]


async def recalled(provider: AnnalsContextProvider, *questions: str, shown: tuple[str, ...] = ()) -> list[Message]:
    """What a provider adds to the context of a run."""
    before = {"before": said(*shown)} if shown else {}
    context = SessionContext(session_id="new", input_messages=said(*questions), context_messages={**before})
    session = AgentSession(session_id="new")
    await provider.before_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]
    return context.context_messages.get(provider.source_id, [])


async def test_what_was_said_is_recalled_as_one_message_of_the_user(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada")
    await remember(memories, *said("I am allergic to peanuts."), *said("Noted.", role="assistant"))
    annals.settle()
    (message,) = await recalled(memories, "Which nuts", "may I eat? Am I allergic?")
    assert message.role == "user"
    assert message.text.splitlines()[:3] == [*PROMPT.splitlines(), "I am allergic to peanuts."]
    assert message.additional_properties["_attribution"] == {
        "source_id": "annals_memory",
        "source_type": "AnnalsContextProvider",
    }


async def test_a_prompt_of_ones_own_stands_before_the_memories(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada", context_prompt="Known:")
    await remember(memories, *said("I like tea."))
    annals.settle()
    assert texts(await recalled(memories, "tea?")) == ["Known:\nI like tea."]


async def test_no_more_than_top_k_memories_are_recalled(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada", top_k=2)
    for number in range(6):
        await remember(memories, *said(f"Tea number {number} is good."), session_id=f"s-{number}")
    annals.settle()
    (message,) = await recalled(memories, "Which tea is good?")
    assert len(message.text.splitlines()) == len(PROMPT.splitlines()) + 2


async def test_any_text_may_be_asked(async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada")
    assert await recalled(memories, "half a pair: \ud83d, NUL: \x00", "word " * 100_000) == []


@pytest.mark.parametrize("question", ["", "   "])
async def test_nothing_is_searched_for_where_nothing_is_asked(async_annals: AsyncAnnals, question: str) -> None:
    assert await recalled(AnnalsContextProvider(client=async_annals, user_id="a", search_user_id="a"), question) == []


async def test_what_the_model_is_shown_anyway_is_not_recalled(annals: Annals, async_annals: AsyncAnnals) -> None:
    memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada")
    await remember(memories, *said("I like tea."))
    annals.settle()
    assert await recalled(memories, "Do I like tea?", shown=("I like tea.",)) == []


class TestScopes:
    async def test_what_other_users_said_is_not_recalled(self, annals: Annals, async_annals: AsyncAnnals) -> None:
        ada = AnnalsContextProvider(client=async_annals, user_id="ada", agent_id="helper", search_user_id="ada")
        ben = AnnalsContextProvider(client=async_annals, user_id="ben", agent_id="helper", search_user_id="ben")
        await remember(ada, *said("My code is 1234."))
        await remember(ben, *said("My code is 5678."))
        annals.settle()
        assert texts(await recalled(ada, "What is my code?")) == [f"{PROMPT}\nMy code is 1234."]

    async def test_what_an_agent_was_told_is_recalled_whoever_said_it(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        ada = AnnalsContextProvider(client=async_annals, user_id="ada", agent_id="helper")
        ben = AnnalsContextProvider(client=async_annals, user_id="ben", agent_id="other")
        await remember(ada, *said("The code is 1234."))
        await remember(ben, *said("The code is 5678."))
        annals.settle()
        helper = AnnalsContextProvider(client=async_annals, agent_id="helper", search_agent_id="helper")
        assert texts(await recalled(helper, "What is the code?")) == [f"{PROMPT}\nThe code is 1234."]

    async def test_a_user_and_an_agent_are_searched_apart_and_merged(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        await remember(AnnalsContextProvider(client=async_annals, user_id="ada"), *said("Ada likes tea."))
        await remember(AnnalsContextProvider(client=async_annals, agent_id="helper"), *said("Tea is at noon."))
        await remember(
            AnnalsContextProvider(client=async_annals, user_id="ada", agent_id="helper"), *said("Tea is green.")
        )
        annals.settle()
        both = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada", search_agent_id="helper")
        (message,) = await recalled(both, "What of tea?")
        assert sorted(message.text.removeprefix(PROMPT).split("\n")[1:]) == [
            "Ada likes tea.",
            "Tea is at noon.",
            "Tea is green.",
        ]

    async def test_applications_are_apart(self, annals: Annals, async_annals: AsyncAnnals) -> None:
        shop = AnnalsContextProvider(client=async_annals, application_id="shop", user_id="ada", search_user_id="ada")
        clinic = AnnalsContextProvider(client=async_annals, application_id="clinic", user_id="ada")
        await remember(shop, *said("I like tea."))
        await remember(clinic, *said("Tea makes me ill."))
        annals.settle()
        assert texts(await recalled(shop, "tea?")) == [f"{PROMPT}\nI like tea."]
        whole = AnnalsContextProvider(client=async_annals, application_id="x", search_application_id="clinic")
        assert texts(await recalled(whole, "tea?")) == [f"{PROMPT}\nTea makes me ill."]

    async def test_the_retrieval_scope_never_follows_from_the_storage_scope(
        self, annals: Annals, async_annals: AsyncAnnals, caplog: pytest.LogCaptureFixture
    ) -> None:
        memories = AnnalsContextProvider(client=async_annals, application_id="app", agent_id="helper", user_id="ada")
        await remember(memories, *said("I like tea."))
        annals.settle()
        with caplog.at_level(logging.WARNING):
            assert await recalled(memories, "tea?") == await recalled(memories, "tea?") == []
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    async def test_a_provider_without_a_storage_scope_is_refused(self, async_annals: AsyncAnnals) -> None:
        memories = AnnalsContextProvider(client=async_annals, search_user_id="ada")
        with pytest.raises(ValueError, match="application_id, agent_id"):
            await recalled(memories, "tea?")
        with pytest.raises(ValueError, match="application_id, agent_id"):
            await remember(memories, *said("I like tea."))

    def test_bounds_that_mean_nothing_are_refused(self, async_annals: AsyncAnnals) -> None:
        with pytest.raises(ValueError, match="top_k"):
            AnnalsContextProvider(client=async_annals, user_id="ada", top_k=0)


class TestRemembering:
    async def test_texts_of_users_assistants_and_the_system_are_stored(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        memories = AnnalsContextProvider(client=async_annals, user_id="ada")
        call = Content.from_function_call("c-1", "clock", arguments={})
        result = Message("tool", [Content.from_function_result("c-1", result="noon")])
        made = [Message("assistant", [call]), result, *said("Noon.", role="assistant"), *said(" ", role="assistant")]
        await remember(memories, *said("Time?"), *made, *said("Be brief.", role="system"))
        (conversation,) = conversations_of(annals)
        stored = list(annals.messages.list(conversation.conversation_id))
        assert [message.content for message in stored] == ["Time?", "Noon.", "Be brief."]

    async def test_a_run_in_which_nothing_was_said_stores_nothing(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        memories = AnnalsContextProvider(client=async_annals, user_id="ada")
        await remember(memories, *said(""))
        assert conversations_of(annals) == []

    async def test_erasing_a_user_erases_what_is_remembered(self, annals: Annals, async_annals: AsyncAnnals) -> None:
        memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada")
        await remember(memories, *said("I like tea."))
        annals.settle()
        annals.users.erase("ada")
        annals.settle()
        assert await recalled(memories, "tea?") == []


class TestWithAnAgent:
    async def test_a_new_session_knows_what_the_user_said_in_another(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        memories = AnnalsContextProvider(client=async_annals, user_id="ada", search_user_id="ada")
        model = ScriptedModel("Noted.", "Tea.")
        agent = Agent(client=model, context_providers=[memories])
        await agent.run("I like tea.", session=agent.create_session())
        annals.settle()
        await agent.run("What do I like?", session=agent.create_session())
        assert "I like tea." in model.asked[1][0].text

    async def test_beside_a_history_of_the_same_scope_nothing_is_stored_twice(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        scope: dict[str, Any] = {"client": async_annals, "user_id": "ada"}
        history = AnnalsHistoryProvider(**scope)
        memories = AnnalsContextProvider(**scope, search_user_id="ada")
        model = ScriptedModel("Noted.", "Tea.")
        agent = Agent(client=model, context_providers=[history, memories])
        await agent.run("I like tea.", session=AgentSession(session_id="s-1"))
        annals.settle()
        assert [conversation.message_count for conversation in conversations_of(annals)] == [2]
        await agent.run("What do I like?", session=AgentSession(session_id="s-2"))
        assert "I like tea." in model.asked[1][0].text
        assert texts(await history.get_messages("s-2")) == ["What do I like?", "Tea."]

    async def test_beside_a_history_of_another_scope_it_stores_for_itself(
        self, annals: Annals, async_annals: AsyncAnnals
    ) -> None:
        history = AnnalsHistoryProvider(client=async_annals, user_id="ada")
        memories = AnnalsContextProvider(client=async_annals, user_id="ada", agent_id="helper")
        agent = Agent(client=ScriptedModel("Noted."), context_providers=[history, memories])
        await agent.run("I like tea.", session=AgentSession(session_id="s-1"))
        assert [conversation.message_count for conversation in conversations_of(annals)] == [2, 2]


async def test_a_run_goes_on_where_the_search_does_not_answer_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    problem = {"type": "about:blank", "title": "No search", "status": 503, "code": "SEARCH_UNAVAILABLE", "detail": "x"}
    out_of_order = httpx.MockTransport(lambda _: httpx.Response(503, json=problem))
    http = httpx.AsyncClient(transport=out_of_order)
    client = AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES, http=http)
    memories = AnnalsContextProvider(client=client, user_id="ada", search_user_id="ada")
    with caplog.at_level(logging.ERROR):
        assert await recalled(memories, "tea?") == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_run_fails_where_annals_cannot_be_reached() -> None:
    nowhere = AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES)
    memories = AnnalsContextProvider(client=nowhere, user_id="ada", search_user_id="ada")
    with pytest.raises(ConnectionFailed):
        await recalled(memories, "tea?")
