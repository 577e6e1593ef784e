"""Sessions of OpenAI Agents in Annals."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from agents import Agent, OpenAIResponsesCompactionSession, Runner, Session, SessionSettings, TResponseInputItem
from agents.run_internal.session_persistence import rewind_session_items
from agents.testing import ScriptedModel
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from annals_client import AnnalsError, ValidationFailed
from annals_client.integrations.openai_agents import AnnalsSession
from annals_client.testing import Annals, AsyncAnnals
from examples.integrations import openai_agents_session

IMAGE = {"type": "input_image", "image_url": "data:"}
EVERY_ITEM: list[Any] = [
    {"content": "Look: 🜁 ünïcode \u0000 and\nlines", "role": "user"},
    {"role": "user", "content": "said in another order"},
    {"type": "message", "role": "user", "content": "said with its type"},
    {"role": "developer", "content": "Be kind."},
    {"role": "system", "content": ""},
    {"role": "user", "content": [{"type": "input_text", "text": "what is it?"}, IMAGE]},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "It is a tram.", "annotations": [], "logprobs": [{"p": -0.25}]}],
    },
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "A tram."}], "encrypted": "x"},
    {"id": "fc_1", "type": "function_call", "call_id": "c_1", "name": "fare", "arguments": '{"a": 1.50}', "n": None},
    {"type": "function_call_output", "call_id": "c_1", "output": "3.20"},
    {"type": "function_call_output", "call_id": "c_2", "output": [{"type": "input_text", "text": "many"}, 1e300, []]},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "trams"}},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "secret"},
    {"type": "item_reference", "id": "msg_1"},
    {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "gAAAA"},
    {"role": "user", "content": "hello", "more": {"type": "kept"}},
    {"content": "of nobody", "more": 1},
    {"type": "a kind of tomorrow", "nested": {"deep": [[{"n": 12345678901234567890}]]}},
]


def user(content: str) -> TResponseInputItem:
    return {"content": content, "role": "user"}


def contents(items: Sequence[TResponseInputItem | None]) -> list[Any]:
    return [cast("dict[str, Any]", item)["content"] for item in items]


@pytest.fixture
def session(async_annals: AsyncAnnals) -> AnnalsSession:
    return AnnalsSession("trip", client=async_annals, user_id="ada")


def assistant(text: str) -> ResponseOutputMessage:
    said = ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])
    return ResponseOutputMessage(id=f"msg_{text}", type="message", role="assistant", status="completed", content=[said])


def test_it_is_a_session_as_the_framework_defines_it(session: AnnalsSession) -> None:
    assert isinstance(session, Session)


async def test_items_of_every_kind_come_back_equal(session: AnnalsSession) -> None:
    await session.add_items(EVERY_ITEM)
    read = await session.get_items()
    assert read == EVERY_ITEM
    assert [list(cast("dict[str, Any]", item)) for item in read] == [list(item) for item in EVERY_ITEM]


async def test_popped_items_come_back_equal(session: AnnalsSession) -> None:
    await session.add_items(EVERY_ITEM)
    assert [await session.pop_item() for _ in EVERY_ITEM] == EVERY_ITEM[::-1]
    assert await session.pop_item() is None


async def test_a_limit_gives_the_newest_items_the_oldest_first(session: AnnalsSession) -> None:
    await session.add_items([user(str(number)) for number in range(30)])
    assert contents(await session.get_items(3)) == ["27", "28", "29"]
    assert contents(await session.get_items(100)) == [str(number) for number in range(30)]
    assert await session.get_items(0) == await session.get_items(-1) == []


async def test_the_settings_limit_items_where_a_call_does_not(async_annals: AsyncAnnals) -> None:
    session = AnnalsSession("trip", client=async_annals, session_settings=SessionSettings(limit=2))
    await session.add_items([user(str(number)) for number in range(5)])
    assert contents(await session.get_items()) == ["3", "4"]
    assert contents(await session.get_items(1)) == ["4"]


async def test_a_session_that_was_cleared_goes_on_empty(session: AnnalsSession, annals: Annals) -> None:
    await session.add_items([user("one"), user("two")])
    await session.clear_session()
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.add_items([user("one")])
    assert await session.get_items() == [user("one")]
    conversation = annals.conversations.find_session("trip", user_id="ada", memory_space_id="openai-agents")
    assert conversation is not None
    kept = annals.messages.list(conversation.conversation_id, include_rewound=True)
    assert [message.content for message in kept] == ["one", "two", "one"]
    assert annals.conversations.verify(conversation.conversation_id).valid


async def test_reading_makes_no_session(session: AnnalsSession, annals: Annals) -> None:
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.clear_session()
    await session.add_items([])
    assert annals.conversations.count() == 0


async def test_a_deleted_session_is_gone_and_its_id_is_free(session: AnnalsSession) -> None:
    await session.add_items([user("one")])
    await session.delete_session()
    assert await session.get_items() == []
    await session.add_items([user("two")])
    assert contents(await session.get_items()) == ["two"]


async def test_a_session_that_another_process_deleted_begins_anew(
    session: AnnalsSession, async_annals: AsyncAnnals
) -> None:
    await session.add_items([user("one")])
    await AnnalsSession("trip", client=async_annals, user_id="ada").delete_session()
    await session.add_items([user("two")])
    assert contents(await session.get_items()) == ["two"]


async def test_the_same_id_of_two_users_is_two_sessions(async_annals: AsyncAnnals) -> None:
    hers, his = (AnnalsSession("trip", client=async_annals, user_id=name) for name in ("ada", "byron"))
    await hers.add_items([user("hers")])
    assert await his.get_items() == []
    await his.add_items([user("his")])
    assert contents(await hers.get_items()) == ["hers"]


async def test_a_rewind_of_the_runner_reads_its_own_writes(session: AnnalsSession) -> None:
    await session.add_items([user("before"), *EVERY_ITEM])
    await rewind_session_items(session, EVERY_ITEM)
    assert contents(await session.get_items()) == ["before"]
    await session.add_items(EVERY_ITEM)
    assert (await session.get_items())[1:] == EVERY_ITEM


async def test_pops_at_once_take_an_item_each(async_annals: AsyncAnnals) -> None:
    sessions = [AnnalsSession("trip", client=async_annals) for _ in range(6)]
    await sessions[0].add_items([user(str(number)) for number in range(8)])
    popped = await asyncio.gather(*(session.pop_item() for session in sessions))
    assert sorted(contents(popped)) == [str(number) for number in range(2, 8)]
    assert contents(await sessions[0].get_items()) == ["0", "1"]


async def test_items_of_any_size_come_back_equal(session: AnnalsSession) -> None:
    large: list[Any] = [
        {"type": "function_call_output", "call_id": "c", "output": "a result " * 60_000},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64," + "QUJD" * 200_000}],
        },
        {"type": "function_call_output", "call_id": "d", "output": "an ünïcode result " * 300_000},
    ]
    await session.add_items([user("first"), *large, user("last")])
    assert await session.get_items() == [user("first"), *large, user("last")]
    assert await session.get_items(2) == [large[2], user("last")]
    await session.pop_item()
    assert await session.pop_item() == large[2]


async def test_many_items_come_in_one_call(session: AnnalsSession) -> None:
    items = [user(f"{number} " + "words " * 100) for number in range(1500)]
    await session.add_items(items)
    assert await session.get_items() == items


async def test_items_that_are_refused_leave_none_of_them_behind(session: AnnalsSession) -> None:
    await session.add_items([user("before")])
    items = [user("words " * 20_000) for _ in range(3)]
    with pytest.raises(AnnalsError, match="surrogate"):
        await session.add_items([*items, user("half a \ud83d")])
    assert contents(await session.get_items()) == ["before"]


async def test_who_is_cancelled_while_adding_has_added(session: AnnalsSession) -> None:
    await session.add_items([user("one")])
    adding = asyncio.create_task(session.add_items([user("two")]))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert contents(await session.get_items()) == ["one", "two"]


async def test_redacted_messages_are_left_out_and_count_in_no_limit(session: AnnalsSession, annals: Annals) -> None:
    await session.add_items([user(name) for name in ("one", "two", "three")])
    conversation = annals.conversations.find_session("trip", user_id="ada", memory_space_id="openai-agents")
    assert conversation is not None
    annals.messages.redact(conversation.conversation_id, "msg-003", reason="private")
    assert contents(await session.get_items(2)) == ["one", "two"]
    assert await session.pop_item() == user("two")


async def test_what_others_append_to_the_conversation_is_an_item(session: AnnalsSession, annals: Annals) -> None:
    await session.add_items([user("one")])
    conversation = annals.conversations.find_session("trip", user_id="ada", memory_space_id="openai-agents")
    assert conversation is not None
    annals.messages.append(conversation.conversation_id, role="assistant", content="two")
    annals.messages.append(conversation.conversation_id, {"type": "message", "role": "user", "content": "three"})
    annals.messages.append(conversation.conversation_id, EVERY_ITEM[6])
    annals.messages.append(conversation.conversation_id, EVERY_ITEM[8])
    annals.conversations.preamble(conversation.conversation_id, "What came before.")
    items = await session.get_items()
    assert items[1:] == [
        {"content": "two", "role": "assistant"},
        {"type": "message", "role": "user", "content": "three"},
        EVERY_ITEM[6],
        EVERY_ITEM[8],
    ]


async def test_items_are_messages_that_can_be_searched_and_put_into_a_context(
    session: AnnalsSession, annals: Annals
) -> None:
    await session.add_items(EVERY_ITEM)
    conversation = annals.conversations.find_session("trip", user_id="ada", memory_space_id="openai-agents")
    assert conversation is not None
    window = annals.conversations.context(conversation.conversation_id, 4000)
    assert {"It is a tram.", "3.20"} <= {message.content for message in window.messages}


async def test_two_processes_share_a_session(annals_environment: None) -> None:
    program = (
        "import asyncio, sys\n"
        "from annals_client.integrations.openai_agents import AnnalsSession\n"
        "async def work():\n"
        "    session = AnnalsSession('trip', user_id='ada')\n"
        "    for number in range(10):\n"
        "        await session.add_items([{'role': 'user', 'content': f'{sys.argv[1]}-{number}'}])\n"
        "    await session.pop_item()\n"
        "asyncio.run(work())\n"
    )
    command = [sys.executable, "-c", program]
    running = [subprocess.Popen([*command, name], env=os.environ) for name in "ab"]  # noqa: S603
    assert [process.wait(60) for process in running] == [0, 0]
    items = contents(await AnnalsSession("trip", user_id="ada").get_items())
    assert len(items) == len(set(items)) == 18
    for name in "ab":
        said = [item for item in items if item.startswith(name)]
        assert said == sorted(said, key=lambda text: int(text[2:]))


def test_a_run_without_an_event_loop_goes_on_in_another(annals: Annals) -> None:
    model = ScriptedModel([[assistant("one")], [assistant("two")]])
    session = AnnalsSession("trip", client=annals)
    for question in ("first", "second"):
        Runner.run_sync(Agent(name="guide", model=model), question, session=session)
    assert len(asyncio.run(session.get_items())) == 4


async def test_an_agent_goes_on_in_another_session_of_the_same_id(async_annals: AsyncAnnals) -> None:
    model = ScriptedModel([[assistant("San Francisco")], [assistant("California")]])
    agent = Agent(name="guide", model=model)
    for question in ("Where is the bridge?", "In which state?"):
        await Runner.run(agent, question, session=AnnalsSession("trip", client=async_annals, user_id="ada"))
    heard = model.calls[-1].input
    assert isinstance(heard, list)
    assert [cast("dict[str, Any]", item)["role"] for item in heard] == ["user", "assistant", "user"]


class Compacting:
    """OpenAI's API, as far as compaction asks it."""

    def __init__(self) -> None:
        self.responses = self
        self.asked: list[Any] = []

    async def compact(self, **request: Any) -> Any:
        """All that was said, in one item."""
        self.asked.append(request)
        return type("Compacted", (), {"output": [{"type": "compaction", "encrypted_content": "short"}], "usage": None})


