"""A sandbox tells whether what follows from the writes is done, is not yet, or has failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from starlette.applications import Starlette

from local.sandbox_app import SettleRoute
from local.streams import DeadLetters
from tests.unit.local.test_local_streams import record


class Following:
    """Stream readers of which some are behind."""

    def __init__(self, folder: Path, *behind: str) -> None:
        self.dead_letters = DeadLetters(folder / "dlq.jsonl")
        self._behind = list(behind)

    def settle(self, timeout_s: float) -> list[str]:
        return self._behind


def settled(settling: SettleRoute, times: int = 1) -> list[httpx.Response]:
    """The responses to so many requests."""

    async def ask() -> list[httpx.Response]:
        app = httpx.ASGITransport(Starlette(routes=[settling.route]))
        async with httpx.AsyncClient(transport=app, base_url="http://annals") as http:
            return [await http.post("/settle", params={"timeout_s": "2"}) for _ in range(times)]

    return asyncio.run(ask())


def test_what_is_done_is_a_success(tmp_path: Path) -> None:
    assert [answer.status_code for answer in settled(SettleRoute(Following(tmp_path)))] == [204]


def test_what_is_not_done_in_time_is_named(tmp_path: Path) -> None:
    (answer,) = settled(SettleRoute(Following(tmp_path, "index/LedgerTable", "project/LedgerTable")))
    assert answer.status_code == 409
    assert "After 2 s there still is work for index/LedgerTable, project/LedgerTable" in answer.json()["detail"]


def test_what_was_given_up_is_told_once(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.dead_letters.put("index/LedgerTable", record(1), "its process died")
    first, second = settled(SettleRoute(following), times=2)
    assert first.status_code == 500
    assert first.json()["detail"].endswith("1 of the writes failed: index/LedgerTable: its process died")
    assert second.status_code == 204
