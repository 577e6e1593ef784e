"""A call's conversation: what is said of it is kept, by whoever says it, and none who speaks waits for that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from vision_agents.core.agents.conversation import Conversation, Message

from annals_client import Annals, AsyncAnnals, MessageDelta, NotFound
from annals_client.integrations.support import Clients
from annals_client.integrations.vision_agents import AnnalsConversation, NotStored
from annals_client.retries import NO_RETRIES
from annals_client.senders import AsyncSender

CALL = "call-7"
Made = Callable[..., AnnalsConversation]


@pytest.fixture
def make(async_annals: AsyncAnnals) -> Made:
    """Makes conversations of one call; each is another process's, as far as they know."""

    def made(**options: Any) -> AnnalsConversation:
        return AnnalsConversation("Be kind.", **{"session_id": CALL, "client": async_annals, **options})

    return made


@pytest.fixture
def conversation(make: Made) -> AnnalsConversation:
    """A conversation of the call."""
    return make()


async def loaded(async_annals: AsyncAnnals, **options: Any) -> list[Message]:
    """The messages that a call begins with that is joined again."""
    again = await AnnalsConversation.load("", **{"session_id": CALL, "client": async_annals, **options})
    return again.messages


def talk_of(annals: Annals, session_id: str = CALL, **owner: Any) -> str:
    """The id of the call's conversation in the ledger."""
    found = annals.conversations.find_session(session_id, **owner)
    assert found is not None
    return found.conversation_id


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def test_it_is_a_conversation_of_the_framework(conversation: AnnalsConversation) -> None:
    assert isinstance(conversation, Conversation)
    assert conversation.instructions == "Be kind."


