"""remember-stream in this process, answered by a chat model that says what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.testclient import TestClient

from annals.memory.streaming.draft_table import DraftTable
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.memory.streaming.turn_store import LedgerTurnStore
from annals.providers.chat import ChatMessage, Finished
from tests.support import stack
from tests.support.api import Api


class Echo:
    """A chat model that says what it was asked."""

    async def stream(self, messages: Sequence[ChatMessage], **_: Any) -> AsyncGenerator[str | Finished]:
        yield "You said: "
        yield messages[-1].content
        yield Finished("stop")


@contextmanager
def streaming(api: Api) -> Iterator[TestClient]:
    """A client of the streaming function, whose model is an echo."""
    turns = StreamedTurns(LedgerTurnStore(), DraftTable(), Echo())
    context = {"authorizer": api.caller.to_authorizer(), "requestId": "r"}
    headers = {"x-amzn-request-context": json.dumps(context)}
    with TestClient(stack.function("remember_stream").create_app(lambda: turns), headers=headers) as app:
        yield app


def events_of(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    frames = [frame.split("\n") for frame in answer.text.strip().split("\n\n")]
    named = [{line.partition(": ")[0]: line.partition(": ")[2] for line in frame} for frame in frames]
    return [(each["event"], json.loads(each["data"])) for each in named if "event" in each]
