"""remember-stream with the real ledger, index and chat adapter: the database is MiniStack, the model a local server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annals.memory import adapters
from annals.settings import settings
from local import ministack
from local.emulator import Emulator
from tests.fakes.chat_server import ChatServer
from tests.fakes.servers import serving
from tests.fakes.uvicorn_server import serving_app
from tests.support import stack
from tests.support.api import Api
from tests.support.stack import function
from tests.support.streaming import Streams

LEASE_S = 3


@pytest.fixture(scope="session")
def running_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A MiniStack that has queues, topics, buses and buckets, too."""
    folder = tmp_path_factory.mktemp("ministack-events")
    running = ministack.start(folder, f"{ministack.TABLES},sqs,sns,s3,events")
    yield running
    running.stop(ministack.files(folder))


@pytest.fixture(scope="module")
def aws(running_aws: Emulator) -> Iterator[Emulator]:
    """Fresh tables in it for a module, and every client's way there."""
    with pytest.MonkeyPatch.context() as patch, stack.on_emulator(running_aws):
        patch.setenv("AWS_ENDPOINT_URL", running_aws.url)
        yield running_aws


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    """The chat model's server."""
    with serving(ChatServer()) as server:
        yield server


@pytest.fixture(scope="module")
def streaming_port(ministack: object, chat: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the function's own app; other processes find the same settings in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAT_URL", f"{chat.url}/v1")
        patch.setenv("CHAT_MODEL", "words")
        patch.setenv("CHAT_STALL_S", "1")
        patch.setenv("DRAFT_LEASE_S", str(LEASE_S))
        patch.setenv("EMBEDDINGS_URL", "offline")
        patch.setenv("EMBEDDED_INDEX", str(tmp_path_factory.mktemp("index") / "index.sqlite3"))
        _forget()
        with serving_app(function("remember_stream").app) as port:
            yield port
    _forget()


@pytest.fixture
def stream(streaming_port: int, chat: ChatServer, api: Api) -> Streams:
    """A client of that app, for the test's own tenant."""
    chat.may_go_on.clear()
    return Streams(streaming_port, api.caller)


def _forget() -> None:
    for cached in (settings, adapters.index, adapters.embedder, adapters.chat):
        cached.cache_clear()
