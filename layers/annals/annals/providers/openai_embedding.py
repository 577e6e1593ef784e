"""Embeddings from any OpenAI-compatible ``/v1/embeddings``."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx

from annals import costs
from annals.errors import EmbeddingUnavailable
from annals.providers.embedding import Vector, embed_nonblank, unit_vector
from annals.providers.openai_http import endpoint, refusal_detail
from annals.retries import Backoff
from annals.secret import ApiKey, SecretUnreadable

LONGEST_TEXT = 32_000
SHORTEST_CUT = 1_000
TOO_LARGE = (400, 413, 422)

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of failures that may pass."""


class OpenAIEmbedder:
    """An embedder behind HTTP.

    A refused batch (400, 413, 422) is sent again in halves, and a refused single text is cut in half, so that a text
    too long for the model neither fails nor lets the others fail.

    Parameters
    ----------
    url : the endpoint's base, ``http://…/v1``
    model : the model's name
    dimensions : the length of its vectors; 0 to learn it from the first answer
    batch : texts in one request
    """

    semantic = True

    def __init__(
        self,
        url: str,
        model: str,
        *,
        dimensions: int = 0,
        key: ApiKey,
        timeout_s: float = 30.0,
        batch: int = 64,
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
    ) -> None:
        self._url = endpoint(url, "embeddings")
        self._model = model
        self._dimensions = dimensions
        self._key = key
        self._batch = batch
        self._backoff = backoff
        self._http = httpx.Client(timeout=timeout_s)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._model

    @property
    def dimensions(self) -> int:
        """The length of every vector; embeds a word to learn it. Raises EmbeddingUnavailable."""
        if not self._dimensions:
            self.embed(["dimensions"])
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts; see Embedder.embed."""
        return embed_nonblank(texts, self._embed)

    def _embed(self, texts: list[str]) -> list[Vector]:
        cut = [text[:LONGEST_TEXT] for text in texts]
        batches = [cut[start : start + self._batch] for start in range(0, len(cut), self._batch)]
        return [vector for batch in batches for vector in self._embed_batch(batch)]

    def _embed_batch(self, texts: list[str]) -> list[Vector]:
        response = self._post(texts)
        if response.status_code in TOO_LARGE and len(texts) > 1:
            middle = len(texts) // 2
            return self._embed_batch(texts[:middle]) + self._embed_batch(texts[middle:])
        if response.status_code in TOO_LARGE and len(texts[0]) > SHORTEST_CUT:
            return self._embed_batch([texts[0][: len(texts[0]) // 2]])
        if response.status_code != 200:
            detail = refusal_detail("The embedding model", response.status_code, response.content, "EMBEDDINGS_API_KEY")
            raise EmbeddingUnavailable(detail)
        return self._vectors(response, len(texts))

    def _post(self, texts: list[str]) -> httpx.Response:
        """Post until the answer is no refusal that may pass, or the tries are used up."""
        attempt = 0
        headers = self._headers()
        while True:
            try:
                response = self._http.post(self._url, json={"model": self._model, "input": texts}, headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as failure:
                if self._backoff.is_last(attempt) or not isinstance(failure, httpx.TransportError):
                    raise EmbeddingUnavailable(_unreachable(failure)) from failure
                time.sleep(self._backoff.pause_s(attempt))
            else:
                if response.status_code == 401 and (other := self._key.headers_instead_of(headers)):
                    headers = other
                    continue
                if response.status_code not in RETRYABLE_STATUSES or self._backoff.is_last(attempt):
                    return response
                time.sleep(self._backoff.pause_s(attempt, response.headers.get("Retry-After")))
            attempt += 1

    def _headers(self) -> dict[str, str]:
        try:
            return self._key.headers()
        except SecretUnreadable as failure:
            raise EmbeddingUnavailable(str(failure)) from failure

    def _vectors(self, response: httpx.Response, count: int) -> list[Vector]:
        try:
            answer = response.json()
            rows = sorted(answer["data"], key=lambda row: int(row["index"]))
            vectors = [unit_vector(row["embedding"]) for row in rows]
            costs.note_embedded(int(answer.get("usage", {}).get("total_tokens", 0)))
        except (ValueError, TypeError, KeyError) as failure:
            raise EmbeddingUnavailable("The embedding model's answer holds no list of embeddings.") from failure
        if [row["index"] for row in rows] != list(range(count)):
            raise EmbeddingUnavailable(f"The embedding model was asked for {count} vectors and sent {len(vectors)}.")
        self._check_length(vectors)
        return vectors

    def _check_length(self, vectors: list[Vector]) -> None:
        expected = self._dimensions or len(vectors[0])
        for vector in vectors:
            if len(vector) != expected:
                raise EmbeddingUnavailable(
                    f"The embedding model sent a vector of {len(vector)} dimensions instead of {expected}; "
                    "see EMBEDDINGS_DIMENSIONS."
                )
        self._dimensions = expected


def _unreachable(failure: Exception) -> str:
    return f"The embedding model does not answer ({type(failure).__name__}); see EMBEDDINGS_URL."
