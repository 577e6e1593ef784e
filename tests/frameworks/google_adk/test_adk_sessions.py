"""The session service: what any of the framework's owes its callers, and what this one adds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from adk import APP, OF, USER, ScriptedModel, again, changing, said, texts
from google.adk.agents.llm_agent import LlmAgent
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.genai import types

from annals_client import InvalidArgument
from annals_client.errors import AnnalsError
from annals_client.integrations.google_adk import AnnalsSessionService
from annals_client.integrations.google_adk import states as states_module
from annals_client.integrations.google_adk.states import States
from annals_client.testing import Annals, AsyncAnnals


@pytest.fixture
def service(async_annals: AsyncAnnals) -> AnnalsSessionService:
    return AnnalsSessionService(async_annals)


@pytest.fixture
def other(annals_url: str, annals_key: str) -> AnnalsSessionService:
    """The service of another process: it knows nothing of what the first one did."""
    return AnnalsSessionService(url=annals_url, key=annals_key)


async def test_a_session_that_was_not_created_is_none(service: AnnalsSessionService) -> None:
    assert await service.get_session(**OF, session_id="none") is None
    assert (await service.list_sessions(**OF)).sessions == []
    await service.delete_session(**OF, session_id="none")


async def test_a_session_is_created_read_and_deleted(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    made = await service.create_session(**OF, state={"key": "value"})
    assert (made.app_name, made.user_id, made.state, made.events) == (APP, USER, {"key": "value"}, [])
    assert made.id
    assert made.last_update_time <= time.time()
    assert await again(service, made) == made == await again(other, made)
    await service.delete_session(**OF, session_id=made.id)
    assert await service.get_session(**OF, session_id=made.id) is None
    assert await other.get_session(**OF, session_id=made.id) is None


async def test_an_id_is_given_once_by_however_many(service: AnnalsSessionService, other: AnnalsSessionService) -> None:
    creations = [each.create_session(**OF, session_id="s") for each in (service, other) * 4]
    results = await asyncio.gather(*creations, return_exceptions=True)
    assert sum(isinstance(each, Session) for each in results) == 1
    assert sum(isinstance(each, AlreadyExistsError) for each in results) == 7


async def test_an_id_is_used_without_what_is_around_it(service: AnnalsSessionService) -> None:
    made = await service.create_session(**OF, session_id="order-42\n", state={"cart": "book"})
    assert made.id == "order-42"
    found = await service.get_session(**OF, session_id=" order-42\n")
    assert found is not None
    assert found.state == {"cart": "book"}
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**OF, session_id="  order-42")
    await service.delete_session(**OF, session_id="order-42 ")
    assert await service.get_session(**OF, session_id="order-42") is None
    assert (await service.create_session(**OF, session_id="  ")).id.strip()


async def test_a_deleted_session_s_id_is_free(service: AnnalsSessionService, other: AnnalsSessionService) -> None:
    first = await service.create_session(**OF, session_id="s", state={"a": 1})
    await service.append_event(first, said("hello"))
    await other.delete_session(**OF, session_id="s")
    assert await service.get_session(**OF, session_id="s") is None
    second = await other.create_session(**OF, session_id="s")
    assert (await again(service, second)).state == {}
    assert texts(await again(service, second)) == []
    with pytest.raises(SessionNotFoundError):
        await service.append_event(first, said("late"))
    await service.append_event(second, said("new"))
    assert texts(await again(other, second)) == ["new"]


async def test_the_same_id_of_two_users_is_two_sessions(service: AnnalsSessionService) -> None:
    mine = await service.create_session(**OF, session_id="s")
    await service.append_event(mine, said("mine"))
    theirs = await service.create_session(app_name=APP, user_id="bob", session_id="s")
    assert texts(await again(service, theirs)) == []
    await service.delete_session(app_name=APP, user_id="bob", session_id="s")
    assert texts(await again(service, mine)) == ["mine"]


@pytest.mark.parametrize("space", [None, "shared"])
async def test_the_same_id_in_two_apps_is_two_sessions(async_annals: AsyncAnnals, space: str | None) -> None:
    service = AnnalsSessionService(async_annals, memory_space_id=space)
    mine = await service.create_session(**OF, session_id="s", state={"user:a": 1, "app:b": 2, "c": 3})
    other = await service.create_session(app_name="other", user_id=USER, session_id="s")
    assert other.state == {}
    assert [each.id for each in (await service.list_sessions(app_name="other")).sessions] == ["s"]
    assert [each.id for each in (await service.list_sessions(**OF)).sessions] == ["s"]
    assert await service.get_user_state(app_name="other", user_id=USER) == {}
    assert (await again(service, mine)).state == {"app:b": 2, "user:a": 1, "c": 3}


async def test_sessions_are_listed_of_a_user_or_of_all_with_their_states(service: AnnalsSessionService) -> None:
    for owner, name in (("u1", "1a"), ("u1", "1b"), ("u2", "2a")):
        state = {"key": name, "user:of": owner}
        await service.create_session(app_name=APP, user_id=owner, session_id=name, state=state)
    await service.create_session(app_name="other", user_id="u1", session_id="x")
    wanted: list[tuple[str | None, set[str]]] = [
        ("u1", {"1a", "1b"}),
        ("u2", {"2a"}),
        (None, {"1a", "1b", "2a"}),
        ("nobody", set()),
    ]
    for user, expected in wanted:
        found = (await service.list_sessions(app_name=APP, user_id=user)).sessions
        assert {each.id for each in found} == expected
        assert all(each.state == {"key": each.id, "user:of": each.user_id} for each in found)
        assert all(each.events == [] for each in found)


async def test_a_user_who_is_none_is_not_everybody(service: AnnalsSessionService) -> None:
    await service.create_session(**OF)
    with pytest.raises(InvalidArgument):
        await service.list_sessions(app_name=APP, user_id="")


async def test_the_least_recent_session_is_listed_first(service: AnnalsSessionService) -> None:
    for name in "abc":
        await service.create_session(**OF, session_id=name)
    first = await service.get_session(**OF, session_id="a")
    assert first is not None
    await asyncio.sleep(0.01)
    await service.append_event(first, said("hello"))
    listed = (await service.list_sessions(**OF)).sessions
    assert [each.id for each in listed] == ["b", "c", "a"]
    assert listed[-1].last_update_time == first.last_update_time


async def test_states_have_their_scopes(service: AnnalsSessionService, other: AnnalsSessionService) -> None:
    initial = {"app:k": 1, "user:k": 1, "k": 1, "temp:k": 1}
    session = await service.create_session(**OF, session_id="s1", state=initial)
    assert session.state == {"app:k": 1, "user:k": 1, "k": 1}
    await service.append_event(session, changing(app__l=2, user__l=2, l=2, temp__l=2))
    every = {"app:k": 1, "app:l": 2, "user:k": 1, "user:l": 2, "k": 1, "l": 2}
    assert session.state == {**every, "temp:l": 2}
    for reader in (service, other):
        assert (await again(reader, session)).state == every
        listed = (await reader.list_sessions(**OF)).sessions
        assert listed[0].state == every
    mine = await other.create_session(**OF, session_id="s2")
    assert mine.state == {"app:k": 1, "app:l": 2, "user:k": 1, "user:l": 2}
    theirs = await other.create_session(app_name=APP, user_id="bob", session_id="s1")
    assert theirs.state == {"app:k": 1, "app:l": 2}
    assert await other.get_user_state(**OF) == {"k": 1, "l": 2}


async def test_a_user_s_state_is_read_without_a_session(service: AnnalsSessionService) -> None:
    assert await service.get_user_state(**OF) == {}
    session = await service.create_session(**OF)
    for count in (1, 2):
        await service.append_event(session, changing(user__count=count, own=1))
    assert await service.get_user_state(**OF) == {"count": 2}
    assert await service.get_user_state(app_name=APP, user_id="bob") == {}
    assert await service.get_user_state(app_name="other", user_id=USER) == {}


@pytest.mark.parametrize("prefix", ["", "user:", "app:"])
async def test_a_delta_replaces_values_and_keeps_null(service: AnnalsSessionService, prefix: str) -> None:
    first: dict[str, Any] = {f"{prefix}profile": {"name": "ada", "role": "admin"}, f"{prefix}flag": False, "x": True}
    session = await service.create_session(**OF, state=first)
    delta = {f"{prefix}profile": {"name": "bob"}, f"{prefix}flag": None}
    await service.append_event(session, Event(author="a", actions=EventActions(state_delta=delta)))
    assert session.state == (await again(service, session)).state == {**delta, "x": True}


async def test_temporary_state_is_of_this_object_alone(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF)
    event = changing(temp__k=1, k=2)
    await service.append_event(session, event)
    assert session.state == {"temp:k": 1, "k": 2}
    assert event.actions.state_delta == {"k": 2}
    stored = await again(service, session)
    assert stored.state == {"k": 2}
    assert stored.events[0].actions.state_delta == {"k": 2}


async def test_what_json_cannot_say_costs_no_event(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF, state={"nan": float("nan"), "call": print, "ok": 1})
    await service.append_event(session, changing(callback=print, infinite=float("inf"), ok=2, half="\ud83d"))
    stored = await again(service, session)
    assert (stored.state["ok"], stored.state["half"], len(stored.events)) == (2, "\ud83d", 1)
    assert (stored.state["nan"], stored.state["infinite"]) == (None, None)  # as the framework writes JSON
    assert isinstance(stored.state["callback"], str)


EVENTS = [
    said("hello"),
    said("", author="agent"),
    said("x" * 70_000, author="agent"),
    said("half a pair: \ud83d", author="agent"),
    Event(author="user"),
    Event(author="nobody at all", branch="a.b", isolation_scope="x"),
    Event(author="user", content=types.Content(role="user")),
    Event(author="user", content=types.Content(parts=[])),
    Event(
        author="user",
        invocation_id="i",
        content=types.Content(role="user", parts=[types.Part.from_bytes(data=b"\0\xff image", mime_type="image/png")]),
        grounding_metadata=types.GroundingMetadata(
            search_entry_point=types.SearchEntryPoint(sdk_blob=b"test_sdk_blob")
        ),
    ),
    Event(
        author="agent",
        invocation_id="i" * 300,
        content=types.Content(
            role="model",
            parts=[
                types.Part(text="let me think", thought=True, thought_signature=b"\x01\xfe"),
                types.Part(text="I look it up."),
                types.Part.from_function_call(name="look_up", args={"deep": [1, 2.5, None, {"a b": "ü"}], "$x": True}),
            ],
        ),
        long_running_tool_ids={"t2", "t1"},
    ),
    Event(
        author="agent",
        content=types.Content(
            role="user",
            parts=[types.Part.from_function_response(name="look_up", response={"result": "Darjeeling", "n": None})],
        ),
    ),
    Event(
        author="user",
        turn_complete=True,
        partial=False,
        actions=EventActions(
            artifact_delta={"file": 0},
            transfer_to_agent="agent",
            escalate=True,
            requested_tool_confirmations={
                "call_1": ToolConfirmation(hint="sure?", confirmed=False, payload={"id": ["a", 1]})
            },
        ),
        error_code="error_code",
        error_message="error_message",
        interrupted=True,
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=1, total_token_count=2),
        citation_metadata=types.CitationMetadata(),
        custom_metadata={"custom_key": {"x_y": None, "camelCase": [0.1, 10**20]}},
        timestamp=1_700_000_000.123_456_7,
        input_transcription=types.Transcription(text="heard", finished=True),
        output_transcription=types.Transcription(text="spoken", finished=True),
    ),
    Event(author="user", timestamp=100.0),
    Event(author="user", id="", output={"node": [1]}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.author}-{EVENTS.index(event)}")
async def test_an_event_comes_back_equal(
    service: AnnalsSessionService, other: AnnalsSessionService, event: Event
) -> None:
    session = await service.create_session(**OF)
    given = event.model_copy(deep=True)
    assert await service.append_event(session, event) == given
    stored = await again(other, session)
    assert stored.events == [given]
    assert stored == session == await again(service, session)
    assert stored.last_update_time == event.timestamp


@pytest.mark.parametrize("size", [500_000, 5_000_000])
async def test_an_event_of_any_size_comes_back_equal(service: AnnalsSessionService, size: int) -> None:
    session = await service.create_session(**OF)
    image = types.Part.from_bytes(data=os.urandom(size), mime_type="image/png")
    event = Event(author="user", content=types.Content(role="user", parts=[types.Part(text="What is it?"), image]))
    await service.append_event(session, event)
    stored = await again(service, session)
    assert stored.events == session.events == [event]


async def test_a_state_of_any_size_is_kept(service: AnnalsSessionService, other: AnnalsSessionService) -> None:
    large = {"text": "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(300_000))}
    session = await service.create_session(**OF, state={"first": large, "user:u": 1})
    assert (await again(other, session)).state == {"first": large, "user:u": 1}
    await service.append_event(session, changing(second=large))
    assert (await again(other, session)).state == {"first": large, "second": large, "user:u": 1}


async def test_partial_events_are_not_stored(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF)
    partial = said("Hel", partial=True)
    assert await service.append_event(session, partial) is partial
    assert session.events == (await again(service, session)).events == []


async def test_events_come_in_the_order_in_which_they_were_appended(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF)
    for number, timestamp in enumerate((300.5, 100.25, 100.25, 1_730_613_600.0, 1_730_615_400.0)):
        await service.append_event(session, said(str(number), timestamp=timestamp))
    stored = await again(service, session)
    assert texts(stored) == ["0", "1", "2", "3", "4"]
    assert [event.timestamp for event in stored.events] == [300.5, 100.25, 100.25, 1_730_613_600.0, 1_730_615_400.0]


@pytest.mark.parametrize("deltas", [False, True])
async def test_recent_events_are_read_with_the_whole_state(
    service: AnnalsSessionService, other: AnnalsSessionService, deltas: bool
) -> None:
    session = await service.create_session(**OF, state={"first": 1})
    base = float(int(time.time()))
    for number in range(1, 6):
        event = said(str(number), timestamp=base + number)
        if deltas:
            event.actions.state_delta[f"k{number}"] = number
        await service.append_event(session, event)
    for config, expected in [
        (GetSessionConfig(num_recent_events=0), []),
        (GetSessionConfig(num_recent_events=3), ["3", "4", "5"]),
        (GetSessionConfig(num_recent_events=9), ["1", "2", "3", "4", "5"]),
        (GetSessionConfig(after_timestamp=base + 4), ["4", "5"]),
        (GetSessionConfig(after_timestamp=base + 50), []),
        (GetSessionConfig(after_timestamp=base + 2, num_recent_events=3), ["3", "4", "5"]),
        (GetSessionConfig(after_timestamp=base + 4, num_recent_events=3), ["4", "5"]),
        (GetSessionConfig(after_timestamp=base + 3.5), ["4", "5"]),
    ]:
        for reader in (service, other):
            found = await reader.get_session(**OF, session_id=session.id, config=config)
            assert found is not None
            assert (texts(found), found.state) == (expected, session.state)
            assert found.last_update_time == base + 5
    latest = await other.get_session(**OF, session_id=session.id, config=GetSessionConfig(num_recent_events=1))
    assert latest is not None
    await other.append_event(latest, said("6"))
    assert texts(await again(service, session)) == ["1", "2", "3", "4", "5", "6"]


async def test_a_session_that_is_read_in_part_is_not_stale_whatever_its_events_times_are(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    session = await service.create_session(**OF)
    for timestamp in (300.0, 500.0, 100.0):
        await service.append_event(session, changing(k=timestamp).model_copy(update={"timestamp": timestamp}))
    for reader in (service, other):
        found = await reader.get_session(**OF, session_id=session.id, config=GetSessionConfig(after_timestamp=400.0))
        assert found is not None
        assert ([event.timestamp for event in found.events][:1], found.state) == ([500.0], session.state)
        assert found.last_update_time == session.last_update_time
        await reader.append_event(found, said("next", timestamp=600.0))
        session = await again(reader, session)


async def test_a_long_session_without_changes_of_state_is_read_from_its_end(
    service: AnnalsSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annals_client.integrations.google_adk.session_service.MAX_LAG", 5)
    monkeypatch.setattr(states_module, "MAX_LAG", 5)
    session = await service.create_session(**OF, state={"k": 1})
    for number in range(12):
        await service.append_event(session, said(str(number)))
    known = service._states.known(service._known[APP, USER, session.id])
    assert known is not None
    assert known.seq >= 5
    assert (await again(service, session)).state == {"k": 1}


async def test_an_event_that_is_delivered_again_is_stored_once(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    session = await service.create_session(**OF)
    event = changing(count=1)
    await service.append_event(session, event)
    await service.append_event(session, event)
    await service.append_event(session, event.model_copy(deep=True))
    assert len(session.events) == 1
    await service.append_event(session, changing(count=2))
    await service.append_event(session, event)
    stored = await again(other, session)
    assert (len(stored.events), stored.state) == (2, {"count": 2})


async def test_other_events_with_the_same_id_are_stored_too(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF)
    for text in ("one", "two", "three"):
        await service.append_event(session, said(text, id="shared"))
    stored = await again(service, session)
    assert texts(stored) == ["one", "two", "three"]
    assert stored == session


async def test_a_session_that_somebody_else_went_on_with_is_stale(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    session = await service.create_session(**OF)
    await service.append_event(session, changing(a=1))
    newer = await again(other, session)
    await other.append_event(newer, changing(b=2))
    late = changing(c=3)
    with pytest.raises(StaleSessionError, match="modified in storage"):
        await service.append_event(session, late)
    assert len(session.events) == 1
    stored = await again(service, session)
    assert (stored.state, len(stored.events)) == ({"a": 1, "b": 2}, 2)
    await service.append_event(stored, late)
    assert (await again(other, stored)).state == {"a": 1, "b": 2, "c": 3}


async def test_of_those_who_append_at_once_to_one_revision_one_does(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    session = await service.create_session(**OF)
    for turn in range(6):
        latest = await again(service, session)
        writers = [(each, latest.model_copy(deep=True)) for each in (service, other, service, other)]
        results = await asyncio.gather(
            *(
                each.append_event(copy, changing(**{f"k{turn}_{number}": number}))
                for number, (each, copy) in enumerate(writers)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Event) for each in results) == 1
        assert sum(isinstance(each, StaleSessionError) for each in results) == 3
    stored = await again(other, session)
    assert len(stored.events) == len(stored.state) == 6
    assert [next(iter(event.actions.state_delta)) for event in stored.events] == list(stored.state)


async def test_branches_that_share_a_session_object_append_one_after_the_other(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF)
    await asyncio.gather(*(service.append_event(session, changing(**{f"k{each}": each})) for each in range(10)))
    stored = await again(service, session)
    assert stored == session
    assert len(stored.events) == len(stored.state) == 10


async def test_what_is_no_event_makes_no_session_stale(service: AnnalsSessionService, annals: Annals) -> None:
    session = await service.create_session(**OF)
    await service.append_event(session, said("hello"))
    talk = annals.conversations.find_session(session.id, user_id=USER, memory_space_id=APP)
    assert talk is not None
    annals.conversations.preamble(talk.conversation_id, "Be kind.")
    annals.conversations.update(talk.conversation_id, {"title": "Tea"})
    session.last_update_time -= 0.0001
    await service.append_event(session, said("again"))
    annals.messages.redact(talk.conversation_id, "msg-001", reason="asked to")
    await service.append_event(session, said("and again"))
    assert texts(await again(service, session)) == ["again", "and again"]


async def test_a_session_object_of_nobody_s_is_compared_with_what_is_stored(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF, session_id="s")
    await service.append_event(session, said("one"))
    known = Session(id="s", **OF, events=list(session.events), last_update_time=session.last_update_time - 0.001)
    await service.append_event(known, said("two"))
    assert texts(await again(service, known)) == ["one", "two"]
    with pytest.raises(StaleSessionError):
        await service.append_event(Session(id="s", **OF), said("three"))
    await service.append_event(Session(id="s", **OF, last_update_time=time.time() + 9), changing(k=1))
    assert (await again(service, session)).state == {"k": 1}
    with pytest.raises(SessionNotFoundError):
        await service.append_event(Session(id="none", **OF), said("x"))


async def test_a_writer_that_breaks_off_before_the_state_leaves_it_to_the_next_reader(
    service: AnnalsSessionService, other: AnnalsSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await service.create_session(**OF)
    await service.append_event(session, changing(k=1))

    async def break_off(*_: object, **__: object) -> None:
        raise AnnalsError(InvalidArgument.__new__(InvalidArgument))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(States, "settle", break_off)
        with pytest.raises(AnnalsError):
            await service.append_event(session, changing(k=2, user__u=1, app__a=1))
    config = GetSessionConfig(num_recent_events=0)
    for reader in (other, service):
        stored = await reader.get_session(**OF, session_id=session.id, config=config)
        assert stored is not None
        assert stored.state == {"k": 2, "user:u": 1, "app:a": 1}
    latest = await again(service, session)
    with monkeypatch.context() as patch:
        patch.setattr(States, "settle", break_off)
        with pytest.raises(AnnalsError):
            await service.append_event(latest, changing(left=1))
    made_by_hand = Session(id=session.id, **OF, last_update_time=time.time() + 9)
    await other.append_event(made_by_hand, changing(right=2))
    assert (await again(other, session)).state == {"k": 2, "left": 1, "right": 2, "user:u": 1, "app:a": 1}
    # What another session changes later is not overwritten by what was left undone.
    second = await other.create_session(**OF)
    await other.append_event(second, changing(user__u=2))
    assert (await again(service, session)).state["user:u"] == 2


async def test_an_event_whose_reply_was_lost_is_appended_again_once(
    service: AnnalsSessionService, other: AnnalsSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await service.create_session(**OF)
    event = changing(k=1)

    async def break_off(*_: object, **__: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(States, "settle", break_off)
        with pytest.raises(TimeoutError):
            await service.append_event(session, event)
    await service.append_event(session, event)
    stored = await again(other, session)
    assert (stored.state, stored.events) == ({"k": 1}, [event])
    assert stored == session


async def test_states_of_an_app_are_changed_by_many_sessions_at_once(
    service: AnnalsSessionService, other: AnnalsSessionService
) -> None:
    sessions = [await service.create_session(app_name=APP, user_id=f"u{each % 2}") for each in range(6)]
    await asyncio.gather(
        *(
            (service, other)[number % 2].append_event(
                session, changing(**{f"app__a{number}": number, f"user__u{number}": number})
            )
            for number, session in enumerate(sessions)
        )
    )
    last = await again(other, sessions[0])
    assert {f"app:a{each}": each for each in range(6)}.items() <= last.state.items()
    assert await service.get_user_state(app_name=APP, user_id="u1") == {"u1": 1, "u3": 3, "u5": 5}


async def test_a_runner_goes_on_in_another_process_where_it_stopped(
    service: AnnalsSessionService, other: AnnalsSessionService, annals: Annals
) -> None:
    def look_up(tea: str) -> dict[str, str]:
        """Look up a tea."""
        return {"origin": f"{tea} is from India."}

    call = types.Part.from_function_call(name="look_up", args={"tea": "Assam"})
    model = ScriptedModel(replies=[call, "From India.", "Assam."], asked=[])
    agent = LlmAgent(name="guide", model=model, tools=[look_up], output_key="last")
    await service.create_session(**OF, session_id="s")
    replies = []
    for runner_service, question in ((service, "Where is Assam from?"), (other, "Which tea was it?")):
        runner = Runner(app_name=APP, agent=agent, session_service=runner_service)
        content = types.Content(role="user", parts=[types.Part(text=question)])
        async for event in runner.run_async(user_id=USER, session_id="s", new_message=content):
            if event.is_final_response() and event.content and event.content.parts:
                replies.append(event.content.parts[0].text)
    assert replies == ["From India.", "Assam."]
    assert len(model.asked[-1]) == 5
    stored = await service.get_session(**OF, session_id="s")
    assert stored is not None
    assert (stored.state, len(stored.events)) == ({"last": "Assam."}, 6)
    talk = annals.conversations.find_session("s", user_id=USER, memory_space_id=APP)
    assert talk is not None
    messages = list(annals.messages.list(talk.conversation_id))
    assert [each.role for each in messages] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert messages[2].content.count("Assam is from India.") == 1
    window = annals.conversations.context_as(talk.conversation_id, 4000, "openai-chat")
    assert [each["role"] for each in window.messages] == [each.role for each in messages]
    annals.settle()
    assert [hit.role for hit in annals.memory.search("Assam India", memory_space_id=APP, limit=2)] != []


async def test_a_message_of_somebody_else_is_an_event_that_says_it(
    service: AnnalsSessionService, annals: Annals
) -> None:
    session = await service.create_session(**OF)
    talk = annals.conversations.find_session(session.id, user_id=USER, memory_space_id=APP)
    assert talk is not None
    annals.messages.append(talk.conversation_id, role="user", content="By hand.")
    annals.messages.append(talk.conversation_id, role="assistant", content="I see.", name="clerk")
    stored = await again(service, session)
    assert [(event.author, event.content and event.content.role) for event in stored.events] == [
        ("user", "user"),
        ("clerk", "model"),
    ]
    assert texts(stored) == ["By hand.", "I see."]


async def test_a_person_s_erasure_takes_their_sessions_and_states(
    service: AnnalsSessionService, other: AnnalsSessionService, annals: Annals
) -> None:
    session = await service.create_session(**OF, state={"user:secret": "tulip", "app:open": 1})
    await service.append_event(session, said("My tulip."))
    annals.users.erase(USER)
    annals.settle()
    assert await other.get_session(**OF, session_id=session.id) is None
    assert await other.get_user_state(**OF) == {}
    fresh = await other.create_session(**OF)
    assert fresh.state == {"app:open": 1}


async def test_threads_each_with_a_loop_of_their_own_share_a_service(annals: Annals, annals_url: str) -> None:
    service = AnnalsSessionService(annals)

    def work(number: int) -> list[str]:
        async def main() -> list[str]:
            session = await service.create_session(**OF, session_id=f"s{number}")
            for each in range(3):
                await service.append_event(session, said(f"{number}-{each}"))
            return texts(await again(service, session))

        return asyncio.run(main())

    results = await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(4)))
    assert results == [[f"{number}-{each}" for each in range(3)] for number in range(4)]


PROGRAM = """
import asyncio, json, sys
from adk import OF, said, texts
from annals_client.integrations.google_adk import AnnalsSessionService

async def main():
    service = AnnalsSessionService()
    session = await service.get_session(**OF, session_id="s")
    await service.append_event(session, said(sys.argv[1]))
    print(json.dumps(texts(await service.get_session(**OF, session_id="s"))))
    await service.close()

asyncio.run(main())
"""


@pytest.mark.usefixtures("annals_environment")
async def test_another_process_goes_on_with_a_session(service: AnnalsSessionService) -> None:
    session = await service.create_session(**OF, session_id="s")
    await service.append_event(session, said("one"))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, "two"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["one", "two"]
    assert texts(await again(service, session)) == ["one", "two"]


def test_a_service_needs_one_way_to_annals() -> None:
    with pytest.raises(TypeError, match="client="):
        AnnalsSessionService(AsyncAnnals("http://127.0.0.1:1", "k"), url="http://127.0.0.1:2")
