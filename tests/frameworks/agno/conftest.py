"""Databases of agno on an Annals that holds nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from annals_client.calls import Call
from annals_client.integrations.agno import AnnalsDb, AsyncAnnalsDb
from annals_client.testing import Annals, AsyncAnnals


class Requests(list[Call[Any]]):
    """The requests that a client sent."""

    @property
    def routes(self) -> list[str]:
        """What they asked for."""
        return [f"{call.method} {call.path}" for call in self]

    @property
    def sent_bytes(self) -> int:
        """How much they carried."""
        return sum(len(call.content or b"") for call in self)


@pytest.fixture
def db(annals: Annals) -> AnnalsDb:
    return AnnalsDb(annals)


@pytest.fixture
def new_db(annals_url: str, annals_key: str) -> Iterator[Callable[[], AnnalsDb]]:
    """Makes databases that know nothing of one another, as other processes would."""
    made: list[AnnalsDb] = []

    def make() -> AnnalsDb:
        made.append(AnnalsDb(url=annals_url, key=annals_key))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def async_db(async_annals: AsyncAnnals) -> AsyncAnnalsDb:
    return AsyncAnnalsDb(async_annals)


@pytest.fixture
def requests(annals: Annals, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """What ``annals`` sends from now on."""
    sent, send = Requests(), annals.sender.send

    def note(call: Call[Any]) -> Any:
        sent.append(call)
        return send(call)

    monkeypatch.setattr(annals.sender, "send", note)
    return sent
