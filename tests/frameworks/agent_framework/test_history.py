"""The history provider: what it stores of sessions, and what it gives back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from agent_framework import AgentResponse, AgentSession, Content, HistoryProvider, Message, SessionContext
from asking import conversations_of, dialogue, dicts, said, texts

from annals_client import InvalidArgument, ValidationFailed
from annals_client.integrations.agent_framework import AnnalsHistoryProvider
from annals_client.testing import Annals, AsyncAnnals


@pytest.fixture
def history(async_annals: AsyncAnnals) -> AnnalsHistoryProvider:
    return AnnalsHistoryProvider(client=async_annals)


async def run_through(provider: HistoryProvider, given: list[Message], made: list[Message], **options: Any) -> None:
    """What an agent does with a provider in one run of the session ``s-1``."""
    session = AgentSession(session_id="s-1")
    context = SessionContext(session_id="s-1", input_messages=given, **options)
    await provider.before_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]
    context._response = AgentResponse(messages=made)  # the agent sets it
    await provider.after_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]


async def test_a_session_that_nobody_spoke_in_has_no_messages(history: AnnalsHistoryProvider, annals: Annals) -> None:
    assert await history.get_messages("new") == []
    assert conversations_of(annals) == []


async def test_messages_come_back_equal_and_in_their_order(history: AnnalsHistoryProvider) -> None:
    messages = dialogue("Hello.", "Hi.", "How are you?", "Fine.")
    await history.save_messages("s-1", messages[:2])
    await history.save_messages("s-1", messages[2:])
    assert dicts(await history.get_messages("s-1")) == dicts(messages)


async def test_saving_nothing_stores_nothing(history: AnnalsHistoryProvider, annals: Annals) -> None:
    await history.save_messages("s-1", [])
    assert conversations_of(annals) == []


@pytest.mark.parametrize("session_id", [None, ""])
async def test_a_session_without_an_id_is_refused(history: AnnalsHistoryProvider, session_id: str | None) -> None:
    with pytest.raises(ValueError, match="session_id"):
        await history.get_messages(session_id)
    with pytest.raises(ValueError, match="session_id"):
        await history.save_messages(session_id, said("Hello."))


@pytest.mark.parametrize("session_id", ["../a", "a/b#c", "Gespräch 1", "[1]", '["annals",null,"x"]', "x" * 200])
async def test_session_ids_are_any_text(history: AnnalsHistoryProvider, session_id: str) -> None:
    await history.save_messages(session_id, said("Hello."))
    assert texts(await history.get_messages(session_id)) == ["Hello."]
    assert await history.get_messages(session_id + "x") == []


class TestScopes:
    async def test_the_same_session_id_of_two_users_is_two_sessions(self, async_annals: AsyncAnnals) -> None:
        ada, ben = (AnnalsHistoryProvider(client=async_annals, user_id=user) for user in ("ada", "ben"))
        await ada.save_messages("s-1", said("I am Ada."))
        await ben.save_messages("s-1", said("I am Ben."))
        assert texts(await ada.get_messages("s-1")) == ["I am Ada."]
        assert texts(await ben.get_messages("s-1")) == ["I am Ben."]

    async def test_providers_applications_and_agents_do_not_see_each_other(self, async_annals: AsyncAnnals) -> None:
        scopes: list[dict[str, Any]] = [
            {},
            {"source_id": "audit"},
            {"application_id": "shop"},
            {"agent_id": "seller"},
            {"agent_id": "buyer"},
            {"source_id": "audit", "agent_id": "buyer", "user_id": "ada"},
        ]
        providers = [AnnalsHistoryProvider(client=async_annals, **scope) for scope in scopes]
        for number, provider in enumerate(providers):
            await provider.save_messages("s-1", said(f"{number}"))
        assert [texts(await provider.get_messages("s-1")) for provider in providers] == [[str(n)] for n in range(6)]

    async def test_the_sessions_of_a_scope_are_listed(self, async_annals: AsyncAnnals, annals: Annals) -> None:
        history = AnnalsHistoryProvider(client=async_annals, user_id="ada")
        audit = AnnalsHistoryProvider("audit", client=async_annals, user_id="ada")
        others = AnnalsHistoryProvider(client=async_annals)
        for session_id in ("b", "a", "[c"):
            await history.save_messages(session_id, said("Hello."))
        await audit.save_messages("d", said("Hello."))
        await others.save_messages("e", said("Hello."))
        annals.conversations.get_or_create_session("[of something else", memory_space_id="agent-framework")
        annals.settle()
        assert await history.list_sessions() == ["[c", "a", "b"]
        assert await audit.list_sessions() == ["d"]
        assert await others.list_sessions() == ["e"]

    async def test_messages_are_found_by_what_they_say(self, history: AnnalsHistoryProvider, annals: Annals) -> None:
        call = Content.from_function_call("c-1", "weather", arguments={"city": "Oslo"})
        result = Content.from_function_result("c-1", result="snow showers")
        await history.save_messages("s-1", [Message("assistant", [call]), Message("tool", [result])])
        annals.settle()
        (hit,) = annals.memory.search("snow showers", memory_space_id="agent-framework", limit=1)
        assert hit.content == "snow showers"


class TestMaxMessages:
    async def test_the_newest_are_returned_and_all_are_kept(self, async_annals: AsyncAnnals, annals: Annals) -> None:
        history = AnnalsHistoryProvider(client=async_annals, max_messages=3)
        messages = dialogue(*map(str, range(10)))
        await history.save_messages("s-1", messages)
        assert texts(await history.get_messages("s-1")) == ["7", "8", "9"]
        (conversation,) = conversations_of(annals)
        assert conversation.message_count == 10

    async def test_fewer_messages_than_that_are_all_returned(self, async_annals: AsyncAnnals) -> None:
        history = AnnalsHistoryProvider(client=async_annals, max_messages=3)
        await history.save_messages("s-1", dialogue("1", "2", "3"))
        assert texts(await history.get_messages("s-1")) == ["1", "2", "3"]

    async def test_with_0_nothing_is_stored(self, async_annals: AsyncAnnals, annals: Annals) -> None:
        history = AnnalsHistoryProvider(client=async_annals, max_messages=0)
        await history.save_messages("s-1", said("Hello."))
        assert await history.get_messages("s-1") == []
        assert conversations_of(annals) == []

    async def test_a_negative_number_is_refused(self, async_annals: AsyncAnnals) -> None:
        with pytest.raises(ValueError, match="max_messages"):
            AnnalsHistoryProvider(client=async_annals, max_messages=-1)

    async def test_no_result_comes_without_its_call(self, async_annals: AsyncAnnals) -> None:
        call = Message("assistant", [Content.from_function_call("c-1", "clock", arguments={})])
        result = Message("tool", [Content.from_function_result("c-1", result="noon")])
        all_of_it = AnnalsHistoryProvider(client=async_annals)
        await all_of_it.save_messages(
            "s-1", [*said("What time is it?"), call, result, *said("Noon.", role="assistant")]
        )
        newest = {n: AnnalsHistoryProvider(client=async_annals, max_messages=n) for n in (1, 2, 3)}
        assert texts(await newest[2].get_messages("s-1")) == ["Noon."]
        assert dicts(await newest[3].get_messages("s-1")) == dicts([call, result, *said("Noon.", role="assistant")])


async def test_what_compaction_excluded_is_left_out_where_that_is_asked_for(async_annals: AsyncAnnals) -> None:
    excluded = Message("user", ["old"], additional_properties={"_excluded": True})
    every = AnnalsHistoryProvider(client=async_annals)
    await every.save_messages("s-1", [excluded, *dialogue("1", "2", "3")])
    assert texts(await every.get_messages("s-1")) == ["old", "1", "2", "3"]
    kept = AnnalsHistoryProvider(client=async_annals, skip_excluded=True, max_messages=3)
    assert texts(await kept.get_messages("s-1")) == ["1", "2", "3"]


class TestReplays:
    """Callers hand on what is new, or all that was said so far."""

    async def test_a_transcript_that_is_saved_twice_is_stored_once(self, history: AnnalsHistoryProvider) -> None:
        transcript = dialogue("Hello.", "Hi.")
        await history.save_messages("s-1", transcript)
        await history.save_messages("s-1", transcript)
        await history.save_messages("s-1", [*transcript, *said("What now?")])
        assert texts(await history.get_messages("s-1")) == ["Hello.", "Hi.", "What now?"]

    async def test_the_end_of_a_long_session_is_known_again(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", dialogue(*map(str, range(50))))
        await history.save_messages("s-1", dialogue("46", "47", "48", "49", "50"))
        assert texts(await history.get_messages("s-1")) == [*map(str, range(51))]

    async def test_messages_are_known_again_by_their_ids(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", [Message("user", ["Hello."], message_id="m-1")])
        await history.save_messages("s-1", [Message("user", ["Hello!"], message_id="m-1"), *said("And?")])
        assert texts(await history.get_messages("s-1")) == ["Hello.", "And?"]

    async def test_an_id_may_come_again_with_other_words(self, history: AnnalsHistoryProvider) -> None:
        for text in ("one", "two", "three"):
            await history.save_messages("s-1", [*said(text), Message("assistant", [text], message_id="reply")])
        assert texts(await history.get_messages("s-1")) == ["one", "one", "two", "two", "three", "three"]

    async def test_a_user_may_say_the_same_again(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", said("Hello?"))
        await history.save_messages("s-1", said("Hello?"))
        assert texts(await history.get_messages("s-1")) == ["Hello?", "Hello?"]

    async def test_a_turn_that_is_the_same_again_is_a_turn_of_its_own(self, history: AnnalsHistoryProvider) -> None:
        for _ in range(3):
            await run_through(history, said("Next."), said("Done.", role="assistant"))
        assert texts(await history.get_messages("s-1")) == ["Next.", "Done."] * 3

    async def test_a_run_that_is_given_all_so_far_adds_what_is_new(self, history: AnnalsHistoryProvider) -> None:
        so_far = said("Hello.")
        for number in range(4):
            reply = said(f"Reply {number}", role="assistant")
            await run_through(history, so_far, reply)
            so_far = [*so_far, *reply, *said(f"Question {number}")]
        assert texts(await history.get_messages("s-1")) == texts(so_far[:-1])

    async def test_a_run_of_a_transcript_that_runs_again_is_stored_once(self, history: AnnalsHistoryProvider) -> None:
        given = [*dialogue("Hello.", "Hi.", "What now?")]
        for _ in range(2):
            await run_through(history, given, said("Tea.", role="assistant"))
        assert texts(await history.get_messages("s-1")) == ["Hello.", "Hi.", "What now?", "Tea."]

    async def test_writers_at_once_store_a_transcript_once(self, async_annals: AsyncAnnals) -> None:
        providers = [AnnalsHistoryProvider(client=async_annals) for _ in range(8)]
        transcript = dialogue("Hello.", "Hi.", "What now?", "Tea.")
        await asyncio.gather(*(provider.save_messages("s-1", transcript) for provider in providers))
        assert texts(await providers[0].get_messages("s-1")) == texts(transcript)

    async def test_writers_at_once_lose_nothing(self, async_annals: AsyncAnnals) -> None:
        providers = [AnnalsHistoryProvider(client=async_annals) for _ in range(6)]
        turns = [dialogue(f"Question {n}", f"Answer {n}") for n in range(6)]
        await asyncio.gather(*(providers[n].save_messages("s-1", turn) for n, turn in enumerate(turns)))
        stored = texts(await providers[0].get_messages("s-1"))
        assert sorted(stored) == sorted(text for turn in turns for text in texts(turn))
        assert all(stored[stored.index(f"Question {n}") + 1] == f"Answer {n}" for n in range(6))

    @pytest.mark.usefixtures("annals_environment")
    async def test_two_processes_store_a_transcript_once(self, history: AnnalsHistoryProvider) -> None:
        program = (
            "import asyncio\n"
            "from agent_framework import Message\n"
            "from annals_client.integrations.agent_framework import AnnalsHistoryProvider\n"
            "transcript = [Message('user', ['Hello.']), Message('assistant', ['Hi.'])]\n"
            "asyncio.run(AnnalsHistoryProvider().save_messages('s-1', transcript))\n"
        )
        running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]  # noqa: S603 - as above
        assert [process.wait(60) for process in running] == [0, 0, 0]
        assert texts(await history.get_messages("s-1")) == ["Hello.", "Hi."]

    async def test_a_provider_that_knows_an_older_end_loses_and_repeats_nothing(
        self, async_annals: AsyncAnnals
    ) -> None:
        mine, theirs = (AnnalsHistoryProvider(client=async_annals) for _ in range(2))
        so_far = dialogue("Hello.", "Hi.")
        await mine.save_messages("s-1", so_far)
        await mine.get_messages("s-1")
        await theirs.save_messages("s-1", dialogue("How are you?", "Fine."))
        await mine.save_messages("s-1", [*so_far, *dialogue("How are you?", "Fine.", "And you?")])
        await theirs.clear("s-1")
        await mine.save_messages("s-1", said("Hello?"))
        await theirs.save_messages("s-1", said("Anybody?"))
        assert texts(await mine.get_messages("s-1")) == ["Hello?", "Anybody?"]
        await mine.save_messages("s-1", [*said("Hello?", "Anybody?"), *said("Yes.", role="assistant")])
        assert texts(await theirs.get_messages("s-1")) == ["Hello?", "Anybody?", "Yes."]

    async def test_what_somebody_else_cleared_is_stored_again_where_it_is_said_again(
        self, async_annals: AsyncAnnals
    ) -> None:
        mine, theirs = (AnnalsHistoryProvider(client=async_annals) for _ in range(2))
        await mine.save_messages("s-1", dialogue("Hello.", "Hi."))
        await theirs.clear("s-1")
        await mine.save_messages("s-1", dialogue("Hello.", "Hi."))
        assert texts(await mine.get_messages("s-1")) == ["Hello.", "Hi."]

    async def test_a_session_that_was_erased_begins_anew(
        self, async_annals: AsyncAnnals, annals: Annals, history: AnnalsHistoryProvider
    ) -> None:
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        (conversation,) = conversations_of(annals)
        annals.conversations.erase(conversation.conversation_id)
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        assert texts(await history.get_messages("s-1")) == ["Hello.", "Hi."]


class TestRuns:
    async def test_what_is_loaded_and_stored_is_as_the_switches_say(self, async_annals: AsyncAnnals) -> None:
        def stored(source: str, **switches: Any) -> AnnalsHistoryProvider:
            return AnnalsHistoryProvider(source, client=async_annals, **switches)

        from_others = {"memory": said("Likes tea."), "search": said("Tea is a plant.")}
        expected = {
            stored("all"): ["Hello.", "Hi."],
            stored("inputs", store_outputs=False): ["Hello."],
            stored("outputs", store_inputs=False): ["Hi."],
            stored("context", store_context_messages=True): ["Likes tea.", "Tea is a plant.", "Hello.", "Hi."],
            stored("some", store_context_messages=True, store_context_from={"search"}): [
                "Tea is a plant.",
                "Hello.",
                "Hi.",
            ],
        }
        for provider, wanted in expected.items():
            context_messages = {name: [*messages] for name, messages in from_others.items()}
            await run_through(
                provider, said("Hello."), said("Hi.", role="assistant"), context_messages=context_messages
            )
            assert texts(await provider.get_messages("s-1")) == wanted

    async def test_history_goes_into_the_context_under_its_source(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        context = SessionContext(session_id="s-1", input_messages=said("What now?"))
        session = AgentSession(session_id="s-1")
        await history.before_run(agent=None, session=session, context=context, state={})  # type: ignore[arg-type]
        assert texts(context.context_messages["annals"]) == ["Hello.", "Hi."]

    def test_the_switches_are_those_of_the_framework(self, async_annals: AsyncAnnals) -> None:
        provider = AnnalsHistoryProvider(client=async_annals)
        assert provider.source_id == AnnalsHistoryProvider.DEFAULT_SOURCE_ID
        assert all((provider.load_messages, provider.store_inputs, provider.store_outputs))
        assert (provider.store_context_messages, provider.store_context_from) == (False, None)


class TestClear:
    async def test_a_cleared_session_begins_anew(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        await history.clear("s-1")
        assert await history.get_messages("s-1") == []
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        assert texts(await history.get_messages("s-1")) == ["Hello.", "Hi."]

    async def test_the_ledger_keeps_what_was_cleared(self, history: AnnalsHistoryProvider, annals: Annals) -> None:
        await history.save_messages("s-1", dialogue("Hello.", "Hi."))
        await history.clear("s-1")
        (conversation,) = conversations_of(annals)
        talk = conversation.conversation_id
        assert [message.content for message in annals.messages.list(talk, include_rewound=True)] == ["Hello.", "Hi."]
        assert annals.conversations.verify(talk).valid

    async def test_clearing_what_is_not_there_is_nothing(self, history: AnnalsHistoryProvider) -> None:
        await history.clear("nowhere")

    async def test_other_sessions_stay(self, history: AnnalsHistoryProvider) -> None:
        await history.save_messages("s-1", said("Hello."))
        await history.save_messages("s-2", said("Hello?"))
        await history.clear("s-1")
        assert texts(await history.get_messages("s-2")) == ["Hello?"]


class TestSizes:
    async def test_a_message_over_400_kb_comes_back_equal(self, history: AnnalsHistoryProvider) -> None:
        message = Message("user", ["Look.", Content.from_data(b"\x89PNG" + bytes(600_000), "image/png")])
        await history.save_messages("s-1", [message])
        assert dicts(await history.get_messages("s-1")) == dicts([message])

    async def test_a_message_over_the_size_of_a_request_comes_back_equal(self, history: AnnalsHistoryProvider) -> None:
        picture = Content.from_data(b"\x89PNG" + bytes(6_000_000), "image/png")
        message = Message("assistant", ["Look.", picture])
        await history.save_messages("s-1", [message])
        await history.save_messages("s-1", [message, *said("And?")])
        assert dicts(await history.get_messages("s-1")) == dicts([message, *said("And?")])

    async def test_a_long_text_comes_back_equal(self, history: AnnalsHistoryProvider) -> None:
        messages = [Message("user", ["ä" * 500_000]), Message("assistant", ["words " * 100_000])]
        await history.save_messages("s-1", messages)
        assert dicts(await history.get_messages("s-1")) == dicts(messages)

    async def test_a_transcript_longer_than_an_entry_is_stored_whole_and_once(
        self, history: AnnalsHistoryProvider
    ) -> None:
        messages = dialogue(*(f"{number} " + "word " * 600 for number in range(300)))
        await history.save_messages("s-1", messages)
        await history.save_messages("s-1", messages)
        assert dicts(await history.get_messages("s-1")) == dicts(messages)


async def test_a_provider_works_in_one_event_loop_after_another(annals_url: str, annals_key: str) -> None:
    history = AnnalsHistoryProvider(url=annals_url, key=annals_key)
    await asyncio.to_thread(lambda: asyncio.run(history.save_messages("s-1", said("Hello."))))
    assert await asyncio.to_thread(lambda: texts(asyncio.run(history.get_messages("s-1")))) == ["Hello."]


async def test_a_client_that_waits_will_do(annals: Annals) -> None:
    history = AnnalsHistoryProvider(client=annals)
    await history.save_messages("s-1", said("Hello."))
    assert texts(await history.get_messages("s-1")) == ["Hello."]


async def test_errors_are_raised_and_nothing_is_stored(annals: Annals, async_annals: AsyncAnnals) -> None:
    history = AnnalsHistoryProvider(client=async_annals)
    with pytest.raises((InvalidArgument, ValidationFailed)):
        await history.save_messages("line\nbreak", said("Hello."))
    assert conversations_of(annals) == []


async def test_messages_that_others_stored_come_back_as_their_texts(
    history: AnnalsHistoryProvider, annals: Annals
) -> None:
    await history.save_messages("s-1", said("Hello."))
    (conversation,) = conversations_of(annals)
    annals.messages.append(conversation.conversation_id, role="assistant", content="Hi.", name="Bo", parts=[{"a": 1}])
    found = await history.get_messages("s-1")
    assert json.dumps([found[1].role, found[1].text, found[1].author_name]) == '["assistant", "Hi.", "Bo"]'
