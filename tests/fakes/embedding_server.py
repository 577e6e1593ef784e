"""An OpenAI-compatible embedding server that answers, or misbehaves, as the requested model's name says.

Its vectors have 16 dimensions, with a one at the length of the text (at most 15); it counts two tokens for each text.
``shuffled`` sends them in another order, ``busy`` refuses twice, ``limited`` takes 2,000 characters at most,
``status-<n>`` answers HTTP n, ``key-<key>`` HTTP 401 to any other key; ``few``, ``nan``, ``zero``, ``mixed``, ``html``
and ``break`` send what is no list of vectors.
"""

from __future__ import annotations

import json

from tests.fakes.servers import Handler, Server


def vector(text: str) -> list[float]:
    """The vector of a text."""
    return [float(index == min(len(text), 15)) for index in range(16)]


class EmbeddingHandler(Handler):
    """Answers ``POST …/embeddings``."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.read_json()
        self.server.requests.append(body)
        self.server.headers.append(dict(self.headers))
        model, texts = body["model"], body["input"]
        if model == "busy" and len(self.server.requests) < 3:
            self.answer(429, b"", {"Retry-After": "0"})
        elif model == "limited" and any(len(text) > 2_000 for text in texts):
            self.answer(400, b'{"error": {"message": "maximum context length"}}')
        elif model.startswith("key-") and self.headers["Authorization"] != f"Bearer {model[4:]}":
            self.answer(401, b'{"error": {"message": "Incorrect API key"}}')
        elif model.startswith("status-"):
            self.answer(int(model[7:]), b'{"error": {"message": "as you wish"}}')
        elif model == "html":
            self.answer(200, b"<html>")
        elif model == "break":
            self.break_off()
        else:
            usage = {"prompt_tokens": 2 * len(texts), "total_tokens": 2 * len(texts)}
            self.answer(200, json.dumps({"data": self.rows(model, texts), "usage": usage}).encode())

    def rows(self, model: str, texts: list[str]) -> list[dict]:
        rows = [{"object": "embedding", "index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
        if model == "shuffled":
            rows.reverse()
        elif model == "few":
            rows.pop()
        elif model == "mixed":
            rows[-1]["embedding"].append(0.0)
        elif model in ("nan", "zero"):
            rows[-1]["embedding"] = [float("nan" if model == "nan" else 0)] * 16
        return rows


class EmbeddingServer(Server):
    """The server; ``requests`` and ``headers`` hold what it received."""

    def __init__(self) -> None:
        super().__init__(EmbeddingHandler)
