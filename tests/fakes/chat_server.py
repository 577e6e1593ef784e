"""An OpenAI-compatible chat server that answers, or misbehaves, as the requested model's name says.

| model | what it does |
|---|---|
| ``words`` | streams ``REPLY`` word by word, with usage |
| ``slow`` | the same, 50 ms between words |
| ``bytes`` | streams ``EMOJI`` one byte of the wire at a time |
| ``halves`` | streams ``EMOJI`` with each surrogate pair escaped and split over two chunks |
| ``echo`` | streams the JSON of the messages that it got |
| ``empty``, ``blank`` | ends without a word, or with whitespace only |
| ``status-<n>`` | answers HTTP n |
| ``key-<key>`` | answers HTTP 401 to any other key |
| ``busy`` | answers 503 once, then as ``words`` |
| ``broken-once`` | breaks the first reply off, then as ``words`` |
| ``break`` | closes the connection after two words |
| ``cut`` | ends the stream properly, but without the reply's end |
| ``error`` | sends an error in the stream after two words |
| ``stall`` | says two words, then nothing |
| ``malformed``, ``list``, ``shape``, ``latin-1`` | sends a chunk that is no JSON, object, delta, UTF-8 |
| one of ``ODD`` | streams ``REPLY``, or calls of tools, as odd servers do |
| ``filter`` | stops after two words with reason ``content_filter`` |
| ``huge`` | streams 500,000 characters, which is more than an entry holds |
| ``hold`` | says two words, then the rest as soon as ``may_go_on`` is set |
| ``scores`` | streams the JSON of a reranking that finds the second text best |
| ``at once`` | answers without a stream |
| ``stream as JSON`` | says of its stream that it is JSON |
| ``mute`` | says nothing until ``may_go_on`` is set, then as ``words`` |

Run by itself, ``python -m tests.fakes.chat_server --port 8902``, it serves a system that is tried by hand.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

from tests.fakes.servers import Handler, Server

REPLY = "Memory is the treasury and guardian of all things."
EMOJI = "Naïve 👩‍🚀 café 🎉 日本\u2028ok"
STALL_S = 30


def words(text: str) -> list[str]:
    """The words of a text, each but the first with the space before it."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def event(data: Any) -> bytes:
    """One server-sent event, characters as themselves."""
    if isinstance(data, dict) and "choices" in data:
        data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", **data}
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str) -> bytes:
    """The event of a piece of the reply."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def ending(reason: str, prompt: int, completion: int) -> list[bytes]:
    """The events after the last piece."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return [
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
        event({"choices": [], "usage": usage}),
        b"data: [DONE]\n\n",
    ]


def whole(text: str, reason: str = "stop") -> list[bytes]:
    """All events of a reply, as a well-behaved server sends them."""
    opening = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    return [b": processing\n\n", opening, *map(delta, words(text)), *ending(reason, 11, len(words(text)))]


def halves(text: str) -> Iterator[bytes]:
    """A text with every surrogate half in a chunk of its own."""
    units = text.encode("utf-16-be")
    for start in range(0, len(units), 2):
        escaped = json.dumps({"choices": [{"delta": {"content": "?"}}]}).replace(
            "?", f"\\u{units[start : start + 2].hex()}"
        )
        yield b"data: " + escaped.encode() + b"\r\n\r\n"


def chunk(content: Any = None, reason: str | None = None, **more: Any) -> bytes:
    """The event of a chunk with any content, and with any other fields of the delta."""
    return event({"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": reason}]})


def counted(usage: Any, **more: Any) -> bytes:
    """The event of a chunk that only says what the reply costs."""
    return event({"choices": [], "usage": usage, **more})


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


