"""What the end-to-end tests ask of the server again and again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx

PATIENCE_S = 20

USER = {"userId": "ada", "memorySpaceId": "home"}
AGENTS = {"agent1": "planner", "agent2": "critic", "memorySpaceId": "home"}


def unique(name: str) -> str:
    """A name that nobody else has."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def key_of(api: httpx.Client, tenant: str, scopes: tuple[str, ...] = ("read", "write", "erase"), **more: Any) -> str:
    """A new key of a tenant, made with another key."""
    made = api.post("/v1/keys", json={"name": "test", "tenant": tenant, "scopes": list(scopes), **more})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def create(api: httpx.Client, participants: dict[str, Any] | None = None, **more: Any) -> str:
    """A new conversation's id."""
    said = participants or USER
    kind = "agent-agent" if "agent1" in said else "user-agent"
    made = api.post("/v1/conversations", json={"type": kind, "participants": said, **more})
    assert made.status_code == 201, made.text
    return str(made.json()["conversationId"])


def path_of(conversation_id: str, *more: str) -> str:
    """The path of a conversation, its id percent-encoded."""
    return "/".join(["/v1/conversations", quote(conversation_id, safe=""), *more])


def say(api: httpx.Client, conversation_id: str, *contents: str, **more: Any) -> dict[str, Any]:
    """Append user messages as one entry; the answer."""
    messages = [{"role": "user", "content": content, **more} for content in contents]
    stored = api.post(path_of(conversation_id, "messages"), json={"messages": messages})
    assert stored.status_code == 201, stored.text
    answer: dict[str, Any] = stored.json()
    return answer


def say_each(api: httpx.Client, conversation_id: str, *contents: str, **more: Any) -> None:
    """Append user messages, each as an entry of its own."""
    for content in contents:
        say(api, conversation_id, content, **more)


def history(api: httpx.Client, conversation_id: str, **query: Any) -> list[dict[str, Any]]:
    """The messages of a page."""
    answer = api.get(path_of(conversation_id, "messages"), params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def seqs(api: httpx.Client, conversation_id: str, **query: Any) -> list[int]:
    """The seqs of a page of messages."""
    return [message["seq"] for message in history(api, conversation_id, **query)]


def contents(api: httpx.Client, conversation_id: str, **query: Any) -> list[str]:
    """The texts of a page of messages."""
    return [message["content"] for message in history(api, conversation_id, **query)]


def pages(api: httpx.Client, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
    """The pages of a list, by its cursors."""
    for _ in range(200):
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page["items"]
        if "nextCursor" not in page:
            return
        query["cursor"] = page["nextCursor"]
    raise AssertionError(f"the list {path} has no end")


def listed(api: httpx.Client, **query: Any) -> list[str]:
    """The ids of a whole list of conversations."""
    found = pages(api, "/v1/conversations", **query)
    return [item["conversationId"] for page in found for item in page]


def verified(api: httpx.Client, conversation_id: str) -> dict[str, Any]:
    """What verifying a conversation finds."""
    answer = api.get(path_of(conversation_id, "verify"))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of problem details, which are whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    details = answer.json()
    assert {"type", "title", "status", "code", "detail", "requestId"} <= details.keys(), details
    assert details["status"] == answer.status_code
    assert details["title"]
    assert details["detail"]
    return answer.status_code, details["code"], details.get("field")


def eventually(true: Callable[[], Any]) -> None:
    """Wait until something holds: lists and search follow the ledger a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_once(times: int, work: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    """The answers of requests that are all under way at once."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(work, range(times)))
