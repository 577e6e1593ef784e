"""Annals in memory, for people's own tests: what an agent's author does with it, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from annals_client import Annals, Delta, NotFound, Result, testing
from annals_client.testing import NotSettled, Sandbox
from local.template import ROOT
from tests.fakes.chat_server import REPLY, ChatServer
from tests.fakes.embedding_server import EmbeddingServer
from tests.fakes.servers import serving
from tests.support.databases import require_dynoxide
from tests.support.pages import blocks

pytest_plugins = ["pytest_annals"]

CLIENT = ROOT / "client"
SERVER = ROOT / "layers/annals"
GONE_WITHIN_S = 30
HOLD = """
import sys, time
from annals_client.testing import Sandbox
sandbox = Sandbox().start()
sandbox.client().conversations.create(user_id="ada", memory_space_id="demo")
print(sandbox.url, sandbox._started.process.pid, flush=True)
{then}
"""


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    """The database's program, without which there is no sandbox."""
    require_dynoxide()


README_BLOCKS = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
ASKS_THE_MODEL = f"""
def test_it(annals):
    said = {{"memory_space_id": "demo", "user_id": "ada", "user_message": "What is memory?"}}
    assert [*annals.memory.remember_stream(**said)][-1].full_response == {REPLY!r}
"""


class Agent:
    """A user's agent, which is to be tested: it looks up what it knows, and keeps each turn."""

    def __init__(self, annals: Annals) -> None:
        self._annals = annals

    def reply(self, user: str, message: str) -> str:
        known = self._annals.memory.recall(message, memory_space_id="demo", user_id=user).context
        answer = f"I know: {known}" if known else "I know nothing of that yet."
        self._annals.memory.remember(memory_space_id="demo", user_id=user, user_message=message, agent_response=answer)
        return answer


def test_an_agent_remembers_what_it_was_told(annals: testing.Annals) -> None:
    agent = Agent(annals)
    assert agent.reply("ada", "I am allergic to peanuts.") == "I know nothing of that yet."
    annals.settle()
    assert "allergic to peanuts" in agent.reply("ada", "What about peanuts?")
    assert "allergic" not in agent.reply("ben", "What about peanuts?")


@pytest.mark.parametrize("run", [1, 2])
def test_a_test_begins_with_nothing(annals: testing.Annals, run: int) -> None:
    assert not list(annals.conversations.list())
    with pytest.raises(NotFound):
        annals.conversations.get("talk")
    annals.conversations.create(user_id="ada", memory_space_id="demo", conversation_id="talk")
    annals.messages.append("talk", role="user", content=f"Run {run}.")
    annals.settle()
    assert [hit.content for hit in annals.memory.search("run", memory_space_id="demo")] == [f"Run {run}."]


def test_all_that_was_written_is_found_once_it_has_settled(annals: testing.Annals) -> None:
    talk = annals.conversations.create(user_id="ada", memory_space_id="demo").conversation_id
    for turn in range(3):
        for number in range(10):
            annals.messages.append(talk, role="user", content=f"Sentence {turn * 10 + number} of many.")
        annals.settle()
        assert annals.memories.count(memory_space_id="demo") == (turn + 1) * 10
        assert len(annals.memory.search("sentence", memory_space_id="demo", limit=50)) == (turn + 1) * 10
        (listed,) = annals.conversations.list(user_id="ada")
        assert listed.message_count == (turn + 1) * 10


def test_both_clients_of_a_test_see_the_same(annals: testing.Annals, async_annals: testing.AsyncAnnals) -> None:
    async def tell() -> str:
        talk = await async_annals.conversations.get_or_create(user_id="ada", memory_space_id="demo")
        await async_annals.messages.append(talk.conversation_id, role="user", content="I like tea.")
        await async_annals.settle()
        return talk.conversation_id

    assert [message.content for message in annals.messages.list(asyncio.run(tell()))] == ["I like tea."]
    assert len(annals.memory.search("tea", memory_space_id="demo")) == 1


@pytest.mark.parametrize("loop", ["first", "second"])
def test_the_client_for_asyncio_may_be_used_in_several_loops(async_annals: testing.AsyncAnnals, loop: str) -> None:
    for _ in range(3):
        assert asyncio.run(async_annals.conversations.count(user_id=loop)) == 0


def test_facts_hold_until_newer_ones_do(annals: testing.Annals) -> None:
    for city in ("Paris", "Rome"):
        triple = {"subject": "ada", "predicate": "lives in", "object": city}
        annals.facts.create(memory_space_id="demo", user_id="ada", fact=f"Ada lives in {city}.", **triple)
    annals.settle()
    assert [fact.object for fact in annals.facts.list(memory_space_id="demo")] == ["Rome"]


