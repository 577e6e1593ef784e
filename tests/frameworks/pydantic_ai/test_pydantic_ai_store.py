"""Pydantic AI's conversations with all that they carry, kept by Annals as its own store in memory keeps them."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import Tool

from annals_client.integrations.pydantic_ai import AnnalsConversationStore
from annals_client.integrations.pydantic_ai import store as module
from annals_client.testing import Annals, AsyncAnnals

ID = "chat-7"
OWNER: Any = {"user_id": "ada", "memory_space_id": "demo"}


def heard(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that says what it heard."""
    parts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    return ModelResponse([TextPart(f"I heard {', '.join(str(part.content) for part in parts)}")])


AGENT = Agent(FunctionModel(heard))


def other(async_annals: AsyncAnnals, **owner: Any) -> AnnalsConversationStore:
    """A store of another process, as far as it knows."""
    return AnnalsConversationStore(async_annals, **(owner or OWNER))


@pytest.fixture
def store(async_annals: AsyncAnnals) -> AnnalsConversationStore:
    """A user's conversations."""
    return other(async_annals)


async def turn(store: ConversationStore, prompt: str, conversation_id: str = ID, **options: Any) -> str:
    """A run that goes on with a conversation; what the agent says."""
    conversation = await store.load(conversation_id) or Conversation(conversation_id=conversation_id)
    result = await AGENT.run(prompt, conversation=conversation)
    await store.save(result, **options)
    return str(result.output)


def texts(messages: list[ModelMessage]) -> list[str]:
    """What is said in messages."""
    return [str(part.content) for message in messages for part in message.parts if hasattr(part, "content")]


async def loaded(store: ConversationStore, conversation_id: str = ID) -> list[str] | None:
    """What is said in a conversation; None where there is none."""
    conversation = await store.load(conversation_id)
    return None if conversation is None else texts(conversation.messages)


def shown(annals: Annals, **options: Any) -> list[str]:
    """What the ledger shows of the conversation."""
    talk = annals.conversations.find_session(ID, **OWNER)
    assert talk is not None
    assert annals.conversations.verify(talk.conversation_id).valid
    return [message.content for message in annals.messages.list(talk.conversation_id, **options)]


async def test_a_conversation_goes_on_in_another_process_with_its_usage(async_annals: AsyncAnnals) -> None:
    for number, prompt in enumerate(("one", "two", "three"), start=1):
        said = await turn(other(async_annals), prompt)
        assert said == f"I heard {', '.join(('one', 'two', 'three')[:number])}"
    conversation = await other(async_annals).load(ID)
    assert conversation is not None
    assert len(conversation.messages) == 6
    assert conversation.usage.requests == 3


async def test_each_message_is_stored_once(store: AnnalsConversationStore, annals: Annals) -> None:
    for prompt in ("one", "two"):
        await turn(store, prompt)
    assert shown(annals) == ["one", "I heard one", "two", "I heard one, two"]


async def test_what_is_loaded_is_equal_to_what_was_saved(store: AnnalsConversationStore) -> None:
    result = await AGENT.run("Grüß dich", conversation=Conversation(conversation_id=ID))
    await store.save(result)
    again = await store.load(ID)
    assert again == result.conversation


async def test_tool_calls_that_wait_for_an_answer_are_kept(async_annals: AsyncAnnals) -> None:
    def send(to: str) -> str:
        return f"sent to {to}"

    agent = Agent(TestModel(), output_type=[str, DeferredToolRequests], tools=[Tool(send, requires_approval=True)])
    result = await agent.run("Send it", conversation=Conversation(conversation_id=ID))
    assert isinstance(result.output, DeferredToolRequests)
    await other(async_annals).save(result)
    again = await other(async_annals).load(ID)
    assert again is not None
    assert again.deferred_tool_requests == result.output
    assert again.deferred_tool_requests is not None
    answers = again.deferred_tool_requests.build_results(approve_all=True)
    final = await agent.run(conversation=again, deferred_tool_results=answers)
    await other(async_annals).save(final)
    assert "sent to" in str(final.output)


async def test_only_the_newest_messages_are_loaded_if_asked(store: AnnalsConversationStore) -> None:
    for prompt in ("one", "two"):
        await turn(store, prompt)
    conversation = await store.load(ID, limit=2)
    assert conversation is not None
    assert texts(conversation.messages) == ["two", "I heard one, two"]
    result = await AGENT.run("three", conversation=conversation)
    await store.save(result)
    said = await loaded(store)
    assert said is not None
    assert said[-2:] == ["three", "I heard two, three"]
    assert len(said) == 6
    nothing = await store.load(ID, limit=0)
    assert nothing is not None
    assert nothing.messages == []


