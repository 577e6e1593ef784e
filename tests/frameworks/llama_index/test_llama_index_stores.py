"""LlamaIndex' chats, kept by Annals: lists of messages by key, and what is recalled of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import SimpleChatStore

from annals_client.integrations.llama_index import AnnalsChatStore, AnnalsMemoryBlock
from annals_client.testing import Annals, AsyncAnnals

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/llama_index_chat.py"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
EVERY_KIND = [
    ChatMessage("Be kind.", role=MessageRole.SYSTEM),
    ChatMessage("Grüß dich 👋", role=MessageRole.USER, additional_kwargs={"n": 1.0, "none": None, "deep": [{"a": 1}]}),
    ChatMessage(
        role=MessageRole.USER, blocks=[TextBlock(text="What"), ImageBlock(image=PNG), TextBlock(text="is it?")]
    ),
    ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[
            ThinkingBlock(content="Hm.", additional_information={"signature": "s"}),
            ToolCallBlock(tool_call_id="call-1", tool_name="brew", tool_kwargs={"tea": "green", "degrees": 80.5}),
        ],
    ),
    ChatMessage("Done.", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call-1"}),
    ChatMessage(
        role=MessageRole.CHATBOT,
        blocks=[
            AudioBlock(audio=b"RIFF\x00\x01", format="wav"),
            DocumentBlock(data=b"%PDF-1.4", title="tea.pdf", document_mimetype="application/pdf"),
            CitableBlock(title="Tea", source="book", content=[TextBlock(text="It is green.")]),
        ],
    ),
    ChatMessage("", role=MessageRole.USER),
    ChatMessage(role=MessageRole.MODEL, blocks=[]),
]


def read_again(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Messages as the framework itself reads what it wrote."""
    return [ChatMessage.model_validate_json(message.model_dump_json()) for message in messages]


@pytest.fixture
def store(annals: Annals) -> AnnalsChatStore:
    """A user's chats."""
    return AnnalsChatStore(annals, user_id="ada", memory_space_id="demo")


def texts(store: AnnalsChatStore, key: str = "chat-7") -> list[str | None]:
    """What is said in a chat."""
    return [message.content for message in store.get_messages(key)]


def said(*contents: str) -> list[ChatMessage]:
    """Messages of a user."""
    return [one(content) for content in contents]


def one(content: str) -> ChatMessage:
    """A message of a user."""
    return ChatMessage(content, role=MessageRole.USER)


def test_messages_of_every_kind_come_back_as_the_framework_itself_reads_them(store: AnnalsChatStore) -> None:
    for message in EVERY_KIND:
        store.add_message("chat-7", message)
    assert store.get_messages("chat-7") == read_again(EVERY_KIND)


def test_each_message_is_one_of_the_ledger_with_its_role_and_its_words(store: AnnalsChatStore, annals: Annals) -> None:
    store.set_messages("chat-7", EVERY_KIND)
    talk = annals.conversations.find_session("chat-7", user_id="ada", memory_space_id="demo")
    assert talk is not None
    stored = [*annals.messages.list(talk.conversation_id)]
    assert [message.original_role or message.role for message in stored] == [
        "system", "user", "user", "assistant", "tool", "user", "user", "model"
    ]  # fmt: skip
    assert [message.content for message in stored][:5] == ["Be kind.", "Grüß dich 👋", "What\nis it?", "", "Done."]


def test_a_store_behaves_as_the_frameworks_own_in_memory(store: AnnalsChatStore) -> None:
    own = SimpleChatStore()
    steps: list[Callable[[Any], Any]] = [
        lambda it: it.get_messages("a"),
        lambda it: it.delete_messages("a"),
        lambda it: it.delete_message("a", 0),
        lambda it: it.delete_last_message("a"),
        lambda it: it.add_message("a", one("one")),
        lambda it: it.add_message("a", one("two")),
        lambda it: it.add_message("a", one("between"), 1),
        lambda it: it.delete_message("a", 5),
        lambda it: it.delete_message("a", 0),
        lambda it: it.add_message("b", one("other")),
        lambda it: it.delete_last_message("a"),
        lambda it: it.set_messages("a", said("x", "y", "z")),
        lambda it: it.set_messages("a", said("x", "z")),
        lambda it: it.delete_message("a", 1),
        lambda it: it.delete_messages("b"),
        lambda it: it.get_messages("b"),
        lambda it: it.set_messages("c", []),
        lambda it: it.get_messages("c"),
    ]
    for step in steps:
        assert step(store) == step(own)
        assert store.get_messages("a") == own.get_messages("a")


def test_what_is_set_anew_keeps_what_it_begins_with(store: AnnalsChatStore, annals: Annals) -> None:
    store.set_messages("chat-7", said("one", "two", "three"))
    store.set_messages("chat-7", said("one", "two", "drei", "vier"))
    assert texts(store) == ["one", "two", "drei", "vier"]
    talk = annals.conversations.find_session("chat-7", user_id="ada", memory_space_id="demo")
    assert talk is not None
    assert len([*annals.messages.list(talk.conversation_id, include_rewound=True)]) == 5
    assert annals.conversations.verify(talk.conversation_id).valid


