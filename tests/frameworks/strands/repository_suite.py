"""A pytest plugin: Strands' own tests of its session manager run with our repository in the place of their double."""

from __future__ import annotations

from importlib import import_module

import served

from annals_client.integrations.strands import AnnalsSessionRepository


class EmptyRepository(AnnalsSessionRepository):
    """A repository that holds nothing yet."""

    def __init__(self) -> None:
        super().__init__(url=served.url(), key=served.new_key())


import_module("tests.fixtures.mock_session_repository").MockedSessionRepository = EmptyRepository  # type: ignore[attr-defined]