DONE = b"data: [DONE]\n\n"
END = chunk(reason="stop")
PLAIN = [chunk(word) for word in words(REPLY)]
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bath"}'}}
CALLS = [
    chunk(tool_calls=[{"index": 0, **CALL, "function": {"name": "weather", "arguments": ""}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city":'}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '"Bath"}'}}]),
    chunk(reason="tool_calls"),
]
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}

ODD: dict[str, list[bytes]] = {
    "usage without completion": [*PLAIN, END, counted({"prompt_tokens": 11}), DONE],
    "usage with null": [*PLAIN, END, counted({"prompt_tokens": 11, "completion_tokens": None}), DONE],
    "usage under other names": [*PLAIN, END, counted({"input_tokens": 11, "output_tokens": 9}), DONE],
    "usage in the first chunk": [counted({"prompt_tokens": 11}), *PLAIN, END, counted(None), DONE],
    "usage of no shape": [*PLAIN, END, counted("eleven"), counted({"prompt_tokens": "x"}), DONE],
    "null": [b"data: null\n\n", *PLAIN, b"data: null\n\n", END, DONE],
    "empty data": [b"data:\n\n", *PLAIN, b"data\n\n", END, DONE],
    "content in lists": [chunk([THINKING]), *(chunk([text_part(word)]) for word in words(REPLY)), END, DONE],
    "refusal": [*(chunk(refusal=word) for word in words(REPLY)), END, DONE],
    "no reason": [*PLAIN, DONE],
    "an empty reason": [*(chunk(word, reason="") for word in words(REPLY)), END, DONE],
    "no DONE": [*PLAIN, END],
    "no blank line at the end": [*PLAIN, END.rstrip()],
    "BOM": [b"\xef\xbb\xbf", *PLAIN, END, DONE],
    "CR": [part.replace(b"\n", b"\r") for part in (*PLAIN, END, DONE)],
    "CRLF": [part.replace(b"\n", b"\r\n") for part in (*PLAIN, END, DONE)],
    "comments": [b": hello\n\n", *(b": x\nevent: message\nid: 1\nretry: 9\n" + part for part in PLAIN), END, DONE],
    "data in lines": [part.replace(b', "', b',\ndata: "') for part in (*PLAIN, END, DONE)],
    "chunks of other kinds": [event({"ping": 1}), event({}), *PLAIN, event({"choices": None}), END, DONE],
    "no delta": [event({"choices": [{"index": 0}]}), *PLAIN, event({"choices": [{"delta": None}]}), END, DONE],
    "thinking between tags": [chunk("<thi"), chunk("nk>Hm.</th"), chunk("ink>\n\n"), *PLAIN, END, DONE],
    "reasoning": [chunk(reasoning_content="H"), chunk(reasoning_content="m."), *PLAIN, END, DONE],
    "calls": [*PLAIN, *CALLS, DONE],
    "calls alone": [*CALLS, DONE],
    "length": [*PLAIN, chunk(reason="length"), DONE],
    "calls, then cut": [*PLAIN, *CALLS[:2]],
    "much thought": [*(chunk(reasoning_content="Hm. " * 25_000) for _ in range(6)), *PLAIN, END, DONE],
}
"""What odd servers stream, by what is odd about it."""

ODD_PARTS: dict[str, Any] = {
    "usage without completion": {"usage": {"prompt_tokens": 11}},
    "usage with null": {"usage": {"prompt_tokens": 11}},
    "usage under other names": {"usage": {"input_tokens": 11, "output_tokens": 9}},
    "usage in the first chunk": {"usage": {"prompt_tokens": 11}},
    "usage of no shape": {"usage": {"prompt_tokens": "x"}},
    "content in lists": [THINKING, {"type": "text", "text": REPLY}],
    "refusal": {"refusal": REPLY},
    "thinking between tags": {"reasoning_content": "Hm."},
    "reasoning": {"reasoning_content": "Hm."},
    "calls": {"tool_calls": [CALL]},
    "calls alone": {"tool_calls": [CALL], "content": None},
}
"""What of it is in the parts of the reply, where anything is."""


class ChatHandler(Handler):
    """Answers ``POST /v1/chat/completions``."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.read_json()
        self.server.requests.append(body)
        self.server.headers.append(dict(self.headers))
        model = body["model"]
        if model == "busy" and len(self.server.requests) < 2:
            self.answer(503, b"", {"Retry-After": "0"})
        elif model.startswith("key-") and self.headers["Authorization"] != f"Bearer {model[4:]}":
            self.answer(401, b'{"error": {"message": "Incorrect API key"}}')
        elif model.startswith("status-"):
            self.answer(int(model[7:]), json.dumps({"error": {"message": "as you wish", "code": model}}).encode())
        elif model == "at once":
            choice = {"index": 0, "message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 11, "completion_tokens": 9}
            self.answer(200, json.dumps({"choices": [choice], "usage": usage}).encode())
        else:
            self.begin_chunks("application/json" if model == "stream as JSON" else "text/event-stream")
            self.stream(model, body)

    def stream(self, model: str, body: dict[str, Any]) -> None:
        two = [delta(word) for word in words(REPLY)[:2]]
        scripts = {
            "slow": whole(REPLY),
            "bytes": [bytes([byte]) for part in whole(EMOJI) for byte in part],
            "halves": [*halves(EMOJI), *ending("stop", 1, 1)],
            "echo": whole(json.dumps(body["messages"], ensure_ascii=False)),
            "scores": whole(json.dumps({"scores": {"1": 1, "2": 10}})),
            "empty": ending("stop", 11, 0),
            "blank": [delta("  "), delta("\n"), *ending("stop", 11, 2)],
            "break": two,
            "cut": two,
            "error": [*two, event({"error": {"message": "the model fell over"}})],
            "stall": two,
            "malformed": [*two, b'data: {"choices": [{"del\n\n'],
            "list": [*two, b"data: [1]\n\n"],
            "shape": [*two, event({"choices": [{"delta": {"content": {"no": "text"}}}]})],
            "latin-1": [*two, delta("café").decode().encode("latin-1")],
            "filter": [*two, *ending("content_filter", 11, 2)],
            **ODD,
            "huge": [*[delta("memory " * 500)] * 143, *ending("stop", 11, 71_500)],
        }
        first = model == "broken-once" and sum(past["model"] == model for past in self.server.requests) == 1
        held = {"mute": 1, "hold": 4}.get(model)
        for index, part in enumerate(two if first else scripts.get(model, whole(REPLY))):
            if index == held:
                self.server.may_go_on.wait(STALL_S)
            self.chunk(part)
            time.sleep(0.05 if model == "slow" else 0)
        if model == "stall":
            self.server.stopping.wait(STALL_S)
        self.break_off() if model in ("break", "stall") or first else self.end_chunks()


class ChatServer(Server):
    """The server; ``requests`` and ``headers`` hold what it received."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(ChatHandler, port)
        self.may_go_on = Event()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8902)
    ChatServer(parser.parse_args().port).serve_forever()


if __name__ == "__main__":
    main()
