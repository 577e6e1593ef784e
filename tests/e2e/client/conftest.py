"""Both clients, for tests that ask the same of each."""

from __future__ import annotations

import pytest

from tests.client.asking import BOTH, Ask


@pytest.fixture(params=BOTH)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a server with one of the clients: ``ask(url, lambda client: …)``."""
    return BOTH[request.param]
