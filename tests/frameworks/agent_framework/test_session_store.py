"""The session store: snapshots of sessions, as documents."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Message, register_state_type
from asking import ScriptedModel, texts

from annals_client import PreconditionFailed
from annals_client.integrations.agent_framework import AnnalsSessionStore
from annals_client.testing import Annals, AsyncAnnals


@dataclass(eq=True)
class Basket:
    """A type of the application."""

    items: list[str]

    def to_dict(self) -> dict[str, Any]:
        return {"items": self.items}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Basket:
        return cls(values["items"])


register_state_type(Basket, type_id="annals-tests.basket")


class Own(AgentSession):
    """A session of another class."""


@pytest.fixture
def store(async_annals: AsyncAnnals) -> AnnalsSessionStore:
    return AnnalsSessionStore(client=async_annals)


def session_of(**state: Any) -> AgentSession:
    session = AgentSession(session_id="s-1")
    session.state.update(state)
    return session


async def test_what_is_not_there_is_none(store: AnnalsSessionStore) -> None:
    assert await store.get("nowhere") is None
    await store.delete("nowhere")


async def test_a_session_comes_back_with_its_state(store: AnnalsSessionStore, async_annals: AsyncAnnals) -> None:
    session = AgentSession(session_id="s-1", service_session_id={"response_id": "r-1"})
    session.state.update(
        {"nested": {"values": ["a", 1.5, None, True]}, "basket": Basket(["tea"]), "said": [Message("user", ["Hello."])]}
    )
    await store.set("chat/7", session)
    found = await AnnalsSessionStore(client=async_annals).get("chat/7")
    assert found is not None
    assert found.to_dict() == session.to_dict()
    assert found.state["basket"] == Basket(["tea"])
    assert texts(found.state["said"]) == ["Hello."]


async def test_what_is_stored_and_what_is_read_are_copies(store: AnnalsSessionStore) -> None:
    session = session_of(values=["original"])
    await store.set("s-1", session)
    session.state["values"].append("changed")
    found = await store.get("s-1")
    assert found is not None
    found.state["values"].append("changed")
    again = await store.get("s-1")
    assert again is not None
    assert again.state["values"] == ["original"]


async def test_a_new_session_replaces_what_is_there(store: AnnalsSessionStore) -> None:
    await store.set("s-1", AgentSession(session_id="first"))
    await store.set("s-1", AgentSession(session_id="second"))
    found = await store.get("s-1")
    assert found is not None
    assert found.session_id == "second"


async def test_a_deleted_session_is_forgotten(store: AnnalsSessionStore) -> None:
    await store.set("s-1", session_of())
    await store.delete("s-1")
    assert await store.get("s-1") is None


@pytest.mark.parametrize("session_id", ["two words", "../a", "café", "line\nbreak", "x" * 3000, "sha256:1", "\ud800"])
async def test_ids_are_any_text(store: AnnalsSessionStore, session_id: str) -> None:
    await store.set(session_id, session_of(id=1))
    assert await store.get(session_id) is not None
    assert await store.get(session_id + "x") is None
    await store.delete(session_id)
    assert await store.get(session_id) is None


async def test_an_empty_id_is_refused(store: AnnalsSessionStore) -> None:
    for refused in (store.get(""), store.set("", session_of()), store.delete("")):
        with pytest.raises(ValueError, match="session_id"):
            await refused


class TestTwoAtOnce:
    async def test_a_session_that_somebody_else_changed_is_not_overwritten(self, store: AnnalsSessionStore) -> None:
        await store.set("s-1", session_of(n=1))
        mine, theirs = await store.get("s-1"), await store.get("s-1")
        assert mine is not None
        assert theirs is not None
        theirs.state["n"] = 2
        await store.set("s-1", theirs)
        with pytest.raises(PreconditionFailed):
            await store.set("s-1", mine)
        theirs.state["n"] = 3
        await store.set("s-1", theirs)
        found = await store.get("s-1")
        assert found is not None
        assert found.state["n"] == 3

    async def test_a_session_that_was_deleted_does_not_come_back(self, store: AnnalsSessionStore) -> None:
        await store.set("s-1", session_of())
        found = await store.get("s-1")
        assert found is not None
        await store.delete("s-1")
        with pytest.raises(PreconditionFailed):
            await store.set("s-1", found)

    async def test_a_session_may_be_stored_under_another_id(self, store: AnnalsSessionStore) -> None:
        await store.set("s-1", session_of(n=1))
        found = await store.get("s-1")
        assert found is not None
        await store.set("s-2", found)
        assert await store.get("s-2") is not None

    async def test_the_last_writer_wins_where_that_is_asked_for(self, async_annals: AsyncAnnals) -> None:
        store = AnnalsSessionStore(client=async_annals, last_writer_wins=True)
        await store.set("s-1", session_of(n=1))
        first, second = await store.get("s-1"), await store.get("s-1")
        assert first is not None
        assert second is not None
        await store.set("s-1", second)
        first.state["n"] = 2
        await store.set("s-1", first)
        found = await store.get("s-1")
        assert found is not None
        assert found.state["n"] == 2

    async def test_of_many_who_count_at_once_each_counts_or_is_refused(self, async_annals: AsyncAnnals) -> None:
        await AnnalsSessionStore(client=async_annals).set("s-1", session_of(n=0))

        async def count() -> bool:
            store = AnnalsSessionStore(client=async_annals)
            session = await store.get("s-1")
            assert session is not None
            session.state["n"] += 1
            try:
                await store.set("s-1", session)
            except PreconditionFailed:
                return False
            return True

        counted = await asyncio.gather(*(count() for _ in range(8)))
        found = await AnnalsSessionStore(client=async_annals).get("s-1")
        assert found is not None
        assert found.state["n"] == sum(counted) >= 1


class TestStates:
    @pytest.mark.parametrize("chars", [500_000, 1_000_000, 4_500_000])
    async def test_states_of_any_size_come_back_equal(self, store: AnnalsSessionStore, chars: int) -> None:
        session = session_of(text='ä"\\' * (chars // 3))
        await store.set("s-1", session)
        found = await store.get("s-1")
        assert found is not None
        assert found.to_dict() == session.to_dict()
        found.state["text"] = "short"
        await store.set("s-1", found)
        again = await store.get("s-1")
        assert again is not None
        assert again.state == {"text": "short"}

    async def test_nothing_is_left_of_large_states(self, store: AnnalsSessionStore, annals: Annals) -> None:
        await store.set("s-1", session_of(text="x" * 2_000_000))
        for text in ("y" * 2_000_000, "short", "z" * 2_000_000):
            found = await store.get("s-1")
            assert found is not None
            found.state["text"] = text
            await store.set("s-1", found)
        await store.delete("s-1")
        documents = annals.documents.list(
            "agent-framework-sessions", memory_space_id="agent-framework", namespace_prefix=[], include_values=False
        )
        assert list(documents) == []

    async def test_nothing_is_left_of_large_states_that_are_replaced_unread(
        self, store: AnnalsSessionStore, annals: Annals
    ) -> None:
        for text in ("x" * 1_000_000, "y" * 1_000_000, "short"):
            await store.set("s-1", session_of(text=text))
        documents = annals.documents.list(
            "agent-framework-sessions", memory_space_id="agent-framework", namespace_prefix=[], include_values=False
        )
        assert [document.key for document in documents] == ["s-1"]

    async def test_states_may_nest_deep_and_hold_any_text(self, store: AnnalsSessionStore) -> None:
        deep: Any = ["half a pair: \ud83d", "NUL: \x00", 2**80]
        for _ in range(80):
            deep = {"in": deep}
        session = session_of(deep=deep)
        await store.set("s-1", session)
        found = await store.get("s-1")
        assert found is not None
        assert found.state == session.state

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    async def test_what_is_no_number_is_refused(self, store: AnnalsSessionStore, value: float) -> None:
        with pytest.raises(ValueError, match=r"state\.n must be a finite float"):
            await store.set("s-1", session_of(n=value))
        assert await store.get("s-1") is None

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    async def test_what_could_not_be_restored_is_refused(self, store: AnnalsSessionStore) -> None:
        with pytest.raises(TypeError, match=r"state\.nested\[0\]\.value is a object"):
            await store.set("s-1", session_of(nested=[{"value": object()}]))
        with pytest.raises(TypeError, match="Own"):
            await store.set("s-1", Own(session_id="s-1"))
        assert await store.get("s-1") is None

    async def test_a_snapshot_of_another_version_is_refused_and_kept(
        self, store: AnnalsSessionStore, annals: Annals
    ) -> None:
        place: Any = {"collection": "agent-framework-sessions", "key": "s-1", "memory_space_id": "agent-framework"}
        annals.documents.put(**place, value={"value": {"version": "2.0", "type": "session", "session_id": "s-1"}})
        with pytest.raises(ValueError, match=r"2\.0"):
            await store.get("s-1")
        assert annals.documents.get(**place) is not None


async def test_users_agents_and_applications_have_sessions_of_their_own(async_annals: AsyncAnnals) -> None:
    scopes: list[dict[str, Any]] = [{}, {"user_id": "ada"}, {"user_id": "ben"}, {"agent_id": "ada"}]
    scopes += [{"application_id": "shop"}, {"user_id": "ada", "agent_id": "helper"}]
    stores = [AnnalsSessionStore(client=async_annals, **scope) for scope in scopes]
    for number, store in enumerate(stores):
        await store.set("s-1", session_of(n=number))
    found = [await store.get("s-1") for store in stores]
    assert [session.state["n"] for session in found if session] == [*range(len(stores))]


async def test_sessions_go_with_their_user(annals: Annals, async_annals: AsyncAnnals) -> None:
    store = AnnalsSessionStore(client=async_annals, user_id="ada")
    await store.set("s-1", session_of(text="x" * 1_000_000))
    annals.users.erase("ada")
    annals.settle()
    assert await store.get("s-1") is None


async def test_an_agent_goes_on_with_a_session_that_was_stored(store: AnnalsSessionStore) -> None:
    model = ScriptedModel("Hello, Ada.", "Ada.")
    agent = Agent(client=model)
    session = agent.create_session()
    await agent.run("I am Ada.", session=session)
    await store.set(session.session_id, session)
    found = await store.get(session.session_id)
    assert found is not None
    await agent.run("Who am I?", session=found)
    assert texts(model.asked[1]) == ["I am Ada.", "Hello, Ada.", "Who am I?"]
