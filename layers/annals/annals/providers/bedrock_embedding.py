"""Embeddings from Amazon Titan Text Embeddings V2 on Bedrock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from annals import costs
from annals.errors import ConfigurationError, EmbeddingUnavailable
from annals.providers.bedrock import FAILURES, error_code, failure_detail
from annals.providers.embedding import Vector, embed_nonblank, unit_vector

DEFAULT_MODEL = "amazon.titan-embed-text-v2:0"
DEFAULT_DIMENSIONS = 1024
DIMENSIONS = (256, 512, 1024)
LONGEST_TEXT = 50_000
"""Characters that Titan V2 accepts; it also accepts no more than 8,192 tokens."""
SHORTEST_CUT = 1_000


class InvokeModelClient(Protocol):
    """The one operation of the Bedrock runtime that embeddings need."""

    def invoke_model(self, *, modelId: str, body: bytes, contentType: str, accept: str) -> Any:  # noqa: N803 - boto3's
        """Answers with ``{"body": <stream of JSON>}``."""
        ...


class BedrockEmbedder:
    """Titan V2: one text a call, several calls at once.

    Parameters
    ----------
    client : the Bedrock runtime's client
    model : Titan V2's id, or the ARN of an inference profile for it
    dimensions : 256, 512 or 1024
    concurrency : calls under way at once

    Raises
    ------
    ConfigurationError : another model, or a length that Titan V2 doesn't have
    """

    semantic = True

    def __init__(
        self,
        client: InvokeModelClient,
        model: str = DEFAULT_MODEL,
        *,
        dimensions: int = DEFAULT_DIMENSIONS,
        concurrency: int = 8,
    ) -> None:
        if "titan-embed-text-v2" not in model and not model.startswith("arn:"):
            raise ConfigurationError(f"EMBEDDINGS_MODEL must be Titan Text Embeddings V2 on Bedrock, not {model!r}.")
        if dimensions not in DIMENSIONS:
            raise ConfigurationError(f"EMBEDDINGS_DIMENSIONS must be 256, 512 or 1024 on Bedrock, not {dimensions}.")
        self._client = client
        self._model = model
        self._dimensions = dimensions
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="embed")

    @property
    def model(self) -> str:
        """The model's id."""
        return self._model

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; see Embedder.embed."""
        return embed_nonblank(texts, self._embed_all)

    def _embed_all(self, texts: list[str]) -> list[Vector]:
        answers = list(self._pool.map(self._embed_one, texts))
        costs.note_embedded(sum(tokens for _, tokens in answers))
        return [vector for vector, _ in answers]

    def _embed_one(self, text: str) -> tuple[Vector, int]:
        """Embed the beginning of a text, as much of it as the model takes; with the number of its tokens."""
        cut = text[:LONGEST_TEXT]
        while True:
            try:
                return self._invoke(cut)
            except FAILURES as failure:
                if error_code(failure) != "ValidationException" or len(cut) <= SHORTEST_CUT:
                    raise EmbeddingUnavailable(failure_detail("Embedding on Bedrock", failure)) from failure
                cut = cut[: len(cut) // 2]

    def _invoke(self, text: str) -> tuple[Vector, int]:
        body = json.dumps({"inputText": text, "dimensions": self._dimensions, "normalize": True}).encode()
        answer = self._client.invoke_model(
            modelId=self._model, body=body, contentType="application/json", accept="application/json"
        )
        try:
            payload = json.loads(answer["body"].read())
            vector, tokens = unit_vector(payload["embedding"]), int(payload.get("inputTextTokenCount", 0))
        except (ValueError, TypeError, KeyError) as failure:
            raise EmbeddingUnavailable("Bedrock's answer holds no embedding.") from failure
        if len(vector) != self._dimensions:
            raise EmbeddingUnavailable(f"Bedrock sent {len(vector)} dimensions instead of {self._dimensions}.")
        return vector, tokens
