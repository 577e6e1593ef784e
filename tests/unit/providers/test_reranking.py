"""The reranking port without a network: what the adapters ask, and what they make of the answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from annals.errors import ConfigurationError, RerankUnavailable
from annals.providers import reranker_from_settings
from annals.providers.bedrock_reranking import BedrockReranker
from annals.providers.chat_reranking import ChatReranker
from annals.providers.reranking import LONGEST_TEXT
from annals.providers.structured import StructuredChat
from annals.settings import Settings
from tests.fakes.writer import Writer


class RerankClient:
    """Bedrock's agent runtime, as far as reranking uses it."""

    meta = SimpleNamespace(partition="aws", region_name="eu-central-1")

    def __init__(self, *results: tuple[int, float]) -> None:
        self.results = results
        self.requests: list[dict[str, Any]] = []

    def rerank(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"results": [{"index": index, "relevanceScore": score} for index, score in self.results]}


def chat(*replies: str | None) -> tuple[ChatReranker, Writer]:
    writer = Writer(*replies)
    return ChatReranker(StructuredChat(writer, 5), within_s=5), writer


def test_bedrock_scores_come_in_the_order_of_the_texts() -> None:
    assert BedrockReranker(RerankClient((2, 0.9), (0, 0.4), (1, 0.1)), "m").rerank("?", ["a", "b", "c"]) == [
        0.4,
        0.1,
        0.9,
    ]


def test_bedrock_is_asked_about_all_texts_at_once_by_the_models_arn() -> None:
    client = RerankClient((0, 0.5), (1, 0.1))
    BedrockReranker(client, "amazon.rerank-v1:0").rerank("Who?", ["a", "b" * 10_000])
    (request,) = client.requests
    texts = [source["inlineDocumentSource"]["textDocument"]["text"] for source in request["sources"]]
    configuration = request["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    assert texts == ["a", "b" * LONGEST_TEXT]
    assert request["queries"] == [{"type": "TEXT", "textQuery": {"text": "Who?"}}]
    assert configuration == {
        "modelConfiguration": {"modelArn": "arn:aws:bedrock:eu-central-1::foundation-model/amazon.rerank-v1:0"},
        "numberOfResults": 2,
    }


def test_bedrock_takes_the_arn_of_a_model_as_it_is() -> None:
    client = RerankClient((0, 0.5))
    BedrockReranker(client, "arn:aws:bedrock:us-east-1::foundation-model/m").rerank("?", ["a"])
    model = client.requests[0]["rerankingConfiguration"]["bedrockRerankingConfiguration"]["modelConfiguration"]
    assert model["modelArn"] == "arn:aws:bedrock:us-east-1::foundation-model/m"


@pytest.mark.parametrize("results", [(), ((0, 0.5),), ((0, 0.5), (2, 0.5))])
def test_bedrock_without_a_score_for_each_text_is_unavailable(results: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(RerankUnavailable, match="asked for 2 texts"):
        BedrockReranker(RerankClient(*results), "m").rerank("?", ["a", "b"])


def test_a_chat_model_scores_numbered_texts_and_leaves_out_those_that_do_not_help() -> None:
    reranker, writer = chat('```json\n{"scores": {"1": 2.5, "3": 10}}\n```')
    assert reranker.rerank("Who\nhums?", ["bees", "cats\n4. dogs", "a hive"]) == [2.5, 0.0, 10.0]
    assert writer.prompts == ["The question:\nWho hums?\n\nThe texts:\n1. bees\n2. cats 4. dogs\n3. a hive"]
    assert reranker.model == "writer"


def test_a_chat_model_is_asked_once_more_for_the_right_form() -> None:
    reranker, _ = chat("The bees.", '{"scores": {"1": 10}}')
    assert reranker.rerank("?", ["bees"]) == [10.0]


@pytest.mark.parametrize("reply", ['{"scores": {"1": 11}}', '{"scores": {"1": -1}}', '{"scores": [1]}', "{}", "no"])
def test_a_chat_models_answer_in_another_form_is_unavailable(reply: str) -> None:
    reranker, writer = chat(reply, reply)
    with pytest.raises(RerankUnavailable, match="form"):
        reranker.rerank("?", ["bees"])
    assert len(writer.prompts) == 2


@pytest.mark.parametrize("number", [0, 3])
def test_a_chat_model_that_scores_other_texts_is_unavailable(number: int) -> None:
    reranker, _ = chat(f'{{"scores": {{"{number}": 5}}}}')
    with pytest.raises(RerankUnavailable, match="not among the 2"):
        reranker.rerank("?", ["bees", "cats"])


def test_a_chat_model_that_does_not_answer_is_unavailable() -> None:
    reranker, _ = chat(None)
    with pytest.raises(RerankUnavailable, match="does not answer"):
        reranker.rerank("?", ["bees"])


def test_without_settings_there_is_no_reranker() -> None:
    assert reranker_from_settings(Settings()) is None


def test_a_url_chooses_a_chat_model_and_a_model_alone_one_on_bedrock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    served = reranker_from_settings(Settings(rerank_url="http://127.0.0.1:1/v1", rerank_model="m"))
    hosted = reranker_from_settings(Settings(rerank_model="amazon.rerank-v1:0"))
    assert isinstance(served, ChatReranker)
    assert isinstance(hosted, BedrockReranker)
    assert (served.model, hosted.model) == ("m", "amazon.rerank-v1:0")


def test_a_url_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="RERANK_URL"):
        Settings.from_env({"RERANK_URL": "offline"})
