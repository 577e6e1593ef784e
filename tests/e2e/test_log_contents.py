"""What the development server and its functions write while they work and fail: no word of what was said."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.asking import create, eventually, key_of, path_of, say, unique
from tests.e2e.servers import Server, start_server, stop_server
from tests.fakes.quoting_server import QuotingServer
from tests.fakes.servers import serving

WORD = "tulipomania"


@pytest.fixture
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, QuotingServer]]:
    """A server whose models refuse everything."""
    with serving(QuotingServer()) as models:
        url = f"{models.url}/v1"
        env = {"EMBEDDINGS_URL": url, "EMBEDDINGS_MODEL": "m", "CHAT_URL": url, "CHAT_MODEL": "m", "LOG_LEVEL": "DEBUG"}
        process, running = start_server(tmp_path_factory.mktemp("annals"), **env)
        try:
            yield running, models
        finally:
            stop_server(process)


def test_nothing_that_is_said_or_sent_along_is_in_the_log(failing: tuple[Server, QuotingServer]) -> None:
    server, models = failing
    with server.client() as root:
        key = key_of(root, unique("tenant"))
    with server.client(key) as api:
        made = create(api, metadata={"note": WORD})
        say(api, made, f"I love {WORD}", metadata={"note": WORD}, name=WORD)
        remember_and_search(api, made)
        be_refused(api, made)
        # The index asks for vectors and is refused, with what was said in the refusal.
        eventually(lambda: any(WORD in str(asked.get("input")) for asked in models.requests))
        eventually(lambda: "EmbeddingUnavailable" in log_of(server))
    with server.client(f"annals.{WORD}") as nobody:
        assert nobody.get("/v1/conversations").status_code == 401
    assert any(WORD in str(asked.get("messages")) for asked in models.requests)
    assert WORD not in log_of(server)
    assert key.rsplit(".", 1)[1] not in log_of(server)


def remember_and_search(api: httpx.Client, made: str) -> None:
    turn = {"memorySpaceId": "home", "conversationId": made, "userId": "ada", "userMessage": f"More {WORD}!"}
    stored = api.post("/v1/memory/remember", json={**turn, "agentResponse": f"Yes, {WORD}.", "extractFacts": True})
    assert stored.status_code == 201, stored.text
    assert "event: error" in api.post("/v1/memory/remember-stream", json=turn).text
    assert api.post(path_of(made, "summarize"), json={}).status_code == 503
    for path in ("search", "recall"):
        api.post(f"/v1/memory/{path}", json={"memorySpaceId": "home", "query": WORD})
    api.post("/v1/users/ada/memories", json={"memory": WORD, "topics": [WORD]})
    api.post("/v1/memories", json={"memorySpaceId": "home", "userId": "ada", "content": WORD, "tags": [WORD]})


def be_refused(api: httpx.Client, made: str) -> None:
    message = {"role": "user", "content": WORD}
    path = path_of(made, "messages")
    for body in ({**message, "role": WORD}, {**message, WORD: WORD}, {"content": [WORD]}, [WORD]):
        assert api.post(path, json=body).status_code == 422
    assert api.post(path, content=f'{{"{WORD}', headers={"Content-Type": "application/json"}).status_code == 400
    assert api.post(path, content=WORD, headers={"Content-Type": f"text/{WORD}"}).status_code == 415
    assert api.post(path, json=message, headers={"If-Match": '"999"'}).status_code == 412
    assert api.post(path, json=message, headers={"If-Match": WORD}).status_code == 422
    assert api.post(path, json={**message, "content": f"{WORD} {'x' * 500_000}"}).status_code == 413
    assert api.get("/v1/conversations", params={"metadata.note": WORD, "limit": WORD}).status_code == 422
    assert api.post("/v1/conversations/import", content=f'{{"{WORD}": 1}}'.encode()).status_code in (415, 422)


def log_of(server: Server) -> str:
    return (server.data / "server.log").read_text()
