"""What the adapters to agents' frameworks share, without a framework."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest

from annals_client import Annals, AsyncAnnals, Erased
from annals_client.errors import Problem
from annals_client.integrations.support import SUPPORTED, Clients, Session, Sessions, UnsupportedFramework, framework
from local.template import ROOT
from scripts.framework_environments import ADAPTERS, PINNED, environments

URL = "http://127.0.0.1:9"
SESSION = Session("s-1", user_id="ada", metadata=(("topic", "tea"),))


BESIDE = {"mcp": "1.16.0", "pydantic": "2.11.10", "websockets": "15.0.1"}
"""What the previews of Agent Framework need beside them, in versions that fit."""


def pinned(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    """Let every framework be installed in that version."""
    monkeypatch.setattr("annals_client.integrations.support.version", lambda name: BESIDE.get(name, installed))


def test_a_missing_framework_is_named_with_its_versions_and_the_extra() -> None:
    missing = next(name for name in SUPPORTED if not _is_installed(SUPPORTED[name][0]))
    with pytest.raises(UnsupportedFramework) as refusal, framework(missing):
        pass
    assert SUPPORTED[missing][0] in str(refusal.value)
    assert f"pip install 'annals-client[{missing}]'" in str(refusal.value)


def _is_installed(requirement: str) -> bool:
    try:
        importlib.metadata.version(requirement.partition(">")[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    ("extra", "installed"),
    [("agno", "1.8.4"), ("agno", "4.0.0"), ("agno-v1", "2.0.0"), ("agent-framework-v1", "1.0.0"), ("strands", "0.9")],
)
def test_another_version_of_a_framework_is_refused_by_its_number(
    monkeypatch: pytest.MonkeyPatch, extra: str, installed: str
) -> None:
    pinned(monkeypatch, installed)
    with pytest.raises(UnsupportedFramework, match=f"{installed} is installed"), framework(extra):
        pass


@pytest.mark.parametrize(
    ("extra", "installed"),
    [("agno", "3.1.10"), ("agno", "3.20"), ("agno-v1", "1.8.4"), ("agent-framework-v1", "1.0.0b251007")],
)
def test_a_supported_version_of_a_framework_is_taken(
    monkeypatch: pytest.MonkeyPatch, extra: str, installed: str
) -> None:
    pinned(monkeypatch, installed)
    with framework(extra):
        pass


def test_what_a_framework_fails_to_import_is_reported_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned(monkeypatch, "3.1.10")
    with pytest.raises(UnsupportedFramework, match=r"nowhere.*This adapter needs agno"), framework("agno"):
        import nowhere  # type: ignore[import-not-found]  # noqa: F401


def test_the_extras_are_the_versions_that_the_adapters_take() -> None:
    extras = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name: tuple(needed) for name, needed in extras.items() if name != "testing"} == SUPPORTED


@pytest.mark.parametrize("environment", environments(), ids=lambda environment: environment.name)
def test_an_environment_has_the_pins_of_what_it_is_for_and_the_adapters_that_it_tests(environment: Any) -> None:
    assert set(PINNED.findall(environment.input.read_text())) <= set(PINNED.findall(environment.pins.read_text()))
    assert all(path.is_file() for path in environment.adapter_files())
    assert [*environment.tests.glob("test_*.py")]


def test_every_extra_is_in_the_list_of_adapters_with_its_page() -> None:
    folder = ROOT / "docs/integrations"
    page = (folder / "README.md").read_text()
    assert [extra for extra in SUPPORTED if f"`{extra}`" not in page] == []
    assert all((folder / name).is_file() for name in re.findall(r"\]\((\w+\.md)", page))


def test_every_adapter_is_tested_in_an_environment() -> None:
    tested = {name for environment in environments() for name in environment.adapters}
    found = {path.stem for path in ADAPTERS.iterdir() if path.stem not in ("__init__", "__pycache__", "support")}
    assert found == tested


def test_a_client_that_is_given_is_used_and_left_open() -> None:
    with Annals(URL, "key") as annals:
        clients = Clients(annals)
        assert clients.sync is annals
        clients.close()
        assert not annals.sender._http.is_closed


def test_a_client_that_is_made_is_closed() -> None:
    clients = Clients(url=URL, key="key")
    made = clients.sync
    clients.close()
    assert made.sender._http.is_closed


@pytest.mark.parametrize("url", [URL, "unix:///run/annals/socket"])
def test_the_client_of_the_other_kind_has_the_same_server_and_key(url: str) -> None:
    async def asynchronous() -> AsyncAnnals:
        return Clients(Annals(url, "key", timeout_s=7)).asynchronous

    given = asyncio.run(asynchronous())
    sync = Clients(given).sync
    assert given.sender.connection == sync.sender.connection
    assert given._endpoint == sync._endpoint
    assert (sync.sender.connection.key, sync.sender.connection.timeout_s) == ("key", 7)


def test_each_event_loop_has_a_client_of_its_own() -> None:
    clients = Clients(url=URL, key="key")

    async def twice() -> list[AsyncAnnals]:
        return [clients.asynchronous, clients.asynchronous]

    first, second = asyncio.run(twice()), asyncio.run(twice())
    assert first[0] is first[1]
    assert second[0] is not first[0]


def test_a_client_and_a_url_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match="not both"):
        Clients(Annals(URL, "key"), url=URL)


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match="not str"):
        Clients("http://127.0.0.1")  # type: ignore[arg-type]


class Conversations:
    """The sessions of a server, of which the test erases some."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.conversation: str | None = None

    def get_or_create_session(self, **asked: Any) -> SimpleNamespace:
        """A new conversation, each time that one is missing."""
        self.asked.append(asked)
        self.conversation = self.conversation or f"conversation-{len(self.asked)}"
        return SimpleNamespace(conversation_id=self.conversation)

    def find_session(self, **asked: Any) -> SimpleNamespace | None:
        """The conversation, if there is one."""
        self.asked.append(asked)
        return None if self.conversation is None else SimpleNamespace(conversation_id=self.conversation)

    def read(self, _: object, conversation_id: str) -> str:
        """A call of the adapter's, which fails for a conversation that is gone."""
        if conversation_id != self.conversation:
            raise Erased(Problem(410, "CONVERSATION_ERASED", "Gone", "It was erased."))
        return conversation_id


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> Conversations:
    """A server's sessions."""
    made = Conversations()
    monkeypatch.setattr(Clients, "sync", SimpleNamespace(conversations=made))
    return made


