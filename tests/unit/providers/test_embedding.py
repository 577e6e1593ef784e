"""The embedding port without a network: the offline embedder, Titan's requests, and who chooses."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from annals.errors import ConfigurationError, EmbeddingUnavailable
from annals.providers import embedder_from_settings
from annals.providers.bedrock_embedding import BedrockEmbedder
from annals.providers.offline_embedding import OfflineEmbedder
from annals.retries import Backoff
from annals.settings import Settings

MODEL = "amazon.titan-embed-text-v2:0"


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def stubbed():
    client = boto3.client(
        "bedrock-runtime", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return client, Stubber(client)


def answer(vector: list[float]) -> dict:
    body = json.dumps({"embedding": vector, "inputTextTokenCount": 2}).encode()
    return {"body": StreamingBody(io.BytesIO(body), len(body)), "contentType": "application/json"}


def expected_request(text: str, dimensions: int = 256) -> dict:
    body = json.dumps({"inputText": text, "dimensions": dimensions, "normalize": True}).encode()
    return {"modelId": MODEL, "body": body, "contentType": "application/json", "accept": "application/json"}


def test_offline_vectors_have_unit_length_and_keep_the_order():
    embedder = OfflineEmbedder()
    texts = ["a cat sat", "Bücher", "日本語", "🎉", "!", "x" * 200_000]
    vectors = embedder.embed(texts)
    assert all(len(vector) == embedder.dimensions for vector in vectors)
    assert all(math.isclose(math.hypot(*vector), 1) for vector in vectors)
    assert vectors == [embedder.embed([text])[0] for text in texts]


def test_offline_vectors_are_near_where_words_are_shared():
    question, near, far = OfflineEmbedder().embed(
        ["Which books does Anna read?", "Anna reads a book every week", "The train to Oslo leaves at nine"]
    )
    assert cosine(question, near) > 0.3 > cosine(question, far)
    assert not OfflineEmbedder().semantic


def test_offline_vectors_are_the_same_in_every_process():
    code = (
        "from annals.providers.offline_embedding import OfflineEmbedder as E; print(E().embed(['The same text?'])[0])"
    )
    assert json.loads(printed_by(code)) == OfflineEmbedder().embed(["The same text?"])[0]


def printed_by(code: str) -> str:
    """What a new process, with another seed for ``hash()``, prints."""
    env = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout  # noqa: S603


def test_a_blank_text_has_no_vector_and_the_others_keep_their_order():
    vectors = OfflineEmbedder().embed(["", "word", " \n\t"])
    assert [len(vector) for vector in vectors] == [0, 256, 0]
    assert OfflineEmbedder().embed([]) == []


def test_half_a_surrogate_pair_is_no_obstacle():
    assert len(OfflineEmbedder().embed(["broken \ud83d text"])[0]) == 256


def test_titan_is_asked_for_normalised_vectors_and_never_about_blank_texts():
    client, stub = stubbed()
    stub.add_response("invoke_model", answer([0.0] * 255 + [2.0]), expected_request("one"))
    stub.add_response("invoke_model", answer([3.0] + [0.0] * 255), expected_request("two"))
    with stub:
        vectors = BedrockEmbedder(client, dimensions=256, concurrency=1).embed(["one", " ", "two"])
    assert vectors == [[0.0] * 255 + [1.0], [], [1.0] + [0.0] * 255]
    stub.assert_no_pending_responses()


def test_a_titan_vector_of_the_wrong_length_is_an_error():
    client, stub = stubbed()
    stub.add_response("invoke_model", answer([1.0] * 255), expected_request("one"))
    with stub, pytest.raises(EmbeddingUnavailable, match="255 dimensions instead of 256"):
        BedrockEmbedder(client, dimensions=256).embed(["one"])


@pytest.mark.parametrize("body", [b"{}", b"no json", b'{"embedding": null}', b'{"embedding": [0, 0]}'])
def test_a_titan_answer_without_a_vector_is_an_error(body: bytes):
    client, stub = stubbed()
    stub.add_response("invoke_model", {"body": StreamingBody(io.BytesIO(body), len(body)), "contentType": "x"})
    with stub, pytest.raises(EmbeddingUnavailable, match="no embedding"):
        BedrockEmbedder(client).embed(["one"])


def test_what_bedrock_refuses_is_unavailable_without_naming_anybodys_resources():
    client, stub = stubbed()
    stub.add_client_error("invoke_model", "AccessDeniedException", "arn:aws:iam::1:user/x may not")
    with stub, pytest.raises(EmbeddingUnavailable) as refused:
        BedrockEmbedder(client).embed(["one"])
    assert "AccessDeniedException" in refused.value.detail
    assert "arn:" not in refused.value.detail


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"embeddings_dimensions": 384}, "EMBEDDINGS_DIMENSIONS"),
        ({"embeddings_model": "cohere.embed-v4:0"}, "EMBEDDINGS_MODEL"),
    ],
)
def test_a_setting_that_titan_cannot_work_with_is_named(settings: dict, named: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(ConfigurationError, match=named):
        embedder_from_settings(Settings(**settings))


def test_bedrock_without_a_region_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        embedder_from_settings(Settings())


@pytest.mark.parametrize(
    ("url", "adapter"), [("", "BedrockEmbedder"), ("offline", "OfflineEmbedder"), ("http://x/v1", "OpenAIEmbedder")]
)
def test_the_url_chooses_the_embedder(url: str, adapter: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert type(embedder_from_settings(Settings(embeddings_url=url))).__name__ == adapter


def test_importing_the_models_loads_no_client():
    code = "import sys, annals.providers; print({'httpx', 'boto3', 'botocore', 'anyio'} & set(sys.modules))"
    assert printed_by(code).strip() == "set()"


def test_pauses_grow_with_jitter_and_keep_to_what_the_server_says():
    backoff = Backoff(attempts=3, first_s=1, longest_s=5)
    assert all(0 <= backoff.pause_s(attempt) <= min(5, 2**attempt) for attempt in range(20))
    assert [backoff.pause_s(0, header) for header in ("0", "3", "99")] == [0, 3, 5]
    assert backoff.pause_s(0, "Wed, 21 Oct 2026 07:28:00 GMT") <= 1
    assert [backoff.is_last(attempt) for attempt in range(3)] == [False, False, True]
