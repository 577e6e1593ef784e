"""One development server for all end-to-end tests: a fresh data folder, a free port."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.asking import key_of, unique
from tests.e2e.servers import Server, start_server, stop_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The development server."""
    process, running = start_server(tmp_path_factory.mktemp("annals"))
    try:
        yield running
    finally:
        code = stop_server(process)
    assert code == 0, (running.data / "server.log").read_text()


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """A client with every scope."""
    with server.client() as client:
        yield client


@pytest.fixture
def own(server: Server, api: httpx.Client) -> Iterator[httpx.Client]:
    """A client of a tenant that no other test knows, without the scopes for keys."""
    with server.client(key_of(api, unique("tenant"))) as client:
        yield client
