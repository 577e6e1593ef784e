"""The Bedrock adapters through boto3's own client, over a socket, with real event-stream bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from annals import costs
from annals.errors import ChatUnavailable, EmbeddingUnavailable, RerankUnavailable
from annals.providers import bedrock, reranker_from_settings
from annals.providers.bedrock_chat import BedrockChat
from annals.providers.bedrock_embedding import BedrockEmbedder
from annals.providers.chat import ChatMessage, Finished, Usage, paced
from annals.providers.reranking import Reranker
from annals.settings import Settings
from tests.fakes.bedrock_server import WORDS, BedrockServer
from tests.fakes.servers import serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockServer]:
    with serving(BedrockServer()) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", running.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
        yield running


def embedder(suffix: str = "") -> BedrockEmbedder:
    return BedrockEmbedder(
        bedrock.runtime_client(read_timeout_s=5), f"amazon.titan-embed-text-v2:0{suffix}", dimensions=256
    )


def talk(model: str = "plain", stall_s: float = 10) -> tuple[list[str], Finished | None, str]:
    adapter = BedrockChat(bedrock.runtime_client(read_timeout_s=2), model)
    pieces: list[str] = []
    ends: list[Finished] = []

    async def listen() -> None:
        async for piece in paced(adapter.stream([ChatMessage("user", "hi 👋")]), stall_s=stall_s, total_s=20):
            ends.append(piece) if isinstance(piece, Finished) else pieces.append(piece)

    try:
        asyncio.run(listen())
    except ChatUnavailable as failure:
        return pieces, None, failure.detail
    return pieces, ends[0], ""


def test_texts_are_embedded_at_once_and_keep_their_order(server: BedrockServer):
    texts = ["x" * length for length in range(1, 30)]
    vectors = embedder().embed(["", *texts])
    assert [vector.index(1.0) for vector in vectors[1:]] == [len(text) for text in texts]
    assert len(server.requests) == len(texts)
    assert {request["modelId"] for request in server.requests} == {"amazon.titan-embed-text-v2:0"}


def test_the_tokens_that_were_embedded_are_noted(server: BedrockServer):
    with costs.metered() as spent:
        embedder().embed(["one", "", "two"])
    assert spent.embed_tokens == 6


def test_throttling_is_repeated(server: BedrockServer):
    assert len(embedder("-throttled").embed(["text"])[0]) == 256
    assert len(server.requests) == 2


def test_a_text_over_the_models_limit_is_embedded_by_its_beginning(server: BedrockServer):
    assert len(embedder("-long").embed(["word " * 20_000])[0]) == 256
    assert [len(request["inputText"]) for request in server.requests] == [50_000, 25_000, 12_500, 6_250]


@pytest.mark.parametrize("suffix", ["-denied", "-short"])
def test_no_vector_of_the_right_length_is_unavailable(server: BedrockServer, suffix: str):
    with pytest.raises(EmbeddingUnavailable):
        embedder(suffix).embed(["text"])


def test_a_reply_comes_in_pieces_then_reason_and_usage(server: BedrockServer):
    pieces, end, _ = talk()
    assert [piece for piece in pieces if piece] == WORDS
    assert end == Finished("end_turn", Usage(7, 4))
    assert server.requests[0]["messages"] == [{"role": "user", "content": [{"text": "hi 👋"}]}]


def test_a_reply_without_a_word_is_a_reply(server: BedrockServer):
    pieces, end, _ = talk("silent")
    assert ("".join(pieces), end) == ("", Finished("end_turn", Usage(7, 4)))


def test_calls_reasoning_and_tokens_are_in_the_parts_as_converse_has_them(server: BedrockServer):
    pieces, end, _ = talk("calls")
    assert ("".join(pieces), end) == ("", Finished("tool_use", Usage(7, 4)))
    assert end.parts == {
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bath"}}},
        ],
        "usage": {"inputTokens": 7, "outputTokens": 4, "totalTokens": 11},
    }


def test_a_throttled_chat_is_repeated(server: BedrockServer):
    assert "".join(talk("throttled")[0]) == "".join(WORDS)


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        ("break", "failed"),
        ("cut", "broke off before the reply's end"),
        ("error", "the model fell over"),
        ("garbled", "failed: ChecksumMismatch"),
    ],
)
def test_a_stream_that_breaks_is_unavailable_and_what_came_before_has_come(
    server: BedrockServer, model: str, detail: str
):
    pieces, end, failure = talk(model)
    assert "".join(pieces) == "".join(WORDS[:2])
    assert end is None
    assert detail in failure


def test_a_refused_chat_is_unavailable(server: BedrockServer):
    assert "AccessDeniedException" in talk("denied")[2]


@pytest.mark.parametrize(("stall_s", "detail"), [(0.3, "silent for 0.3 s"), (10, "ReadTimeoutError")])
def test_a_stream_that_stalls_is_unavailable(server: BedrockServer, stall_s: float, detail: str):
    started = time.monotonic()
    pieces, _, failure = talk("stall", stall_s=stall_s)
    assert "".join(pieces) == "".join(WORDS[:2])
    assert detail in failure
    assert time.monotonic() - started < 6


def reranker(model: str) -> Reranker:
    found = reranker_from_settings(Settings(rerank_model=model))
    assert found is not None
    return found


def test_texts_are_scored_in_their_order_whatever_is_in_them(server: BedrockServer):
    assert reranker("amazon.rerank-v1:0").rerank("Who? \ud83d", ["0.25 bees", "0.75 \udc00 👋"]) == [0.25, 0.75]
    assert server.requests[0]["queries"][0]["textQuery"] == {"text": "Who? ?"}


def test_a_throttled_reranker_is_asked_again(server: BedrockServer):
    assert reranker("throttled").rerank("Who?", ["0.5 bees"]) == [0.5]
    assert len(server.requests) == 2


def test_a_refused_reranking_is_unavailable_and_names_nobody(server: BedrockServer):
    with pytest.raises(RerankUnavailable, match="AccessDeniedException") as refused:
        reranker("denied").rerank("Who?", ["0.5 bees"])
    assert "arn:" not in refused.value.detail
