"""Downloads over a real socket: sent while they are made, no further than they are read, and never silently short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from annals.errors import ConversationNotFound
from annals.http import asgi
from annals.http.download import CHUNK_CHARS, download
from tests.fakes.uvicorn_server import serving_app

PIECE = "x" * CHUNK_CHARS


@contextmanager
def serving(pieces: Callable[[], Iterator[str]]) -> Iterator[str]:
    async def answer(_: Request) -> Response:
        return await download(pieces(), "text/plain", "file.txt")

    with serving_app(asgi.create_app([Route("/file", answer)])) as port:
        yield f"http://127.0.0.1:{port}/file"


def test_the_first_bytes_are_there_before_the_last_ones_are_made() -> None:
    arrived = Event()

    def pieces() -> Iterator[str]:
        yield PIECE
        yield PIECE
        assert arrived.wait(20), "the first bytes did not arrive"
        yield "the end"

    with serving(pieces) as url, httpx.stream("GET", url) as answer:
        chunks = answer.iter_bytes(CHUNK_CHARS)
        assert next(chunks) == PIECE.encode()
        arrived.set()
        assert b"".join(chunks) == PIECE.encode() + b"the end"


def test_what_fails_before_the_first_bytes_is_problem_details() -> None:
    def pieces() -> Iterator[str]:
        yield "a little"
        raise ConversationNotFound("c")

    with serving(pieces) as url:
        answer = httpx.get(url)
    assert (answer.status_code, answer.json()["code"]) == (404, "CONVERSATION_NOT_FOUND")


@pytest.mark.parametrize("error", [ConversationNotFound("c"), ValueError("broken")])
def test_what_fails_in_the_middle_breaks_the_connection_off(error: Exception) -> None:
    def pieces() -> Iterator[str]:
        yield PIECE
        yield PIECE
        raise error

    with serving(pieces) as url, httpx.stream("GET", url) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_nothing_is_made_for_a_client_that_does_not_read_or_has_gone() -> None:
    produced = 0

    def pieces() -> Iterator[str]:
        nonlocal produced
        while True:
            produced += 1
            yield PIECE

    with serving(pieces) as url:
        with httpx.stream("GET", url) as answer:
            assert next(answer.iter_bytes()).startswith(b"x")
            waiting = settled(lambda: produced)
        assert waiting < 500
        gone = settled(lambda: produced)
        assert gone <= waiting + 5


def settled(count: Callable[[], int]) -> int:
    """The number once it stands still."""
    last = -1
    for _ in range(100):
        if count() == last:
            return last
        last = count()
        time.sleep(0.2)
    raise AssertionError(f"it still grows: {last}")
