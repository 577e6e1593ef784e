"""The messages of threads: what is stored of them, what is given back, and how threads are continued."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from agent_framework import (
    AgentThread,
    ChatAgent,
    ChatMessage,
    DataContent,
    ErrorContent,
    FunctionApprovalRequestContent,
    FunctionApprovalResponseContent,
    FunctionCallContent,
    FunctionResultContent,
    HostedFileContent,
    HostedVectorStoreContent,
    TextContent,
    TextReasoningContent,
    UriContent,
    UsageContent,
    UsageDetails,
)
from asking_v1 import ScriptedModel, conversations_of, dialogue, dicts, said, texts

from annals_client import NO_RETRIES, ConnectionFailed
from annals_client.integrations.agent_framework_v1 import AnnalsChatAgent, AnnalsChatMessageStore, AnnalsThread
from annals_client.testing import Annals, AsyncAnnals

CALL = FunctionCallContent(call_id="c-1", name="weather", arguments='{"city": "Oslo"}')
CONTENTS = [
    TextContent("Snow.", additional_properties={"seen": True}),
    TextReasoningContent("It is winter."),
    DataContent(data=b"\x89PNG\r\n\x1a\n\x00", media_type="image/png"),
    UriContent("https://example.com/a.pdf", "application/pdf"),
    ErrorContent(message="No.", error_code="refused", details="Too cold."),
    CALL,
    FunctionCallContent(call_id="c-2", name="clock", arguments={"zone": None, "n": 1.5}),
    FunctionResultContent(call_id="c-1", result="-3 °C"),
    FunctionResultContent(call_id="c-1", result={"celsius": -3}),
    UsageContent(UsageDetails(input_token_count=3, output_token_count=5, total_token_count=8)),
    HostedFileContent("file-1"),
    HostedVectorStoreContent("store-1"),
    FunctionApprovalRequestContent(id="a-1", function_call=CALL),
    FunctionApprovalResponseContent(True, id="a-1", function_call=CALL),
]


@pytest.fixture
def store(async_annals: AsyncAnnals) -> AnnalsChatMessageStore:
    return AnnalsChatMessageStore("t-1", client=async_annals)


async def test_messages_come_back_equal_and_in_their_order(store: AnnalsChatMessageStore) -> None:
    messages = dialogue("Hello.", "Hi.", "How are you?", "Fine.")
    await store.add_messages(messages[:2])
    await store.add_messages(messages[2:])
    assert dicts(await store.list_messages()) == dicts(messages)


async def test_a_thread_that_nobody_spoke_in_has_no_messages(store: AnnalsChatMessageStore) -> None:
    assert await store.list_messages() == []
    await store.add_messages([])
    assert await store.list_messages() == []


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.type)
async def test_contents_come_back_equal(store: AnnalsChatMessageStore, content: Any) -> None:
    message = ChatMessage(
        role="assistant", contents=[content], author_name="helper", message_id="m-1", additional_properties={"a": [1]}
    )
    await store.add_messages([message])
    assert dicts(await store.list_messages()) == dicts([message])


async def test_a_message_over_400_kb_comes_back_equal(store: AnnalsChatMessageStore) -> None:
    message = ChatMessage(role="user", contents=[DataContent(data=bytes(600_000), media_type="image/png")])
    await store.add_messages([message])
    assert dicts(await store.list_messages()) == dicts([message])


async def test_the_newest_messages_are_returned_and_all_are_kept(annals: Annals, async_annals: AsyncAnnals) -> None:
    store = AnnalsChatMessageStore("t-1", client=async_annals, max_messages=3)
    await store.add_messages(dialogue(*map(str, range(10))))
    assert texts(await store.list_messages()) == ["7", "8", "9"]
    assert [conversation.message_count for conversation in conversations_of(annals)] == [10]


async def test_bounds_are_as_those_of_the_store_for_redis(annals: Annals, async_annals: AsyncAnnals) -> None:
    nothing = AnnalsChatMessageStore("t-1", client=async_annals, max_messages=0)
    await nothing.add_messages(said("Hello."))
    assert await nothing.list_messages() == []
    assert conversations_of(annals) == []
    with pytest.raises(ValueError, match="max_messages"):
        AnnalsChatMessageStore("t-1", client=async_annals, max_messages=-1)


async def test_a_thread_without_an_id_is_a_new_one(async_annals: AsyncAnnals) -> None:
    first, second = (AnnalsChatMessageStore(client=async_annals) for _ in range(2))
    await first.add_messages(said("Hello."))
    assert first.thread_id != second.thread_id
    assert await second.list_messages() == []


async def test_the_same_thread_id_of_two_users_is_two_threads(async_annals: AsyncAnnals) -> None:
    ada, ben = (AnnalsChatMessageStore("t-1", client=async_annals, user_id=user) for user in ("ada", "ben"))
    await ada.add_messages(said("I am Ada."))
    assert await ben.list_messages() == []


async def test_a_thread_begins_with_the_messages_that_it_is_made_with_and_once(async_annals: AsyncAnnals) -> None:
    for _ in range(2):
        store = AnnalsChatMessageStore("t-1", client=async_annals, messages=dialogue("Hello.", "Hi."))
        assert texts(await store.list_messages()) == ["Hello.", "Hi."]
    await store.add_messages(said("And?"))
    again = AnnalsChatMessageStore("t-1", client=async_annals, messages=said("Something else."))
    assert texts(await again.list_messages()) == ["Hello.", "Hi.", "And?"]


async def test_a_transcript_that_is_handed_on_twice_is_stored_once(store: AnnalsChatMessageStore) -> None:
    transcript = dialogue("Hello.", "Hi.")
    await store.add_messages(transcript)
    await store.add_messages([*transcript, *said("And?")])
    assert texts(await store.list_messages()) == ["Hello.", "Hi.", "And?"]


async def test_a_cleared_thread_begins_anew(store: AnnalsChatMessageStore) -> None:
    await store.add_messages(dialogue("Hello.", "Hi."))
    await store.clear()
    assert await store.list_messages() == []
    await store.add_messages(said("Again."))
    assert texts(await store.list_messages()) == ["Again."]


class TestStates:
    async def test_a_state_names_the_thread_and_holds_no_key(self, annals_url: str, annals_key: str) -> None:
        store = AnnalsChatMessageStore("t-1", url=annals_url, key=annals_key, user_id="ada", max_messages=5)
        written = json.dumps(await store.serialize())
        assert json.loads(written)["thread_id"] == "t-1"
        assert annals_key not in written

    async def test_a_store_is_restored_from_its_state(self, store: AnnalsChatMessageStore, annals: Annals) -> None:
        await store.add_messages(said("Hello."))
        state = json.loads(json.dumps(await store.serialize()))
        again = await AnnalsChatMessageStore.deserialize(state, client=annals)
        assert texts(await again.list_messages()) == ["Hello."]

    async def test_a_store_continues_the_thread_that_a_state_names(self, async_annals: AsyncAnnals) -> None:
        ada = AnnalsChatMessageStore("t-1", client=async_annals, user_id="ada", application_id="shop", max_messages=1)
        await ada.add_messages(dialogue("Hello.", "Hi."))
        store = AnnalsChatMessageStore(client=async_annals)
        await store.update_from_state(await ada.serialize())
        assert texts(await store.list_messages()) == ["Hi."]

    @pytest.mark.parametrize("state", [None, {}, {"messages": []}])
    async def test_a_state_that_names_no_thread_is_refused(self, async_annals: AsyncAnnals, state: Any) -> None:
        with pytest.raises(ValueError, match="names no thread"):
            await AnnalsChatMessageStore.deserialize(state, client=async_annals)
        named = AnnalsChatMessageStore("t-1", client=async_annals)
        await named.update_from_state(state)
        assert named.thread_id == "t-1"


class TestWithAnAgent:
    async def test_the_model_is_shown_what_was_said_before(self, async_annals: AsyncAnnals) -> None:
        model = ScriptedModel("Hello, Ada.", "Ada.")
        agent = ChatAgent(model, chat_message_store_factory=lambda: AnnalsChatMessageStore(client=async_annals))
        thread = agent.get_new_thread()
        await agent.run("I am Ada.", thread=thread)
        await agent.run("Who am I?", thread=thread)
        assert texts(model.asked[1]) == ["I am Ada.", "Hello, Ada.", "Who am I?"]

    async def test_a_thread_that_was_written_down_goes_on_in_another_process(
        self, async_annals: AsyncAnnals, annals_url: str, annals_key: str
    ) -> None:
        agent = AnnalsChatAgent(
            ScriptedModel("Hello, Ada."),
            chat_message_store_factory=lambda: AnnalsChatMessageStore(client=async_annals, user_id="ada"),
        )
        thread = agent.get_new_thread()
        await agent.run("I am Ada.", thread=thread)
        program = (
            "import asyncio, json, sys\n"
            "from annals_client.integrations.agent_framework_v1 import AnnalsChatAgent, AnnalsChatMessageStore\n"
            "from asking_v1 import ScriptedModel, texts\n"
            "model = ScriptedModel('Ada.')\n"
            "agent = AnnalsChatAgent(model, chat_message_store_factory=AnnalsChatMessageStore)\n"
            "async def main():\n"
            "    thread = await agent.deserialize_thread(json.load(sys.stdin))\n"
            "    await agent.run('Who am I?', thread=thread)\n"
            "asyncio.run(main())\n"
            "print(json.dumps(texts(model.asked[0])))\n"
        )
        answer = subprocess.run(  # noqa: S603 - the program above
            [sys.executable, "-c", program],
            input=json.dumps(await thread.serialize()),
            env={**os.environ, "ANNALS_URL": annals_url, "ANNALS_KEY": annals_key},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert json.loads(answer.stdout) == ["I am Ada.", "Hello, Ada.", "Who am I?"]
        assert thread.message_store is not None
        assert texts(await thread.message_store.list_messages())[2:] == ["Who am I?", "Ada."]

    async def test_a_thread_of_the_framework_that_lost_its_id_is_not_continued_as_another(
        self, async_annals: AsyncAnnals
    ) -> None:
        thread = AgentThread(message_store=AnnalsChatMessageStore("t-1", client=async_annals))
        state = await thread.serialize()
        agent = ChatAgent(
            ScriptedModel(), chat_message_store_factory=lambda: AnnalsChatMessageStore(client=async_annals)
        )
        with pytest.raises(ValueError, match="AnnalsChatAgent"):
            await agent.deserialize_thread(state)

    async def test_a_thread_of_the_framework_goes_on_where_the_store_is_made_with_its_id(
        self, async_annals: AsyncAnnals
    ) -> None:
        model = ScriptedModel("Hello, Ada.", "Ada.")
        agent = ChatAgent(model, chat_message_store_factory=lambda: AnnalsChatMessageStore("t-1", client=async_annals))
        thread = agent.get_new_thread()
        await agent.run("I am Ada.", thread=thread)
        again = await agent.deserialize_thread(json.loads(json.dumps(await thread.serialize())))
        await agent.run("Who am I?", thread=again)
        assert texts(model.asked[1]) == ["I am Ada.", "Hello, Ada.", "Who am I?"]

    async def test_threads_of_a_service_stay_the_services(self) -> None:
        agent = AnnalsChatAgent(ScriptedModel())
        thread = agent.get_new_thread(service_thread_id="of-the-service")
        assert isinstance(thread, AnnalsThread)
        again = await agent.deserialize_thread(json.loads(json.dumps(await thread.serialize())))
        assert again.service_thread_id == "of-the-service"

    async def test_calls_of_tools_and_streamed_replies_are_stored(self, store: AnnalsChatMessageStore) -> None:
        def weather(city: str) -> str:
            """The weather in a city."""
            return f"Snow in {city}."

        agent = AnnalsChatAgent(
            ScriptedModel(CALL, "Take a coat.", "Yes."), chat_message_store_factory=lambda: store, tools=[weather]
        )
        thread = agent.get_new_thread()
        await agent.run("Oslo?", thread=thread)
        async for _ in agent.run_stream("Sure?", thread=thread):
            pass
        stored = await store.list_messages()
        roles = [str(message.role) for message in stored]
        assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"]
        assert texts(stored)[-2:] == ["Sure?", "Yes."]

    async def test_a_run_fails_where_annals_fails(self) -> None:
        nowhere = AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES)
        agent = ChatAgent(
            ScriptedModel("Hello."), chat_message_store_factory=lambda: AnnalsChatMessageStore(client=nowhere)
        )
        with pytest.raises(ConnectionFailed):
            await agent.run("Hello.", thread=agent.get_new_thread())