async def test_of_two_savers_one_is_refused_and_nothing_of_it_stays(async_annals: AsyncAnnals, annals: Annals) -> None:
    await turn(other(async_annals), "one")
    stores = [other(async_annals) for _ in range(4)]
    conversations = [await store.load(ID) for store in stores]
    results = [await AGENT.run(f"at once {n}", conversation=each) for n, each in enumerate(conversations)]
    ends = await asyncio.gather(
        *(store.save(result) for store, result in zip(stores, results, strict=True)), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["ConversationConflict"] * 3 + ["list"]
    said = await loaded(other(async_annals))
    assert said is not None
    assert len(said) == 4
    assert shown(annals) == said


async def test_of_two_who_begin_a_conversation_one_is_refused(async_annals: AsyncAnnals, annals: Annals) -> None:
    results = [await AGENT.run(f"first {n}", conversation=Conversation(conversation_id=ID)) for n in range(3)]
    ends = await asyncio.gather(*(other(async_annals).save(result) for result in results), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["ConversationConflict"] * 2 + ["list"]
    assert shown(annals) == await loaded(other(async_annals))


async def test_what_a_killed_saver_left_is_taken_back_by_the_next_one(
    store: AnnalsConversationStore, annals: Annals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)

    async def killed(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    for number, prompt in enumerate(("one", "two")):
        conversation = await store.load(ID) or Conversation(conversation_id=ID)
        result = await AGENT.run(f"lost {number}", conversation=conversation)
        with monkeypatch.context() as patch:
            patch.setattr(AnnalsConversationStore, "_put", killed)
            with pytest.raises(asyncio.CancelledError):
                await store.save(result)
        assert f"lost {number}" in shown(annals)
        await turn(store, prompt)
    assert shown(annals) == ["one", "I heard one", "two", "I heard one, two"]


async def test_a_branch_that_is_left_is_not_shown_and_can_be_gone_back_to(
    store: AnnalsConversationStore, annals: Annals, async_annals: AsyncAnnals
) -> None:
    await turn(store, "one")
    await turn(store, "two")
    before = await store.load(ID)
    assert before is not None
    await store.branch(ID, at=2, expected_revision=before.revision)
    assert shown(annals) == ["one", "I heard one"]
    await turn(other(async_annals), "instead")
    assert shown(annals) == ["one", "I heard one", "instead", "I heard one, instead"]
    record = await other(async_annals).read_record(ID)
    assert record is not None
    fresh = other(async_annals)
    back = await fresh.branch(ID, from_entry=record.branches[0], expected_revision=record.revision)
    assert texts(back.messages) == ["one", "I heard one", "two", "I heard one, two"]
    assert await turn(other(async_annals), "three") == "I heard one, two, three"


async def test_a_history_that_was_rewritten_is_stored_as_a_branch(
    store: AnnalsConversationStore, annals: Annals
) -> None:
    await turn(store, "one")
    await turn(store, "two")
    conversation = await store.load(ID)
    assert conversation is not None
    summary: list[ModelMessage] = [conversation.messages[0], ModelResponse([TextPart("All of it, in short")])]
    rewritten = dataclasses.replace(conversation, messages=summary, new_message_index=None)
    await store.save(rewritten)
    assert await loaded(store) == ["one", "All of it, in short"]
    assert shown(annals) == ["one", "All of it, in short"]


async def test_a_fork_lives_on_without_what_it_came_from(
    store: AnnalsConversationStore, async_annals: AsyncAnnals
) -> None:
    await turn(store, "one")
    await turn(store, "two")
    fork = await store.fork(ID, at=2, new_conversation_id="fork")
    assert texts(fork.messages) == ["one", "I heard one"]
    await store.delete(ID)
    assert await turn(other(async_annals), "three", "fork") == "I heard one, three"
    assert await loaded(other(async_annals), "fork") == ["one", "I heard one", "three", "I heard one, three"]
    with pytest.raises(ConversationConflict):
        await store.fork("fork", new_conversation_id="fork")


async def test_a_deleted_conversation_is_erased_and_its_id_is_free(
    store: AnnalsConversationStore, annals: Annals
) -> None:
    await turn(store, "one")
    held = await store.load(ID)
    assert held is not None
    await store.delete(ID)
    assert await store.load(ID) is None
    assert await store.list_conversations() == []
    assert annals.conversations.find_session(ID, **OWNER) is None
    with pytest.raises(ConversationConflict):
        await store.save(held)
    await turn(store, "again")
    assert shown(annals) == ["again", "I heard again"]
    await store.delete("nowhere")


async def test_a_deletion_that_broke_off_is_done_by_who_comes_next(
    store: AnnalsConversationStore, annals: Annals, monkeypatch: pytest.MonkeyPatch, async_annals: AsyncAnnals
) -> None:
    await turn(store, "one")

    async def killed(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(AnnalsConversationStore, "_erase", killed)
        with pytest.raises(asyncio.CancelledError):
            await store.delete(ID)
    assert await other(async_annals).list_conversations() == []
    assert await other(async_annals).load(ID) is None
    assert annals.conversations.find_session(ID, **OWNER) is None


async def test_a_conversation_that_annals_erased_is_gone_and_can_begin_again(
    store: AnnalsConversationStore, annals: Annals, async_annals: AsyncAnnals
) -> None:
    await turn(store, "one")
    held = await store.load(ID)
    assert held is not None
    talk = annals.conversations.find_session(ID, **OWNER)
    assert talk is not None
    annals.conversations.erase(talk.conversation_id)
    assert await other(async_annals).load(ID) is None
    assert await turn(other(async_annals), "again") == "I heard again"
    with pytest.raises(ConversationConflict):
        await store.save(held)


async def test_conversations_are_listed_by_scope_the_last_saved_first(
    store: AnnalsConversationStore, async_annals: AsyncAnnals
) -> None:
    for conversation_id, scope in (("a", "x"), ("b", "y"), ("c", "x")):
        await turn(store, "hi", conversation_id, scope=scope)
    await turn(store, "again", "a")

    async def ids(**options: Any) -> list[str]:
        return [record.conversation_id for record in await other(async_annals).list_conversations(**options)]

    assert await ids() == ["a", "c", "b"]
    assert await ids(scope="x") == ["a", "c"]
    assert await ids(limit=1) == ["a"]
    assert await ids(limit=0) == []
    assert await store.load("b", scope="x") is None
    with pytest.raises(ConversationConflict):
        await turn(store, "not yours", "b", scope="x")


@pytest.mark.parametrize(
    "owners", [(OWNER, {**OWNER, "user_id": "ben"}), ({"user_id": "ada"}, {"user_id": "ben"}), ({}, OWNER)]
)
async def test_the_same_id_of_two_owners_is_two_conversations(async_annals: AsyncAnnals, owners: Any) -> None:
    stores = [AnnalsConversationStore(async_annals, **owner) for owner in owners]
    for number, each in enumerate(stores):
        await turn(each, str(number))
    assert [await loaded(each) for each in stores] == [["0", "I heard 0"], ["1", "I heard 1"]]
    assert [len(await each.list_conversations()) for each in stores] == [1, 1]


async def test_messages_and_records_of_any_size_are_kept(store: AnnalsConversationStore) -> None:
    large = ModelRequest([UserPromptPart("é" * 600_000)])
    await store.save(Conversation(conversation_id=ID, messages=[large]))
    conversation = await store.load(ID)
    assert conversation is not None
    assert conversation.messages == [large]


async def test_what_is_not_there_is_said_as_the_framework_does(store: AnnalsConversationStore) -> None:
    assert await store.load(ID) is None
    assert await store.load_entries(ID) is None
    with pytest.raises(LookupError):
        await store.read_entry("nothing")
    with pytest.raises(LookupError):
        await store.read_history("nothing")
    with pytest.raises(UserError):
        await store.fork(ID)
    missing = ConversationRecord(conversation_id=ID, head_id="nothing")
    with pytest.raises(ConversationConflict):
        await store.write_record(missing, expected_revision=None)


async def test_an_entry_is_read_by_its_id(store: AnnalsConversationStore) -> None:
    result = await AGENT.run("one", conversation=Conversation(conversation_id=ID))
    entries = await store.save(result)
    assert [await store.read_entry(entry.id) for entry in entries] == entries
    assert await store.load_entries(ID) == entries


async def test_it_does_what_the_frameworks_own_store_does(store: AnnalsConversationStore) -> None:
    """A walk through saves, branches and forks, side by side."""
    own = InMemoryConversationStore()
    revisions: dict[int, str | None] = {}

    async def step(it: ConversationStore, number: int) -> Any:
        conversation = await it.load(ID)
        revision = None if conversation is None else conversation.revision
        match number % 5:
            case 0 | 1 | 3:
                await turn(it, str(number))
            case 2:
                kept = await it.branch(ID, at=max(0, number % 4), expected_revision=revision)
                return texts(kept.messages)
            case _:
                fork = await it.fork(ID, new_conversation_id=f"fork-{number}")
                await turn(it, f"in fork {number}", f"fork-{number}")
                return texts(fork.messages)
        revisions[id(it)] = revision
        return await loaded(it)

    for number in range(15):
        assert await step(store, number) == await step(own, number)
        assert await loaded(store) == await loaded(own)
    for number in (4, 9, 14):
        assert await loaded(store, f"fork-{number}") == await loaded(own, f"fork-{number}")
    with pytest.raises(ConversationConflict):
        await store.branch(ID, at=0, expected_revision="another")


def test_a_store_works_in_several_event_loops(annals: Annals) -> None:
    store = AnnalsConversationStore(annals, **OWNER)
    for prompt in ("one", "two"):
        asyncio.run(turn(store, prompt))
    assert shown(annals)[-1] == "I heard one, two"
