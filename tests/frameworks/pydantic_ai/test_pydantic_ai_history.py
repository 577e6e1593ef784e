"""The messages of Pydantic AI's agents, kept by Annals: all of them, exactly, once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, BinaryContent, ImageUrl, ModelSettings
from pydantic_ai.messages import (
    DocumentUrl,
    FilePart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from annals_client import Annals, AsyncAnnals
from annals_client.integrations.pydantic_ai import AnnalsMessageHistory

EXAMPLE = Path(__file__).parents[3] / "examples/integrations/pydantic_ai_chat.py"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
EVERY_KIND: list[ModelMessage] = [
    ModelRequest(
        [
            SystemPromptPart("Be kind.", timestamp=NOW, dynamic_ref="name"),
            UserPromptPart("Grüß dich 👋\u0000", timestamp=NOW),
        ],
        instructions="Answer briefly.",
        timestamp=NOW,
        run_id="run-1",
        metadata={"nested": {"n": 1.0, "none": None, "big": 12345678901234567890}},
    ),
    ModelResponse(
        [
            ThinkingPart("Hm.", id="t-1", signature="sig", provider_name="p"),
            TextPart("One moment.", id="x-1"),
            ToolCallPart("brew", {"tea": "green", "degrees": 80.0, "sugar": None}, "call-1"),
            ToolCallPart("brew", '{"tea": "black"}', "call-2"),
            NativeToolCallPart("web_search", {"query": "tea"}, tool_call_id="call-3", provider_name="p"),
            NativeToolReturnPart(
                "web_search", {"hits": [1, 2.5]}, tool_call_id="call-3", provider_name="p", timestamp=NOW
            ),
            FilePart(BinaryContent(b"\x00\xff", media_type="image/png")),
        ],
        usage=RequestUsage(input_tokens=5, output_tokens=7, details={"reasoning": 3}),
        model_name="m",
        timestamp=NOW,
        provider_name="p",
        provider_details={"finish_reason": "tool_calls"},
        provider_response_id="r-1",
        finish_reason="tool_call",
        run_id="run-1",
    ),
    ModelRequest(
        [
            ToolReturnPart(
                "brew", {"done": True, "cups": [1, {"size": 0.2}]}, "call-1", metadata={"ms": 12}, timestamp=NOW
            ),
            RetryPromptPart("No black tea.", tool_name="brew", tool_call_id="call-2", timestamp=NOW),
        ],
        run_id="run-1",
    ),
    ModelRequest(
        [
            UserPromptPart(
                [
                    "What is this?",
                    ImageUrl("https://example.com/tea.png"),
                    DocumentUrl("https://example.com/tea.pdf"),
                    BinaryContent(b"\x89PNG" + bytes(range(256)), media_type="image/png"),
                ],
                timestamp=NOW,
            )
        ]
    ),
    ModelResponse([TextPart("")], timestamp=NOW),
]


def read_again(messages: list[ModelMessage]) -> list[ModelMessage]:
    """Messages as the framework itself reads what it wrote."""
    return ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(messages))


def as_json(messages: list[ModelMessage]) -> Any:
    """What the framework itself writes of messages that it read."""
    return json.loads(ModelMessagesTypeAdapter.dump_json(read_again(messages)))


@pytest.fixture
def history(annals: Annals) -> AnnalsMessageHistory:
    """The history of a chat."""
    return AnnalsMessageHistory("chat-7", annals, user_id="ada", memory_space_id="demo")


def stored(annals: Annals) -> list[tuple[str | None, str]]:
    """Roles and words of the chat in the ledger."""
    talk = annals.conversations.find_session("chat-7", user_id="ada", memory_space_id="demo")
    assert talk is not None
    return [(message.role, message.content) for message in annals.messages.list(talk.conversation_id)]


def test_messages_of_every_kind_come_back_equal_and_as_the_same_json(history: AnnalsMessageHistory) -> None:
    history.append(EVERY_KIND)
    again = history.load()
    assert json.loads(ModelMessagesTypeAdapter.dump_json(again)) == as_json(EVERY_KIND)
    assert again == read_again(EVERY_KIND)


def test_each_message_is_one_of_the_ledger_with_its_role_and_its_words(
    history: AnnalsMessageHistory, annals: Annals
) -> None:
    history.append(EVERY_KIND)
    assert stored(annals) == [
        ("user", "Be kind.\nGrüß dich 👋\u0000"),
        ("assistant", "One moment."),
        ("tool", '{"done":true,"cups":[1,{"size":0.2}]}\n{"error":"No black tea."}'),
        ("user", "What is this?"),
        ("assistant", ""),
    ]


def heard(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that says what it heard."""
    parts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    return ModelResponse([TextPart(f"I heard {', '.join(str(part.content) for part in parts)}")])


def test_an_agent_goes_on_where_it_stopped(history: AnnalsMessageHistory) -> None:
    agent = Agent(FunctionModel(heard))
    for prompt in ("one", "two", "three"):
        result = agent.run_sync(prompt, message_history=history.load())
        history.append(result.new_messages())
    assert result.output == "I heard one, two, three"
    assert history.load() == result.all_messages()


def test_tools_and_structured_output_come_back(history: AnnalsMessageHistory) -> None:
    agent = Agent(TestModel(), output_type=dict[str, int], model_settings=ModelSettings(temperature=0.5))

    @agent.tool_plain
    def brew(tea: str) -> dict[str, str]:
        return {"tea": tea}

    result = agent.run_sync("Tea, please")
    history.append(result.new_messages())
    assert as_json(history.load()) == as_json(result.all_messages())