@pytest.fixture
def sessions(conversations: Conversations) -> Sessions:
    """An adapter's."""
    return Sessions(Clients(url=URL, key="key"), size=2)


def test_a_session_is_asked_for_once(sessions: Sessions, conversations: Conversations) -> None:
    assert {sessions.use(SESSION, conversations.read) for _ in range(3)} == {"conversation-1"}
    assert conversations.asked == [{"session_id": "s-1", "user_id": "ada", "metadata": {"topic": "tea"}}]


def test_a_session_that_was_erased_meanwhile_is_asked_for_again(
    sessions: Sessions, conversations: Conversations
) -> None:
    sessions.use(SESSION, conversations.read)
    conversations.conversation = None
    assert sessions.find(SESSION, conversations.read) is None
    assert sessions.use(SESSION, conversations.read) == "conversation-3"


def test_the_same_session_id_of_two_users_is_two_sessions(sessions: Sessions, conversations: Conversations) -> None:
    sessions.use(SESSION, conversations.read)
    sessions.use(Session("s-1", user_id="ben"), conversations.read)
    assert [asked["user_id"] for asked in conversations.asked] == ["ada", "ben"]


def test_only_so_many_sessions_are_remembered(sessions: Sessions, conversations: Conversations) -> None:
    for name in ("a", "b", "c"):
        sessions.use(Session(name), conversations.read)
    sessions.use(Session("c"), conversations.read)
    sessions.use(Session("a"), conversations.read)
    assert [asked["session_id"] for asked in conversations.asked] == ["a", "b", "c", "a"]