async def test_a_joined_call_begins_with_its_earlier_messages_as_they_were(
    conversation: AnnalsConversation, async_annals: AsyncAnnals
) -> None:
    original = {"type": "stt", "confidence": 0.95, "words": ["hi", None], "deep": {"n": 1}}
    await conversation.send_message("user", "ada", "Hello there", original=original)
    await conversation.send_message("assistant", "agent-1", "Hi!", message_id="own/id 1")
    await conversation.send_message("system", "system", "Ben joined")
    await conversation.wait_for_pending_syncs()
    again = await loaded(async_annals)
    for message in conversation.messages:
        assert message.timestamp is not None
        message.timestamp = message.timestamp.replace(microsecond=message.timestamp.microsecond // 1000 * 1000)
    assert again == conversation.messages


@pytest.mark.parametrize(
    ("role", "user_id", "content"),
    [
        ("moderator", "ada", "Quiet!"),
        ("user", "ada\nlovelace", "Hi"),
        ("user", "", "Hi"),
        ("user", "ada", ""),
        ("user", "x" * 300, "Hi"),
    ],
)
async def test_what_no_field_of_the_ledger_holds_comes_back_all_the_same(
    conversation: AnnalsConversation, async_annals: AsyncAnnals, role: str, user_id: str, content: str
) -> None:
    await conversation.send_message(role, user_id, content)
    await conversation.wait_for_pending_syncs()
    (message,) = await loaded(async_annals)
    assert (message.role, message.user_id, message.content) == (role, user_id, content)


async def test_an_original_that_is_no_json_is_left_out(
    conversation: AnnalsConversation, async_annals: AsyncAnnals
) -> None:
    await conversation.send_message("user", "ada", "Hi", original=object())
    await conversation.wait_for_pending_syncs()
    (message,) = await loaded(async_annals)
    assert (message.content, message.original) == ("Hi", None)


async def test_messages_are_messages_of_the_ledger_that_can_be_found(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.send_message("user", "ada", "My dog is called Rex", message_id="m-1")
    await conversation.wait_for_pending_syncs()
    (message,) = annals.messages.list(talk_of(annals))
    assert (message.role, message.user_id, message.external_id) == ("user", "ada", "m-1")
    assert message.content == "My dog is called Rex"


async def test_a_stream_of_deltas_is_one_message_once_it_is_complete(
    make: Made, annals: Annals, async_annals: AsyncAnnals
) -> None:
    conversation = make(draft_interval_s=0.02)
    for index, word in [(1, " or"), (0, "To be"), (2, " not")]:
        await conversation.upsert_message("assistant", "agent", word, "m-1", content_index=index, completed=False)
        await asyncio.sleep(0.05)
    await conversation.wait_for_pending_syncs()
    (draft,) = annals.messages.drafts(talk_of(annals))
    assert draft.content == "To be or not"
    assert [*annals.messages.list(talk_of(annals))] == []
    await conversation.upsert_message("assistant", "agent", "To be, or not.", "m-1", completed=True, replace=True)
    await conversation.wait_for_pending_syncs()
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["To be, or not."]
    assert annals.messages.drafts(talk_of(annals)) == []
    assert [message.content for message in await loaded(async_annals)] == ["To be, or not."]


async def test_a_fragment_that_comes_after_the_end_changes_nothing(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.send_message("assistant", "agent", "To be.", message_id="m-1")
    await conversation.upsert_message("assistant", "agent", " Late", "m-1", content_index=3, completed=False)
    await conversation.upsert_message("assistant", "agent", "Later", "m-1", completed=True, replace=True)
    await conversation.wait_for_pending_syncs()
    assert conversation.messages[0].content == "To be."
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["To be."]


async def test_text_is_added_or_takes_the_place_of_what_was_said(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.upsert_message("user", "ada", "I like", "m-1", completed=False)
    await conversation.upsert_message("user", "ada", " tee", "m-1", completed=False)
    await conversation.wait_for_pending_syncs()
    await conversation.upsert_message("user", "ada", "I like tea", "m-1", completed=False, replace=True)
    await conversation.wait_for_pending_syncs()
    (draft,) = annals.messages.drafts(talk_of(annals))
    assert draft.content == "I like tea"
    await conversation.upsert_message("user", "ada", ".", "m-1", completed=True)
    await conversation.wait_for_pending_syncs()
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["I like tea."]


async def test_what_is_being_said_can_be_followed(make: Made, async_annals: AsyncAnnals) -> None:
    conversation = make(draft_interval_s=0.02)
    await conversation.upsert_message("assistant", "agent", "To be", "m-1", completed=False)
    await conversation.wait_for_pending_syncs()
    found = await async_annals.conversations.find_session(CALL)
    assert found is not None
    texts = []
    async for event in async_annals.messages.follow(found.conversation_id, "m-1"):
        if isinstance(event, MessageDelta):
            texts.append(event.text)
            await conversation.upsert_message("assistant", "agent", " or not", "m-1", completed=True)
    assert "".join(texts).startswith("To be")


async def test_many_deltas_are_collected_into_few_requests(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = make(draft_interval_s=0.1)
    sent = count_requests(monkeypatch)
    for _ in range(200):
        await conversation.upsert_message("assistant", "agent", "word ", "m-1", completed=False)
        await asyncio.sleep(0.001)
    await conversation.upsert_message("assistant", "agent", "", "m-1", completed=True)
    await conversation.wait_for_pending_syncs()
    assert sum("/messages/m-1" in path for path in sent) < 12


def count_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests from now on."""
    sent: list[str] = []
    real = AsyncSender.send

    async def watched(sender: Any, call: Any) -> Any:
        sent.append(call.path)
        return await real(sender, call)

    monkeypatch.setattr(AsyncSender, "send", watched)
    return sent


async def test_a_message_without_deltas_needs_one_request_and_no_draft(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = make()
    await conversation.send_message("user", "ada", "Hi")
    await conversation.wait_for_pending_syncs()
    sent = count_requests(monkeypatch)
    await conversation.send_message("assistant", "agent", "Hi!")
    await conversation.wait_for_pending_syncs()
    assert len(sent) == 1


async def test_without_an_interval_nothing_is_sent_before_a_message_is_complete(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = make(draft_interval_s=None)
    sent = count_requests(monkeypatch)
    await conversation.upsert_message("assistant", "agent", "To be", "m-1", completed=False)
    await conversation.wait_for_pending_syncs()
    assert sent == []


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_who_speaks_never_waits_for_the_network(make: Made) -> None:
    async with silent_server() as url:
        conversation = make(client=None, url=url, key="key", draft_interval_s=0)
        begun = time.monotonic()
        for index in range(100):
            await conversation.upsert_message("assistant", "agent", "w", f"m-{index}", completed=index % 2 == 0)
            conversation.add_message(Message("Hi", role="user", user_id="ada"))
        assert time.monotonic() - begun < 1
        assert conversation._writer._task is not None
        conversation._writer._task.cancel()


async def test_an_interrupted_reply_is_kept_in_its_place_as_incomplete(
    conversation: AnnalsConversation, annals: Annals, async_annals: AsyncAnnals
) -> None:
    await conversation.upsert_message("assistant", "agent", "Once upon a", "m-1", completed=False)
    await asyncio.sleep(0.01)
    await conversation.send_message("user", "ada", "Stop.")
    await conversation.upsert_message("assistant", "agent", "All", "m-2", completed=False)
    await conversation.close()
    stored = annals.messages.latest(talk_of(annals))
    assert {(message.content, message.status) for message in stored} == {
        ("Once upon a", "incomplete"),
        ("Stop.", None),
        ("All", "incomplete"),
    }
    assert [message.content for message in await loaded(async_annals)] == ["Once upon a", "Stop.", "All"]


async def test_what_was_thought_interrupted_and_goes_on_is_stored_whole(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.upsert_message("assistant", "agent", "Once upon", "m-1", completed=False)
    await conversation.close()
    await conversation.upsert_message("assistant", "agent", " a time", "m-1", completed=False)
    await conversation.wait_for_pending_syncs()
    await conversation.upsert_message("assistant", "agent", ".", "m-1", completed=True)
    await conversation.wait_for_pending_syncs()
    assert [(message.content, message.status) for message in annals.messages.list(talk_of(annals))] == [
        ("Once upon a time.", None)
    ]


async def test_what_another_process_left_unfinished_is_there_when_the_call_is_joined_again(
    make: Made, async_annals: AsyncAnnals
) -> None:
    crashed = make(draft_interval_s=0)
    await crashed.send_message("user", "ada", "Tell me.")
    await crashed.upsert_message("assistant", "agent", "Once upon" + " a" * 5000, "m-1", completed=False)
    await crashed.wait_for_pending_syncs()
    messages = await loaded(async_annals)
    assert [message.content for message in messages] == ["Tell me.", "Once upon" + " a" * 5000]


async def test_only_the_newest_messages_are_loaded_if_asked(
    conversation: AnnalsConversation, async_annals: AsyncAnnals
) -> None:
    for number in range(5):
        await conversation.send_message("user", "ada", str(number))
    await conversation.wait_for_pending_syncs()
    assert [message.content for message in await loaded(async_annals, history=2)] == ["3", "4"]
    assert [message.content for message in await loaded(async_annals, history=None)] == ["0", "1", "2", "3", "4"]
    assert await loaded(async_annals, history=0) == []


async def test_a_call_that_nobody_was_in_begins_with_nothing(async_annals: AsyncAnnals, annals: Annals) -> None:
    assert await loaded(async_annals) == []
    assert annals.conversations.find_session(CALL) is None


async def test_the_same_call_id_of_two_users_is_two_conversations(make: Made, async_annals: AsyncAnnals) -> None:
    for user in ("ada", "ben"):
        conversation = make(user_id=user, memory_space_id="demo")
        await conversation.send_message("user", user, f"I am {user}")
        await conversation.wait_for_pending_syncs()
    messages = await loaded(async_annals, user_id="ada", memory_space_id="demo")
    assert [message.content for message in messages] == ["I am ada"]


async def test_two_agents_in_one_call_lose_nothing(make: Made, annals: Annals) -> None:
    first, second = make(), make()
    for number in range(10):
        await asyncio.gather(
            first.send_message("assistant", "one", f"one {number}"),
            second.send_message("assistant", "two", f"two {number}"),
        )
    await asyncio.gather(first.wait_for_pending_syncs(), second.wait_for_pending_syncs())
    texts = [message.content for message in annals.messages.list(talk_of(annals))]
    assert sorted(texts) == sorted(f"{who} {number}" for who in ("one", "two") for number in range(10))
    assert [text for text in texts if text.startswith("one")] == [f"one {number}" for number in range(10)]


async def test_messages_that_fail_are_reported_and_stored_in_order_later(
    make: Made, async_annals: AsyncAnnals, annals: Annals, caplog: pytest.LogCaptureFixture
) -> None:
    away = AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES)
    conversation = make(client=away, user_id="ada", memory_space_id="demo")
    await conversation.send_message("user", "ada", "First")
    await conversation.send_message("assistant", "agent", "Second")
    with caplog.at_level(logging.ERROR), pytest.raises(NotStored) as failure:
        await conversation.wait_for_pending_syncs()
    assert [message.content for message in failure.value.messages] == ["First", "Second"]
    assert "not stored yet" in caplog.text
    conversation._place.sessions.clients = Clients(async_annals)
    await conversation.wait_for_pending_syncs()
    stored = annals.messages.list(talk_of(annals, user_id="ada", memory_space_id="demo"))
    assert [message.content for message in stored] == ["First", "Second"]


async def test_what_is_stored_again_by_itself_needs_nobody_to_wait(
    make: Made, async_annals: AsyncAnnals, annals: Annals
) -> None:
    away = AsyncAnnals("http://127.0.0.1:9", "key", retries=NO_RETRIES)
    conversation = make(client=away)
    await conversation.send_message("user", "ada", "First")
    await until(lambda: conversation._writer._paused_until > 0)
    conversation._place.sessions.clients = Clients(async_annals)
    await until(lambda: not conversation._writer._said)
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["First"]


async def test_a_refusal_is_reported_and_holds_up_nothing_else(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.send_message("user", "ada", "\ud800")
    await conversation.send_message("user", "ada", "Hello")
    with pytest.raises(NotStored) as failure:
        await conversation.wait_for_pending_syncs()
    assert [message.content for message in failure.value.messages] == ["\ud800"]
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["Hello"]


async def test_a_message_whose_answer_was_lost_is_stored_once(make: Made, annals: Annals) -> None:
    first = make()
    await first.send_message("user", "ada", "Hi", message_id="m-1")
    await first.wait_for_pending_syncs()
    first._writer.note(first.messages[0], is_whole=True)  # as if nobody had heard that it is stored
    await first.wait_for_pending_syncs()
    assert len([*annals.messages.list(talk_of(annals))]) == 1


async def test_a_call_that_is_erased_while_it_lasts_goes_on_in_a_new_conversation(
    conversation: AnnalsConversation, annals: Annals
) -> None:
    await conversation.send_message("user", "ada", "Forget me")
    await conversation.wait_for_pending_syncs()
    before = talk_of(annals)
    annals.conversations.erase(before)
    await conversation.send_message("user", "ada", "Hello?")
    await conversation.wait_for_pending_syncs()
    assert talk_of(annals) != before
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["Hello?"]
    with pytest.raises(NotFound):
        annals.conversations.get(before)


@pytest.mark.parametrize("drafted", [True, False])
async def test_a_text_that_no_entry_has_room_for_comes_back_whole(
    make: Made, async_annals: AsyncAnnals, drafted: bool
) -> None:
    conversation = make()
    if drafted:
        await conversation.upsert_message("assistant", "agent", "é ", "m-1", completed=False)
        await conversation.wait_for_pending_syncs()
    await conversation.upsert_message("assistant", "agent", "é word " * 100_000, "m-1", completed=True)
    await conversation.wait_for_pending_syncs()
    (message,) = await loaded(async_annals)
    assert message.content == conversation.messages[0].content


def test_a_conversation_lives_on_in_another_event_loop(async_annals: AsyncAnnals, annals: Annals) -> None:
    conversation = AnnalsConversation("", session_id=CALL, client=annals)
    for text in ("one", "two"):
        asyncio.run(conversation.send_message("user", "ada", text))
    asyncio.run(conversation.wait_for_pending_syncs())
    assert [message.content for message in annals.messages.list(talk_of(annals))] == ["one", "two"]


class TestOlderMethods:
    """``add_message`` and ``update_message``, as conversations had them before 0.1.7."""

    async def test_a_message_is_added_whole(self, conversation: AnnalsConversation, annals: Annals) -> None:
        conversation.add_message(Message("Hi", role="user", user_id="ada", id="m-1"))
        await conversation.wait_for_pending_syncs()
        assert [message.content for message in annals.messages.list(talk_of(annals))] == ["Hi"]

    async def test_a_message_grows_and_is_replaced_until_it_is_complete(
        self, conversation: AnnalsConversation, annals: Annals
    ) -> None:
        conversation.add_message(Message("To", role="assistant", user_id="agent", id="m-1"), completed=False)
        conversation.update_message("m-1", " be", "agent", replace_content=False, completed=False)
        assert conversation.messages[0].content == "To be"
        conversation.update_message("m-1", "To be, or not.", "agent", replace_content=True, completed=True)
        await conversation.wait_for_pending_syncs()
        assert [message.content for message in annals.messages.list(talk_of(annals))] == ["To be, or not."]
        with pytest.raises(ValueError, match="complete"):
            conversation.update_message("m-1", "!", "agent")

    async def test_an_update_of_an_unknown_message_begins_it(self, make: Made, annals: Annals) -> None:
        conversation = make(agent_id="agent")
        conversation.update_message("m-1", "Hi", "agent", replace_content=False, completed=True)
        conversation.update_message("m-2", "Hello", "ada", replace_content=False, completed=True)
        await conversation.wait_for_pending_syncs()
        assert [(message.role, message.content) for message in annals.messages.list(talk_of(annals))] == [
            ("assistant", "Hi"),
            ("user", "Hello"),
        ]

    def test_messages_can_be_added_where_no_event_loop_runs(self, annals: Annals) -> None:
        conversation = AnnalsConversation("", session_id=CALL, client=annals)
        conversation.add_message(Message("Hi", role="user", user_id="ada"))
        asyncio.run(conversation.wait_for_pending_syncs())
        assert [message.content for message in annals.messages.list(talk_of(annals))] == ["Hi"]


def test_what_is_loaded_has_this_machines_times(annals: Annals) -> None:
    talk = annals.conversations.get_or_create_session(CALL)
    annals.messages.append(talk.conversation_id, role="user", content="Hi", timestamp="2026-01-02T03:04:05.006Z")
    again = asyncio.run(AnnalsConversation.load("", session_id=CALL, client=annals))
    expected = datetime.fromisoformat("2026-01-02T03:04:05.006+00:00").astimezone().replace(tzinfo=None)
    assert again.messages[0].timestamp == expected
