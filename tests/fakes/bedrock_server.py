"""A stand-in for Bedrock on a socket: InvokeModel for Titan V2, ConverseStream in real event-stream bytes, Rerank.

The model's id says how it behaves: an id that contains ``throttled`` refuses the first call, ``denied`` every call,
``long`` a text over 8,000 characters; ``short`` sends a vector of the wrong length; ``break`` closes the connection,
``cut`` ends without ``messageStop``, ``error`` sends an exception in the stream, ``garbled`` a damaged frame, ``stall``
falls silent; ``silent`` ends without a word; ``calls`` thinks, and calls a tool. A text's rerank score is the number
that it begins with.
"""

from __future__ import annotations

import json
import struct
from typing import Any
from urllib.parse import unquote
from zlib import crc32

from tests.fakes.servers import Handler, Server

WORDS = ["Grüße", " aus", " 🚀", " Bedrock"]


def frame(headers: dict[str, str], payload: dict[str, Any]) -> bytes:
    """A message of the ``application/vnd.amazon.eventstream`` format."""
    named = {":content-type": "application/json", **headers}
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
    message = prelude + struct.pack(">I", crc32(prelude)) + head + body
    return message + struct.pack(">I", crc32(message))


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """A frame of an ordinary event."""
    return frame({":message-type": "event", ":event-type": kind}, payload)


def exception(kind: str, message: str) -> bytes:
    """A frame of an exception."""
    return frame({":message-type": "exception", ":exception-type": kind}, {"message": message})


def delta(text: str) -> bytes:
    """The frame of a piece of the reply."""
    return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


OPENING = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "hm"}}}),
]
ENDING = [
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": {"inputTokens": 7, "outputTokens": 4, "totalTokens": 11}, "metrics": {"latencyMs": 5}}),
]


CALLS = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm."}}}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}),
    event("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city":'}}}),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"Bath"}'}}}),
    event("contentBlockStop", {"contentBlockIndex": 1}),
    event("messageStop", {"stopReason": "tool_use"}),
    event("metadata", {"usage": {"inputTokens": 7, "outputTokens": 4, "totalTokens": 11}, "metrics": {"latencyMs": 5}}),
]


def reranking(body: dict[str, Any]) -> str:
    """The model of a request to rerank."""
    configuration = body["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    return configuration["modelConfiguration"]["modelArn"].rpartition("/")[2]


class BedrockHandler(Handler):
    """Answers ``POST /model/<id>/invoke``, ``/model/<id>/converse-stream`` and ``/rerank``."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.read_json()
        _, _, model, operation = self.path.split("/") if self.path != "/rerank" else ("", "", reranking(body), "rerank")
        self.server.requests.append({**body, "modelId": unquote(model)})
        if "throttled" in model and len(self.server.requests) < 2:
            self.refuse(429, "ThrottlingException", "Too many requests")
        elif "denied" in model:
            self.refuse(403, "AccessDeniedException", "arn:aws:iam::1:user/x is not authorized")
        elif "long" in model and len(body["inputText"]) > 8_000:
            self.refuse(400, "ValidationException", "Too many input tokens. Max input tokens: 8192")
        elif operation == "invoke":
            self.invoke(model, body)
        elif operation == "rerank":
            self.rerank(body)
        else:
            self.converse(model)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, json.dumps({"message": message}).encode(), {"x-amzn-ErrorType": code})

    def invoke(self, model: str, body: dict[str, Any]) -> None:
        vector = [0.0] * (body["dimensions"] - ("short" in model))
        vector[len(body["inputText"]) % 100] = 0.5
        self.answer(200, json.dumps({"embedding": vector, "inputTextTokenCount": 3}).encode())

    def rerank(self, body: dict[str, Any]) -> None:
        texts = [source["inlineDocumentSource"]["textDocument"]["text"] for source in body["sources"]]
        scores = [float(text.split()[0]) for text in texts]
        best_first = sorted(range(len(scores)), key=lambda index: -scores[index])
        results = [{"index": index, "relevanceScore": scores[index]} for index in best_first]
        self.answer(200, json.dumps({"results": results}).encode())

    def converse(self, model: str) -> None:
        self.begin_chunks("application/vnd.amazon.eventstream")
        two = [*OPENING, *map(delta, WORDS[:2])]
        scripts = {
            "break": two,
            "cut": two,
            "stall": two,
            "error": [*two, exception("modelStreamErrorException", "the model fell over")],
            "garbled": [*two, delta("x")[:-1] + b"\0"],
            "silent": [*OPENING, *ENDING],
            "calls": CALLS,
        }
        for part in scripts.get(model, [*OPENING, *map(delta, WORDS), *ENDING]):
            self.chunk(part)
        if model == "stall":
            self.server.stopping.wait(30)
        self.break_off() if model in ("break", "stall") else self.end_chunks()


class BedrockServer(Server):
    """The server; ``requests`` holds what it received, with the model's id."""

    def __init__(self) -> None:
        super().__init__(BedrockHandler)