def test_the_keys_are_those_of_this_user_and_space(store: AnnalsChatStore, annals: Annals) -> None:
    for key in ("one", "two/2", "three three"):
        store.add_message(key, one("hi"))
    AnnalsChatStore(annals, user_id="ben", memory_space_id="demo").add_message("four", one("hi"))
    AnnalsChatStore(annals).add_message("five", one("hi"))
    annals.conversations.get_or_create_session("something else's", user_id="ada", memory_space_id="demo")
    annals.settle()
    assert sorted(store.get_keys()) == ["one", "three three", "two/2"]
    assert AnnalsChatStore(annals).get_keys() == ["five"]
    store.delete_messages("one")
    annals.settle()
    assert sorted(store.get_keys()) == ["three three", "two/2"]


def test_the_same_key_of_two_users_is_two_lists(store: AnnalsChatStore, annals: Annals) -> None:
    other = AnnalsChatStore(annals, user_id="ben", memory_space_id="demo")
    store.add_message("chat-7", one("I am ada"))
    other.add_message("chat-7", one("I am ben"))
    assert (texts(store), texts(other)) == (["I am ada"], ["I am ben"])


def test_messages_added_at_once_are_all_there(store: AnnalsChatStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add_message("chat-7", one(str(number))), range(24)))
    assert sorted(int(text or 0) for text in texts(store)) == list(range(24))


def test_lists_set_at_once_do_not_mix(store: AnnalsChatStore) -> None:
    store.add_message("chat-7", one("first"))
    lists = [[f"{number}-{index}" for index in range(5)] for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda contents: store.set_messages("chat-7", said(*contents)), lists))
    assert texts(store) in lists


def test_a_message_that_no_entry_has_room_for_comes_back_whole(store: AnnalsChatStore) -> None:
    large = ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="é" * 600_000), ImageBlock(image=PNG * 15_000)])
    store.add_message("chat-7", large)
    assert store.get_messages("chat-7") == read_again([large])


async def test_all_of_it_is_there_for_asyncio(async_annals: AsyncAnnals) -> None:
    store = AnnalsChatStore(async_annals, user_id="ada")
    await store.aset_messages("chat-7", said("one", "two"))
    await store.async_add_message("chat-7", one("three"))
    await store.async_add_message("chat-7", one("half"), 1)
    assert [message.content for message in await store.aget_messages("chat-7")] == ["one", "half", "two", "three"]
    assert await store.adelete_message("chat-7", 1) == one("half")
    assert await store.adelete_message("chat-7", 9) is None
    assert await store.adelete_last_message("chat-7") == one("three")
    await async_annals.settle()
    assert await store.aget_keys() == ["chat-7"]
    assert await store.adelete_messages("chat-7") == said("one", "two")
    assert await store.aget_messages("chat-7") == []
    assert await store.adelete_last_message("chat-7") is None


def test_a_chat_engine_goes_on_in_another_process(annals: Annals) -> None:
    for prompt in ("one", "two"):
        memory = ChatMemoryBuffer.from_defaults(
            chat_store=AnnalsChatStore(annals, user_id="ada"), chat_store_key="chat-7", token_limit=3000
        )
        engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
        engine.chat(prompt)
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 2
    engine.reset()
    assert AnnalsChatStore(annals, user_id="ada").get_messages("chat-7") == []


def test_a_memory_recalls_what_was_said_in_an_earlier_chat(annals: Annals) -> None:
    def block() -> AnnalsMemoryBlock:
        return AnnalsMemoryBlock(client=annals, memory_space_id="demo", user_id="ada")

    async def earlier() -> None:
        memory = Memory.from_defaults(
            session_id="earlier",
            token_limit=60,
            chat_history_token_ratio=0.5,
            token_flush_size=10,
            memory_blocks=[block()],
        )
        await memory.aput_messages(
            said("My dog is called Rex, and he is allergic to peanuts.", *("filler words " * 5,) * 6)
        )

    async def later() -> str:
        memory = Memory.from_defaults(session_id="later", token_limit=4000, memory_blocks=[block()])
        await memory.aput(one("What is my dog called?"))
        return "\n".join(str(message.content) for message in await memory.aget())

    asyncio.run(earlier())
    annals.settle()
    assert "Rex" in asyncio.run(later())


def test_a_block_without_a_question_recalls_nothing(annals: Annals) -> None:
    block = AnnalsMemoryBlock(client=annals, memory_space_id="demo")
    assert asyncio.run(block.aget([])) == ""
    assert asyncio.run(block.atruncate("x" * 100, 10)) == "x" * 60
    assert asyncio.run(block.atruncate("x" * 10, 10)) is None


def test_the_example_runs_as_printed(annals_environment: None) -> None:
    for expected in (1, 2):
        done = subprocess.run(  # noqa: S603 - the example
            [sys.executable, EXAMPLE], capture_output=True, text=True, timeout=120, check=True
        )
        assert f"{2 * expected} messages" in done.stdout
