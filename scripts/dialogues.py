"""Dialogues of several sessions with questions about them, and how they are sent to a running Annals.

A file holds ``{"turns": [{conv, session, date, id, speaker, text, caption}], "questions": [{conv, q, answer, evidence,
category}]}``, as made of LoCoMo (Maharana et al., ACL 2024); ``evidence`` names the turns that answer a question.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

DEFAULT = Path("../shared/data/locomo-dev.json")
BATCH = 25
TURN_S = 30
INDEXING_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Dialogue:
    """A dialogue as one conversation: its turns in order, and the questions about them."""

    name: str
    turns: Sequence[dict[str, Any]]
    questions: Sequence[dict[str, Any]]

    @property
    def speakers(self) -> list[str]:
        """Who speaks, the first speaker first."""
        return list(dict.fromkeys(turn["speaker"] for turn in self.turns))

    def message(self, turn: dict[str, Any]) -> dict[str, Any]:
        """The turn as a message of the API."""
        return {
            "role": "user" if turn["speaker"] == self.speakers[0] else "assistant",
            "name": turn["speaker"],
            "content": text_of(turn),
            "runId": str(turn["session"]),
            "timestamp": said_at(turn).isoformat(),
        }


def named_file() -> Path:
    """The data set: what LOCOMO names, or the default."""
    return Path(os.environ.get("LOCOMO", DEFAULT))


def read(path: Path) -> list[Dialogue]:
    """The dialogues of a file."""
    stored = json.loads(path.read_text())
    return [
        Dialogue(name, list(turns), [question for question in stored["questions"] if question["conv"] == name])
        for name, turns in groupby(stored["turns"], key=lambda turn: turn["conv"])
    ]


def text_of(turn: dict[str, Any]) -> str:
    """What was said, and what the picture that came with it shows."""
    return f"{turn['text']} {turn['caption']}" if turn.get("caption") else str(turn["text"])


def said_at(turn: dict[str, Any]) -> datetime:
    """When it was said: sessions are dated, turns within them are half a minute apart."""
    session = datetime.strptime(turn["date"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    number = int(turn["id"].partition(":")[2])
    return datetime.fromtimestamp(session.timestamp() + TURN_S * number, UTC)


def evidence_of(question: dict[str, Any]) -> set[str]:
    """The ids of the turns that answer a question."""
    return {part for each in question["evidence"] for part in re.findall(r"D\d+:\d+", each)}


def client(url: str) -> httpx.Client:
    """An HTTP client of a running Annals; ANNALS_KEY names its key."""
    key = os.environ.get("ANNALS_KEY", "local")
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def load(http: httpx.Client, dialogues: Sequence[Dialogue], space: str) -> None:
    """Append all turns and wait until they can be searched."""
    with tqdm(total=sum(len(each.turns) for each in dialogues), desc="append", unit="turn") as bar:
        for each in dialogues:
            for stored in _append(http, each, space):
                bar.update(stored)
    with tqdm(dialogues, desc="index", unit="dialogue") as bar:
        for each in bar:
            _await_indexed(http, each, space, bar.refresh)


def _append(http: httpx.Client, dialogue: Dialogue, space: str) -> Iterator[int]:
    """Append a dialogue's turns to its conversation, session by session; gives how many each request stored.

    Turns that are there already are left out, so what was broken off goes on where it stopped.
    """
    stored = _create(http, dialogue, space)
    yield stored
    for _, session in groupby(dialogue.turns[stored:], key=lambda turn: turn["session"]):
        turns = list(session)
        for start in range(0, len(turns), BATCH):
            messages = [dialogue.message(turn) for turn in turns[start : start + BATCH]]
            path = f"/v1/conversations/{conversation_id(space, dialogue)}/messages"
            http.post(path, json={"messages": messages}).raise_for_status()
            yield len(messages)


def conversation_id(space: str, dialogue: Dialogue) -> str:
    """The conversation that a dialogue becomes."""
    return f"{space}-{dialogue.name}"


def _create(http: httpx.Client, dialogue: Dialogue, space: str) -> int:
    """Make the dialogue's conversation; how many messages it has, where it is there already."""
    participants = {"userId": dialogue.speakers[0].lower(), "memorySpaceId": space}
    body = {"type": "user-agent", "conversationId": conversation_id(space, dialogue), "participants": participants}
    response = http.post("/v1/conversations", json=body)
    if response.status_code == httpx.codes.CONFLICT:
        response = http.get(f"/v1/conversations/{conversation_id(space, dialogue)}")
    response.raise_for_status()
    return int(response.json()["messageCount"])


def _await_indexed(http: httpx.Client, dialogue: Dialogue, space: str, waiting: Callable[[], object]) -> None:
    """Wait until search finds the dialogue's last turn. Raises TimeoutError."""
    deadline = time.monotonic() + INDEXING_TIMEOUT_S
    while not _finds_last_turn(http, dialogue, space):
        if time.monotonic() > deadline:
            raise TimeoutError(f"The dialogue {dialogue.name} was not indexed within {INDEXING_TIMEOUT_S} s.")
        waiting()
        time.sleep(1)


def _finds_last_turn(http: httpx.Client, dialogue: Dialogue, space: str) -> bool:
    """Whether search finds it; while the embedding model is busy with the index, search may be out of service."""
    last = text_of(dialogue.turns[-1])
    try:
        return last in [hit["content"] for hit in search(http, dialogue, space, last, limit=20)]
    except httpx.HTTPStatusError as error:
        if error.response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            raise
        return False


def search(http: httpx.Client, dialogue: Dialogue, space: str, query: str, limit: int) -> list[dict[str, Any]]:
    """The best hits for a question among a dialogue's turns."""
    within = {"conversationId": conversation_id(space, dialogue)}
    body = {"query": query, "memorySpaceId": space, "limit": limit, "filter": within}
    response = http.post("/v1/memory/search", json=body)
    response.raise_for_status()
    hits: list[dict[str, Any]] = response.json()["items"]
    return hits


def turns_of(dialogue: Dialogue, hits: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of the turns that hits are."""
    seqs = [int(hit["conversationRef"]["messageIds"][0].removeprefix("msg-")) for hit in hits]
    return [dialogue.turns[seq - 1]["id"] for seq in seqs]
