"""Reranking with a model on Bedrock: Amazon Rerank, Cohere Rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from annals.errors import RerankUnavailable
from annals.providers.bedrock import FAILURES, failure_detail
from annals.providers.embedding import encodable
from annals.providers.reranking import LONGEST_TEXT

LONGEST_QUERY = 1_000


class RerankClient(Protocol):
    """What reranking needs of boto3's client ``bedrock-agent-runtime``."""

    @property
    def meta(self) -> Any:
        """Knows ``partition`` and ``region_name``."""
        ...

    def rerank(self, **request: Any) -> Any:
        """Answers with ``{"results": [{"index": …, "relevanceScore": …}]}``."""
        ...


class BedrockReranker:
    """A reranking model on Bedrock.

    Parameters
    ----------
    client : the Bedrock agent runtime's client
    model : the model's id, ``amazon.rerank-v1:0``, or its ARN
    """

    def __init__(self, client: RerankClient, model: str) -> None:
        self._client = client
        self._model = model

    @property
    def model(self) -> str:
        """The model's id."""
        return self._model

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score texts in one call; see Reranker.rerank."""
        try:
            answer = self._client.rerank(
                queries=[{"type": "TEXT", "textQuery": {"text": encodable(query[:LONGEST_QUERY])}}],
                sources=[_source(text) for text in texts],
                rerankingConfiguration=self._configuration(len(texts)),
            )
        except FAILURES as failure:
            raise RerankUnavailable(failure_detail("Reranking on Bedrock", failure)) from failure
        return _scores(answer, len(texts))

    def _configuration(self, count: int) -> dict[str, Any]:
        meta = self._client.meta
        arn = f"arn:{meta.partition}:bedrock:{meta.region_name}::foundation-model/{self._model}"
        model = {"modelArn": self._model if self._model.startswith("arn:") else arn}
        return {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": model, "numberOfResults": count},
        }


def _source(text: str) -> dict[str, Any]:
    document = {"type": "TEXT", "textDocument": {"text": encodable(text[:LONGEST_TEXT])}}
    return {"type": "INLINE", "inlineDocumentSource": document}


def _scores(answer: Mapping[str, Any], count: int) -> list[float]:
    scores = {result["index"]: float(result["relevanceScore"]) for result in answer["results"]}
    if scores.keys() != set(range(count)):
        raise RerankUnavailable(f"Bedrock was asked for {count} texts and scored {len(scores)}.")
    return [scores[index] for index in range(count)]
