"""The search index does not answer for a while: what that stops, what it doesn't, and that nothing is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.asking import create, eventually, history, say, unique
from tests.e2e.servers import start_server, stop_server
from tests.fakes.gate import Gate
from tests.fakes.servers import serving

pytestmark = pytest.mark.opensearch


@pytest.fixture
def gate(opensearch_url: str) -> Iterator[Gate]:
    """The way to a real OpenSearch."""
    with serving(Gate(opensearch_url)) as gate:
        assert isinstance(gate, Gate)
        yield gate


@pytest.fixture
def api(gate: Gate, tmp_path: Path) -> Iterator[httpx.Client]:
    """A development server whose index is behind the gate."""
    process, server = start_server(tmp_path, OPENSEARCH_URL=gate.url, OPENSEARCH_INDEX=unique("outage"))
    try:
        with server.client() as client:
            yield client
    finally:
        stop_server(process)


def found(api: httpx.Client, query: str) -> list[str]:
    """What a search finds; nothing as long as the index, or a new one's shard, does not answer."""
    answer = api.post("/v1/memory/search", json={"query": query, "memorySpaceId": "home"})
    assert answer.status_code in (200, 503), answer.text
    return [hit["content"] for hit in answer.json().get("items", [])]


def test_an_outage_of_the_index_stops_searches_alone_and_loses_nothing(api: httpx.Client, gate: Gate) -> None:
    talk = create(api)
    say(api, talk, "before the outage")
    eventually(lambda: found(api, "before") == ["before the outage"])

    gate.is_open = False
    search = {"query": "outage", "memorySpaceId": "home"}
    for asked in (
        api.post("/v1/memory/search", json=search),
        api.post("/v1/memory/recall", json=search),
        api.post("/v1/conversations/search", json={"query": "outage"}),
        api.get("/v1/memories", params={"memorySpaceId": "home"}),
        api.get("/v1/memories/count", params={"memorySpaceId": "home"}),
    ):
        assert (asked.status_code, asked.json()["code"]) == (503, "SEARCH_UNAVAILABLE"), asked.url
        assert asked.headers["content-type"] == "application/problem+json"
        assert asked.headers["retry-after"]
    say(api, talk, "during the outage")
    another = create(api)
    say(api, another, "elsewhere during the outage")
    memory = {"memorySpaceId": "home", "userId": "ada", "content": "an explicit memory of the outage"}
    assert api.post("/v1/memories", json=memory).status_code == 201
    assert [message["content"] for message in history(api, talk)] == ["before the outage", "during the outage"]
    eventually(
        lambda: {each["conversationId"] for each in api.get("/v1/conversations").json()["items"]} == {talk, another}
    )
    assert api.get(f"/v1/conversations/{talk}/verify").json()["valid"]

    gate.is_open = True
    everything = {"before the outage", "during the outage", "elsewhere during the outage", memory["content"]}
    eventually(lambda: set(found(api, "outage")) == everything)
    assert len(api.get("/v1/memories", params={"memorySpaceId": "home"}).json()["items"]) == 4
