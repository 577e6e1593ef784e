"""Fixtures of the adapters' tests. They run against one server, each test with a tenant that holds nothing yet.

``make test-integrations`` starts the server, and says in ``ANNALS_URL`` and ``ANNALS_KEY`` where it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import served

from annals_client.testing import Annals, AsyncAnnals


def pytest_configure(config: pytest.Config) -> None:
    """Say how these tests are run, where they are run in another way."""
    if "ANNALS_URL" not in os.environ or "ANNALS_KEY" not in os.environ:
        raise pytest.UsageError("`make test-integrations` runs tests/frameworks: it starts the server that they need")


@pytest.fixture
def annals_url() -> str:
    """Where Annals answers."""
    return served.url()


@pytest.fixture
def annals_key() -> str:
    """The test's own key, of a tenant that holds nothing yet."""
    return served.new_key()


@pytest.fixture
def annals(annals_url: str, annals_key: str) -> Iterator[Annals]:
    """A client of an Annals that holds nothing yet; ``settle()`` waits until all of it can be searched."""
    with Annals(annals_url, annals_key) as client:
        yield client


@pytest.fixture
def async_annals(annals_url: str, annals_key: str) -> AsyncAnnals:
    """A client for asyncio of the same Annals as ``annals``; for any event loop."""
    return AsyncAnnals(annals_url, annals_key)


@pytest.fixture
def annals_environment(annals_url: str, annals_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ANNALS_URL`` and ``ANNALS_KEY`` of the test, for code that makes its own client, and for programs."""
    monkeypatch.setenv("ANNALS_URL", annals_url)
    monkeypatch.setenv("ANNALS_KEY", annals_key)