def test_racing_writers_lose_nothing(annals: testing.Annals) -> None:
    talk = annals.conversations.create(user_id="ada", memory_space_id="demo").conversation_id

    def write(writer: int) -> None:
        for number in range(10):
            annals.messages.append(talk, role="user", content=f"{writer}: {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    messages = list(annals.messages.list(talk))
    assert len({message.content for message in messages}) == len(messages) == 80
    assert [message.seq for message in messages] == sorted({message.seq for message in messages})
    assert annals.conversations.verify(talk).valid


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    """A chat model that says two words, then waits."""
    with serving(ChatServer()) as server:
        yield server


@pytest.fixture(scope="module")
def with_chat(chat: ChatServer) -> Iterator[Sandbox]:
    """A second sandbox, which asks that model."""
    with Sandbox({"CHAT_URL": f"{chat.url}/v1", "CHAT_MODEL": "hold"}) as sandbox:
        yield sandbox


def test_a_reply_streams_while_the_model_still_speaks(with_chat: Sandbox, chat: ChatServer) -> None:
    chat.may_go_on.clear()
    text = ""
    with with_chat.client() as annals:
        for event in annals.memory.remember_stream(
            memory_space_id="demo", user_id="ada", user_message="What is memory?"
        ):
            if isinstance(event, Delta):
                text += event.text
                chat.may_go_on.set()
            if isinstance(event, Result):
                messages = annals.messages.list(event.conversation.conversation_id)
                assert [message.content for message in messages] == ["What is memory?", REPLY]
    assert text == REPLY


def test_a_reply_streams_with_asyncio(with_chat: Sandbox, chat: ChatServer) -> None:
    chat.may_go_on.clear()

    async def ask() -> str:
        text = ""
        turn = {"memory_space_id": "demo", "user_id": "ada", "user_message": "What is memory?"}
        async for event in with_chat.async_client().memory.remember_stream(**turn):
            if isinstance(event, Delta):
                text += event.text
                chat.may_go_on.set()
        return text

    assert asyncio.run(ask()) == REPLY


def test_two_sandboxes_know_nothing_of_each_other(annals_sandbox: Sandbox, with_chat: Sandbox) -> None:
    assert annals_sandbox.url != with_chat.url
    key = annals_sandbox.new_key()
    annals_sandbox.client(key).conversations.create(user_id="ada", memory_space_id="demo")
    with pytest.raises(testing.AnnalsError):
        with_chat.client(key).conversations.count()
    assert annals_sandbox.client(key).conversations.count() == 1


def test_code_that_makes_its_own_client_finds_the_sandbox(annals: testing.Annals, annals_environment: None) -> None:
    with Annals() as own:
        talk = own.conversations.create(user_id="ada", memory_space_id="demo").conversation_id
    assert annals.conversations.get(talk).message_count == 0


def test_what_cannot_settle_is_an_error_that_says_who_is_behind() -> None:
    with serving(EmbeddingServer()) as models:
        settings = {"EMBEDDINGS_URL": f"{models.url}/v1", "EMBEDDINGS_MODEL": "status-400"}
        with Sandbox(settings) as sandbox, sandbox.client() as annals:
            talk = annals.conversations.create(user_id="ada", memory_space_id="demo").conversation_id
            annals.messages.append(talk, role="user", content="I like tea.")
            with pytest.raises(NotSettled, match="index/LedgerTable"):
                annals.settle(timeout_s=1)
            wait_until(lambda: "EmbeddingUnavailable" in sandbox.log)


def test_nothing_is_left_of_a_sandbox_that_was_stopped() -> None:
    with Sandbox() as sandbox:
        folder, group = place_of(sandbox.url), sandbox._started.process.pid
        sandbox.client().conversations.create(user_id="ada", memory_space_id="demo")
        assert folder.exists()
    assert not folder.exists()
    wait_until(lambda: not is_alive(group))


def test_nothing_is_left_of_a_sandbox_that_was_killed() -> None:
    with Sandbox() as sandbox:
        folder, group = place_of(sandbox.url), sandbox._started.process.pid
        os.kill(group, signal.SIGKILL)
    assert not folder.exists()
    wait_until(lambda: not is_alive(group))


@pytest.mark.parametrize("end", ["time.sleep(60)", "sys.exit(3)"])
def test_nothing_is_left_of_a_run_that_ended_without_stopping_it(end: str) -> None:
    with program_of(HOLD.format(then=end)) as run:
        assert run.stdout is not None
        url, pid = run.stdout.readline().split()
        if end == "time.sleep(60)":
            run.kill()
        run.wait(GONE_WITHIN_S)
    wait_until(lambda: not is_alive(int(pid)) and not place_of(url).exists())


def test_a_child_of_the_run_does_not_keep_the_sandbox_alive() -> None:
    sandbox = Sandbox().start()
    child = os.fork()
    if child == 0:
        time.sleep(GONE_WITHIN_S)
        os._exit(0)
    try:
        began = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - began < testing.STOP_TIMEOUT_S
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_run_imports_nothing_of_the_server_and_keeps_its_environment() -> None:
    code = """
import os, sys
from annals_client.testing import Sandbox
before = dict(os.environ)
with Sandbox() as sandbox, sandbox.client() as annals:
    annals.conversations.create(user_id="ada", memory_space_id="demo")
assert dict(os.environ) == before
assert not {"annals", "local", "boto3", "botocore", "aws_lambda_powertools", "uvicorn"} & sys.modules.keys()
"""
    with program_of(code) as run:
        assert run.wait(60) == 0


def test_a_test_may_use_moto_beside_it(annals: testing.Annals) -> None:
    with mock_aws():
        boto3.client("sqs", "us-east-1").create_queue(QueueName="the-agents")
        talk = annals.conversations.create(user_id="ada", memory_space_id="demo").conversation_id
        annals.messages.append(talk, role="user", content="I like tea.")
        annals.settle()
        assert len(annals.memory.search("tea", memory_space_id="demo")) == 1
        assert len(boto3.client("sqs", "us-east-1").list_queues()["QueueUrls"]) == 1


def test_the_sandbox_does_not_reach_what_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DYNAMODB_URL", "OPENSEARCH_URL", "EMBEDDINGS_URL", "CHAT_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("ROOT_KEY", "secret")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with Sandbox() as sandbox, sandbox.client() as annals:
        turn = {"memory_space_id": "demo", "user_id": "ada"}
        annals.memory.remember(**turn, user_message="I like tea.", agent_response="Noted.")
        annals.settle()
        assert annals.memory.search("tea", memory_space_id="demo")


def test_a_folder_of_the_users_does_not_stand_in_for_a_part_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local/__init__.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        assert sandbox.client().health().status == "ok"


def test_a_setting_that_is_none_is_named() -> None:
    with pytest.raises(testing.CannotStart, match="'CHAT_URI=x' is not a setting"):
        Sandbox({"CHAT_URI": "x"}).start()


def test_a_sandbox_that_was_not_started_says_so() -> None:
    with pytest.raises(testing.CannotStart, match="not started"):
        Sandbox().client()


def test_without_the_server_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = "from annals_client.testing import Sandbox; Sandbox().start()"
    output = failure_of(code, PYTHONPATH=str(CLIENT), PATH=str(tmp_path))
    assert "CannotStart: Annals' server is not installed: pip install 'annals-client[testing]'" in output


def test_without_the_database_the_error_says_what_to_install(tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm: no network' >&2; exit 1\n")
    npm.chmod(0o755)
    code = "from annals_client.testing import Sandbox; Sandbox().start()"
    elsewhere = {"ANNALS_CACHE": str(tmp_path / "cache"), "CARGO_HOME": str(tmp_path), "PATH": f"{tmp_path}:/bin"}
    output = failure_of(code, **elsewhere)
    assert "dynoxide cannot be installed (npm: no network)" in output
    assert "cargo install dynoxide-rs" in output


USERS_TESTS = """
import pytest

@pytest.mark.parametrize("run", range(2))
def test_one(annals, run):
    annals.conversations.create(user_id="ada", memory_space_id="demo", conversation_id="talk")

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two(async_annals):
    said = {"memory_space_id": "demo", "user_id": "ada", "user_message": "What do I like?"}
    events = [event async for event in async_annals.memory.remember_stream(**said)]
    assert events[-1].conversation.message_ids
"""


def test_the_fixtures_work_in_several_processes_at_once(tmp_path: Path) -> None:
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(USERS_TESTS)
    assert "6 passed" in pytest_in(tmp_path, "-n", "2", "-W", "error")


def test_what_the_page_shows_works(tmp_path: Path, chat: ChatServer) -> None:
    a_test, settings, program = blocks("testing.md", "python")
    (in_readme,) = [text for text in README_BLOCKS if "annals.settle()" in text]
    (tmp_path / "test_page.py").write_text(a_test + in_readme.replace("def test_an", "def test_the_readmes"))
    (tmp_path / "conftest.py").write_text(settings.replace("http://127.0.0.1:8080", chat.url).replace("any", "words"))
    (tmp_path / "test_models.py").write_text(ASKS_THE_MODEL)
    assert "3 passed" in pytest_in(tmp_path, "-W", "error")
    with program_of(program) as run:
        assert run.wait(60) == 0


def test_the_plugin_imports_nothing_where_no_test_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import sys\ndef test_a(): assert not [name for name in sys.modules if name.startswith('annals')]\n"
    )
    assert "1 passed" in pytest_in(tmp_path)


def pytest_in(folder: Path, *options: str) -> str:
    """What pytest says in a user's project, whose plugin is named here as its entry point does."""
    command = [sys.executable, "-m", "pytest", "-p", "pytest_annals", "-p", "no:cacheprovider", *options, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{CLIENT}:{SERVER}", **more}


def program_of(code: str) -> subprocess.Popen[str]:
    """A user's program."""
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603


def failure_of(code: str, **env: str) -> str:
    """What a user's program says that fails."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(**env), capture_output=True, text=True, timeout=60)  # noqa: S603
    assert done.returncode == 1
    return done.stderr


def place_of(url: str) -> Path:
    return Path(url.removeprefix("unix://")).parent


def is_alive(group: int) -> bool:
    """Whether any process of a sandbox is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)