async def test_a_compaction_takes_the_place_of_the_items(session: AnnalsSession) -> None:
    api = Compacting()
    compacting = OpenAIResponsesCompactionSession("trip", session, client=cast("Any", api))
    await compacting.add_items([user("one"), user("two")])
    await compacting.run_compaction({"force": True, "compaction_mode": "input"})
    assert len(api.asked) == 1
    assert [cast("dict[str, Any]", item)["type"] for item in await session.get_items()] == ["compaction"]
    await compacting.add_items([user("three")])
    assert len(await session.get_items()) == 2


async def test_a_wrong_key_is_said_and_not_swallowed(annals_url: str) -> None:
    session = AnnalsSession("trip", client=AsyncAnnals(annals_url, "wrong"))
    with pytest.raises(AnnalsError, match="key"):
        await session.get_items()
    with pytest.raises(AnnalsError, match="key"):
        await session.add_items([user("one")])


async def test_an_empty_session_id_is_refused(async_annals: AsyncAnnals) -> None:
    with pytest.raises(ValidationFailed, match="sessionId"):
        await AnnalsSession("", client=async_annals).add_items([user("one")])


def test_the_example_runs_as_it_is_printed(annals_environment: None) -> None:
    program = str(Path(openai_agents_session.__file__))
    command = [sys.executable, program, "I like tea.", "Which drink?"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own program
    assert shown.stdout.splitlines() == ["I like tea.", "You said: I like tea.", "Which drink?", "Tea, as you said."]


class LosingAnswers(httpx.AsyncHTTPTransport):
    """A connection that loses the first answer to each request that stores something."""

    def __init__(self, url: str) -> None:
        super().__init__(uds=url.removeprefix("unix://") if url.startswith("unix:") else None)
        self.lost: set[bytes] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        key = request.headers.get("Idempotency-Key", "").encode()
        told = request.method.encode() + request.url.raw_path + key
        if request.method in ("POST", "PUT") and told not in self.lost:
            self.lost.add(told)
            await response.aread()
            raise httpx.ReadError("the answer was lost", request=request)
        return response


async def test_writes_whose_answers_are_lost_are_done_once(annals_url: str, annals_key: str) -> None:
    async with httpx.AsyncClient(transport=LosingAnswers(annals_url)) as http:
        session = AnnalsSession("trip", client=AsyncAnnals(annals_url, annals_key, http=http))
        await session.add_items([user("one"), user("two"), user("three")])
        assert contents([await session.pop_item(), await session.pop_item()]) == ["three", "two"]
        await session.add_items([user("two")])
        assert contents(await session.get_items()) == ["one", "two"]
        await session.clear_session()
        assert await session.get_items() == []
