"""The chat port without a network: the offline model, pacing, and how Bedrock and SSE are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from annals.errors import ChatUnavailable
from annals.providers import chat_from_settings
from annals.providers.bedrock_chat import BedrockChat
from annals.providers.chat import ChatMessage, Finished, Pieces, Usage, paced
from annals.providers.offline_chat import OfflineChat
from annals.providers.openai_http import endpoint, refusal_detail
from annals.providers.sse import event_data
from annals.secret import ApiKey
from annals.settings import Settings


class Converse:
    """Bedrock's runtime, as far as chat uses it: the events that it was given, then its failure if it has one."""

    def __init__(self, *events: dict, failure: Exception | None = None) -> None:
        self.events = events
        self.failure = failure
        self.requests: list[dict] = []
        self.is_closed = False

    def converse_stream(self, **request: object) -> dict:
        self.requests.append(request)
        return {"stream": self}

    def __iter__(self):
        yield from self.events
        if self.failure:
            raise self.failure

    def close(self) -> None:
        self.is_closed = True


STOP = {"messageStop": {"stopReason": "end_turn"}}


def text(piece: str) -> dict:
    return {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}


def collect(pieces: Pieces) -> list[str | Finished]:
    async def collecting() -> list[str | Finished]:
        return [piece async for piece in pieces]

    return asyncio.run(collecting())


def user(content: str) -> ChatMessage:
    return ChatMessage("user", content)


def test_the_offline_model_says_what_it_is_and_shows_what_shares_words():
    context = "What is remembered:\n- Anna's cat is called Momo\n- Ben plays chess\n- What is the time?"
    *pieces, finished = collect(OfflineChat().stream([user("What is the cat called?")], instructions=context))
    reply = "".join(pieces)
    assert "offline model" in reply
    assert "Anna's cat is called Momo" in reply
    assert "chess" not in reply
    assert "time" not in reply
    assert "What is remembered:" not in reply
    assert len(pieces) > 10
    assert finished == Finished("stop", Usage(input_tokens=23, output_tokens=len(pieces)))


def test_the_offline_model_says_when_nothing_is_remembered():
    assert "Nothing remembered" in "".join(map(str, collect(OfflineChat().stream([user("Hello there")]))))


def test_bedrock_pieces_come_in_order_then_reason_and_usage():
    usage = {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}}
    client = Converse({"messageStart": {"role": "assistant"}}, text("a"), text("b"), STOP, usage)
    assert collect(BedrockChat(client).stream([user("hi")])) == ["a", "b", Finished("end_turn", Usage(3, 2))]
    assert client.is_closed


def test_bedrock_gets_alternating_roles_that_begin_with_the_user_and_end_with_the_users_words():
    client = Converse(STOP)
    messages = [ChatMessage("assistant", "Hello"), user("first"), user("last\nwords ")]
    collect(BedrockChat(client, "m").stream(messages, instructions="Be brief.", model="other"))
    assert client.requests == [
        {
            "modelId": "other",
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "(The conversation so far.)"}]},
                {"role": "assistant", "content": [{"text": "Hello"}]},
                {"role": "user", "content": [{"text": "first"}, {"text": "last\nwords "}]},
            ],
        }
    ]


@pytest.mark.parametrize("client", [Converse(text("a")), Converse(text("a"), failure=OSError("reset"))])
def test_a_bedrock_stream_without_its_end_is_unavailable(client: Converse):
    with pytest.raises(ChatUnavailable):
        collect(BedrockChat(client).stream([user("hi")]))
    assert client.is_closed


async def _pieces(*pieces: str | float | Finished) -> Pieces:
    for piece in pieces:
        if isinstance(piece, float):
            await asyncio.sleep(piece)
        else:
            yield piece


def test_pacing_changes_nothing_for_a_model_in_time():
    assert collect(paced(_pieces("a", 0.01, "b", Finished("stop")), stall_s=5, total_s=5)) == [
        "a",
        "b",
        Finished("stop"),
    ]


def test_a_silent_model_is_unavailable():
    with pytest.raises(ChatUnavailable, match=r"silent for 0\.05 s"):
        collect(paced(_pieces("a", 9.0), stall_s=0.05, total_s=5))


def test_a_model_that_never_ends_is_unavailable():
    with pytest.raises(ChatUnavailable, match=r"longer than 0\.05 s"):
        collect(paced(_pieces(*(["a", 0.01] * 500)), stall_s=5, total_s=0.05))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_survive_any_split_of_their_bytes(size: int):
    raw = ": comment\n\ndata: 👩‍🚀\u2028\x0b\r\n\r\nevent: x\ndata: one\ndata:two\n\nid: 4\n\ndata: last".encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    async def read() -> list[str]:
        return [data async for data in event_data(chunks())]

    assert asyncio.run(read()) == ["👩‍🚀\u2028\x0b", "one\ntwo", "last"]


@pytest.mark.parametrize(
    ("url", "adapter"), [("", "BedrockChat"), ("offline", "OfflineChat"), ("http://x/v1", "OpenAIChat")]
)
def test_the_url_chooses_the_chat_model(url: str, adapter: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert type(chat_from_settings(Settings(chat_url=url))).__name__ == adapter


def test_a_key_is_sent_as_it_is_and_never_shown():
    key = ApiKey(" sk-secret\n")
    assert key.headers() == {"Authorization": "Bearer sk-secret"}
    assert "secret" not in repr(key)
    assert ApiKey("").headers() == {}


def test_a_refused_key_is_not_quoted():
    body = b'{"error": {"message": "Incorrect API key provided: sk-abc"}}'
    assert "sk-abc" not in refusal_detail("The model", 401, body, "CHAT_API_KEY")
    assert refusal_detail("The model", 400, body, "CHAT_API_KEY").startswith("The model answered HTTP 400: Incorrect")
    assert refusal_detail("The model", 500, b"<html>", "CHAT_API_KEY") == "The model answered HTTP 500."


def test_an_endpoint_may_end_in_a_slash():
    assert endpoint("http://x/v1/", "embeddings") == endpoint("http://x/v1", "embeddings") == "http://x/v1/embeddings"
