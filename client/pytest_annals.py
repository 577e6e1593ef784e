"""Fixtures for pytest: Annals in memory. Nothing is imported, and nothing started, before a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annals_client.testing import Annals, AsyncAnnals, Sandbox


@pytest.fixture(scope="session")
def annals_settings() -> dict[str, str]:
    """The server's settings, by name. Override it for others than those of the models that need no network."""
    return {}


@pytest.fixture(scope="session")
def annals_sandbox(annals_settings: dict[str, str]) -> Iterator[Sandbox]:
    """The run's one Annals in memory."""
    from annals_client.testing import Sandbox

    with Sandbox(annals_settings) as sandbox:
        yield sandbox


@pytest.fixture
def annals_key(annals_sandbox: Sandbox) -> str:
    """The test's own key, of a tenant that holds nothing yet."""
    return annals_sandbox.new_key()


@pytest.fixture
def annals(annals_sandbox: Sandbox, annals_key: str) -> Iterator[Annals]:
    """A client of an Annals that holds nothing yet."""
    with annals_sandbox.client(annals_key) as client:
        yield client


@pytest.fixture
def async_annals(annals_sandbox: Sandbox, annals_key: str) -> AsyncAnnals:
    """A client for asyncio of the same Annals as ``annals``; for any event loop."""
    return annals_sandbox.async_client(annals_key)


@pytest.fixture
def annals_environment(annals_sandbox: Sandbox, annals_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ANNALS_URL`` and ``ANNALS_KEY`` for code that makes its own client, and for programs that the test starts."""
    monkeypatch.setenv("ANNALS_URL", annals_sandbox.url)
    monkeypatch.setenv("ANNALS_KEY", annals_key)