def test_a_run_that_is_appended_again_is_stored_once(history: AnnalsMessageHistory) -> None:
    agent = Agent(TestModel())
    first = agent.run_sync("one")
    history.append(first.new_messages())
    history.append(first.new_messages())
    second = agent.run_sync("two", message_history=history.load())
    history.append(second.all_messages())
    assert history.load() == second.all_messages()


def test_messages_that_were_loaded_are_known_again(history: AnnalsMessageHistory) -> None:
    history.append(EVERY_KIND)
    history.append([*history.load(), ModelRequest([UserPromptPart("more", timestamp=NOW)])])
    assert len(history.load()) == len(EVERY_KIND) + 1


def test_two_equal_messages_of_one_run_stay_two(history: AnnalsMessageHistory) -> None:
    same = ModelRequest([UserPromptPart("yes", timestamp=NOW)])
    history.append([same, same])
    assert history.load() == [same, same]


def test_a_history_is_replaced_from_the_first_message_that_differs(
    history: AnnalsMessageHistory, annals: Annals
) -> None:
    messages: list[ModelMessage] = [ModelRequest([UserPromptPart(str(number), timestamp=NOW)]) for number in range(6)]
    history.append(messages)
    other: list[ModelMessage] = [*messages[:2], ModelRequest([UserPromptPart("summary", timestamp=NOW)]), messages[5]]
    history.replace(other)
    assert history.load() == other
    talk = annals.conversations.find_session("chat-7", user_id="ada", memory_space_id="demo")
    assert talk is not None
    assert len([*annals.messages.list(talk.conversation_id, include_rewound=True)]) == 8
    assert annals.conversations.verify(talk.conversation_id).valid


def test_a_history_that_is_cleared_is_empty_and_takes_the_same_messages_again(history: AnnalsMessageHistory) -> None:
    history.append(EVERY_KIND)
    history.clear()
    assert history.load() == []
    history.append(EVERY_KIND[:2])
    assert as_json(history.load()) == as_json(EVERY_KIND[:2])


def test_a_deleted_chat_is_erased_and_its_id_is_free(history: AnnalsMessageHistory, annals: Annals) -> None:
    history.append(EVERY_KIND[:1])
    history.delete()
    assert history.load() == []
    assert annals.conversations.find_session("chat-7", user_id="ada", memory_space_id="demo") is None
    history.append(EVERY_KIND[1:2])
    assert as_json(history.load()) == as_json(EVERY_KIND[1:2])
    history.delete()
    history.delete()


def test_only_the_newest_messages_are_loaded_if_asked(history: AnnalsMessageHistory) -> None:
    history.append(EVERY_KIND)
    assert as_json(history.load(2)) == as_json(EVERY_KIND[-2:])
    assert history.load(0) == []


@pytest.mark.parametrize("size", [500_000, 3_000_000])
def test_messages_that_no_entry_has_room_for_come_back_whole(history: AnnalsMessageHistory, size: int) -> None:
    large: list[ModelMessage] = [
        ModelRequest([UserPromptPart(["Look", BinaryContent(b"\x01" * size, media_type="image/png")], timestamp=NOW)]),
        ModelResponse([TextPart("é" * (size // 2))], timestamp=NOW),
        ModelRequest([ToolReturnPart("read", {"text": "x" * size}, "call-1", timestamp=NOW)]),
    ]
    history.append(large)
    assert as_json(history.load()) == as_json(large)


def test_many_messages_are_appended_in_their_order(history: AnnalsMessageHistory) -> None:
    many: list[ModelMessage] = [ModelRequest([UserPromptPart(str(number), timestamp=NOW)]) for number in range(300)]
    history.append(many)
    history.append(many)
    assert history.load() == many


def test_the_same_chat_id_of_two_users_is_two_chats(annals: Annals) -> None:
    chats = [AnnalsMessageHistory("chat-7", annals, user_id=user) for user in ("ada", "ben")]
    for chat, message in zip(chats, EVERY_KIND[:2], strict=True):
        chat.append([message])
    assert [as_json(chat.load()) for chat in chats] == [as_json([message]) for message in EVERY_KIND[:2]]


def test_runs_at_once_lose_no_message(annals: Annals) -> None:
    def turn(number: int) -> None:
        history = AnnalsMessageHistory("chat-7", annals, user_id="ada", memory_space_id="demo")
        history.append([ModelRequest([UserPromptPart(str(number), timestamp=NOW)], run_id=str(number))])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(24)))
    assert sorted(int(content) for _, content in stored(annals)) == list(range(24))


async def test_all_of_it_is_there_for_asyncio(async_annals: AsyncAnnals) -> None:
    history = AnnalsMessageHistory("chat-7", async_annals, user_id="ada")
    await asyncio.gather(history.aappend(EVERY_KIND[:1]), history.aload())
    await history.areplace(EVERY_KIND[:3])
    assert as_json(await history.aload()) == as_json(EVERY_KIND[:3])
    await history.aclear()
    assert await history.aload() == []
    await history.adelete()


def test_what_something_else_stored_in_the_chat_is_part_of_its_history(
    history: AnnalsMessageHistory, annals: Annals
) -> None:
    talk = annals.conversations.get_or_create_session("chat-7", user_id="ada", memory_space_id="demo")
    for role, content in (("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello")):
        annals.messages.append(talk.conversation_id, {"role": role, "content": content})
    parts = [message.parts[0] for message in history.load()]
    assert [type(part) for part in parts] == [SystemPromptPart, UserPromptPart, TextPart]
    assert history.load() == history.load()


def test_the_example_runs_as_printed(annals_environment: None) -> None:
    for expected in (1, 2):
        done = subprocess.run(  # noqa: S603 - the example
            [sys.executable, EXAMPLE], capture_output=True, text=True, timeout=60, check=True
        )
        assert f"I heard {expected} question" in done.stdout
