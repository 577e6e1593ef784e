"""What stands in front of the functions: routes, callers, limits, problem details, and the server's own life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from local import emulator, ministack
from local.emulator import Emulator
from tests.e2e.servers import ROOT, Server, start_server, stop_server

PATIENCE_S = 20


def require_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "about:blank"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
    assert problem["requestId"]
    return problem


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def create(api: httpx.Client, **more: Any) -> str:
    space = f"space-{uuid.uuid4()}"
    body = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": space}, **more}
    made = api.post("/v1/conversations", json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["conversationId"])


def test_health_needs_no_key(server: Server) -> None:
    answer = httpx.get(f"{server.url}/v1/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {"Authorization": "local"}]
)
def test_without_a_valid_key_a_request_is_401(server: Server, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{server.url}/v1/conversations", headers=headers)
    require_problem(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer local"}, {"x-api-key": "local"}])
def test_either_header_carries_the_key(server: Server, headers: dict[str, str]) -> None:
    assert httpx.get(f"{server.url}/v1/conversations", headers=headers).status_code == 200


def test_a_key_without_the_scope_is_refused(server: Server, api: httpx.Client) -> None:
    made = api.post("/v1/keys", json={"name": "reader", "scopes": ["read"]})
    assert made.status_code == 201, made.text
    body = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "s"}}
    with server.client(made.json()["key"]) as reader:
        assert reader.get("/v1/conversations").status_code == 200
        require_problem(reader.post("/v1/conversations", json=body), 403, "FORBIDDEN")


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/conversations/x/nope", "/v2/conversations"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_404(api: httpx.Client, method: str, path: str) -> None:
    require_problem(api.request(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
def test_a_page_beside_the_api_is_only_read(api: httpx.Client, path: str) -> None:
    assert api.get(path, follow_redirects=True).status_code == 200
    require_problem(api.post(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/conversations", "GET, POST"),
        ("GET", "/v1/conversations/by-participants", "PUT"),
        ("PUT", "/v1/memory/search", "POST"),
        ("POST", "/v1/health", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = api.request(method, path)
    require_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


def test_a_body_over_the_limit_is_413(api: httpx.Client) -> None:
    conversation = create(api)
    answer = api.post(f"/v1/conversations/{conversation}/messages", json={"role": "user", "content": "x" * 6_300_000})
    require_problem(answer, 413, "REQUEST_TOO_LARGE")


def test_a_body_over_the_gateways_limit_is_413(api: httpx.Client) -> None:
    answer = api.post("/v1/memory/search", json={"query": "x" * 11_000_000})
    require_problem(answer, 413, "REQUEST_TOO_LARGE")


def test_what_is_not_json_is_400(api: httpx.Client) -> None:
    answer = api.post("/v1/conversations", content="{", headers={"Content-Type": "application/json"})
    require_problem(answer, 400, "INVALID_JSON")


def test_another_content_type_is_415(api: httpx.Client) -> None:
    answer = api.post("/v1/conversations", content="<a/>", headers={"Content-Type": "text/xml"})
    require_problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_bytes_that_are_no_text_are_400(api: httpx.Client) -> None:
    answer = api.post("/v1/conversations", content=b"\xff\xfe{}", headers={"Content-Type": "application/json"})
    require_problem(answer, 400, "INVALID_JSON")


@pytest.mark.parametrize("name", ["a b", "x#C#y", "50%", "%2F", "äö", "..", "a+b", "a/b", "/a//b/", "a/../b", "語/"])
def test_an_id_in_the_path_is_decoded_once(api: httpx.Client, name: str) -> None:
    conversation = f"{name}-{uuid.uuid4()}"
    create(api, conversationId=conversation)
    for encoded in ("".join(f"%{byte:02X}" for byte in conversation.encode()), quote(conversation, safe="+")):
        path = f"/v1/conversations/{encoded}"
        assert api.get(path).json()["conversationId"] == conversation
        assert api.post(f"{path}/messages", json={"role": "user", "content": "hi"}).status_code == 201
        assert api.get(f"{path}/messages/msg%2D001").json()["content"] == "hi"
        assert api.get(f"{path}/export").json()["conversationId"] == conversation
        assert api.get(f"/v1/memories/mem%3A{encoded}:1").json()["content"] == "hi"
        assert api.get(f"/v1/users/{encoded}/export").status_code == 200
        assert api.get(f"/v1/users/{encoded}/memories").json()["items"] == []
        assert api.get(f"/v1/spaces/{encoded}").json()["code"] == "SPACE_NOT_FOUND"


@pytest.mark.parametrize("path", ["/v1/conversations/x%2Fmessages", "/v1/conversations/x%2Fexport"])
def test_a_slash_in_an_id_opens_no_other_route(api: httpx.Client, path: str) -> None:
    require_problem(api.get(path), 404, "CONVERSATION_NOT_FOUND")
    require_problem(api.get(f"{path}/export"), 404, "CONVERSATION_NOT_FOUND")


@pytest.mark.parametrize("name", ["a/b", "50%", "%2F", "a+b", "a b", "+", "&x=1", "#", "日本/語", "é"])
def test_an_external_id_is_found_by_any_of_its_spellings(api: httpx.Client, name: str) -> None:
    path = f"/v1/conversations/{create(api)}/messages"
    stored = api.post(path, json={"role": "user", "content": "hi", "externalId": name, "runId": name}).json()
    for encoded in (quote(name, safe=""), quote_plus(name)):
        assert api.get(f"{path}?externalId={encoded}").json()["items"] == stored["messages"]
        assert api.get(f"{path}?runId={encoded}").json()["items"] == stored["messages"]
    assert api.get(f"{path}?externalId={quote(name + '!', safe='')}").json()["items"] == []


@pytest.mark.parametrize("name", ["a/b", "50%", "%2F", "a+b", "a b", "versions", "語/"])
def test_a_memory_is_put_found_and_deleted_by_its_external_id(api: httpx.Client, name: str) -> None:
    user, encoded = f"ada/{uuid.uuid4()}", "".join(f"%{byte:02x}" for byte in name.encode())
    owner = {"memorySpaceId": "by-external-id", "userId": user}
    for path, query, body in (
        ("/v1/memories/by-external-id", owner, {**owner, "content": "Likes tea."}),
        (f"/v1/users/{quote(user, safe='')}/memories/by-external-id", {}, {"memory": "Likes tea."}),
    ):
        stored = api.put(f"{path}/{encoded}", json=body)
        assert (stored.status_code, stored.json()["externalId"]) == (201, name)
        for spelling in (encoded, quote(name, safe="+")):
            found = api.get(f"{path}/{spelling}", params=query)
            assert found.json()["memoryId"] == stored.json()["memoryId"]
        assert api.put(f"{path}/{encoded}", json=body).status_code == 200
        assert api.delete(f"{path}/{encoded}", params=query).status_code == 204
        require_problem(api.get(f"{path}/{encoded}", params=query), 404, "MEMORY_NOT_FOUND")


def test_a_message_is_in_the_lists_a_moment_after_its_append(api: httpx.Client) -> None:
    conversation = create(api)
    path = f"/v1/conversations/{conversation}"
    assert api.post(f"{path}/messages", json={"role": "user", "content": "hi"}).status_code == 201
    space = api.get(path).json()["participants"]["memorySpaceId"]
    query = {"participants.memorySpaceId": space}
    wait_for(lambda: [i["messageCount"] for i in api.get("/v1/conversations", params=query).json()["items"]] == [1])


def test_requests_are_worked_on_at_once(api: httpx.Client) -> None:
    path = f"/v1/conversations/{create(api)}/messages"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: api.post(path, json={"role": "user", "content": f"{n}"}), range(24)))
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["messages"][0]["seq"] for answer in answers) == list(range(1, 25))


def test_no_answer_waits_for_an_acknowledgement(api: httpx.Client) -> None:
    taken_s = []
    for _ in range(20):
        began = time.perf_counter()
        api.get("/v1/health")
        taken_s.append(time.perf_counter() - began)
    assert min(taken_s) < 0.03


def test_the_documentation_loads_nothing_from_elsewhere(server: Server) -> None:
    page = httpx.get(f"{server.url}/docs")
    document = httpx.get(f"{server.url}/openapi.json")
    assert page.status_code == 200
    assert document.json()["info"]["title"] == "Annals"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script src" not in page.text
    assert "<link" not in page.text
    assert "``" not in document.text


def test_the_root_leads_to_the_documentation(server: Server) -> None:
    page = httpx.get(f"{server.url}/", follow_redirects=True)
    assert page.status_code == 200
    assert page.url.path == "/docs"
    assert page.headers["content-type"].startswith("text/html")


def test_every_request_is_one_line_of_the_log_without_its_words(server: Server, api: httpx.Client) -> None:
    path = f"/v1/conversations/{create(api)}/messages"
    api.post(path, json={"role": "user", "content": "a secret"})
    wait_for(lambda: f"POST {path} 201" in (server.data / "server.log").read_text())
    assert "a secret" not in (server.data / "server.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_the_data_and_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    process, first = start_server(tmp_path)
    with first.client() as api:
        conversation = create(api)
        api.post(f"/v1/conversations/{conversation}/messages", json={"role": "user", "content": "kept"})
    database = json.loads((tmp_path / "dynoxide.json").read_text())["pid"]
    assert stop_server(process, number) == 0
    assert not (tmp_path / "dynoxide.json").exists()
    assert not is_alive(database)
    process, second = start_server(tmp_path)
    try:
        with second.client() as api:
            items = api.get(f"/v1/conversations/{conversation}/messages").json()["items"]
            counts = [item["messageCount"] for item in api.get("/v1/conversations").json()["items"]]
    finally:
        assert stop_server(process) == 0
    assert [item["content"] for item in items] == ["kept"]
    assert counts == [1]


def test_a_killed_servers_database_is_adopted_with_all_that_was_written(tmp_path: Path) -> None:
    process, first = start_server(tmp_path)
    with first.client() as api:
        conversation = create(api)
    assert stop_server(process, signal.SIGKILL) == -signal.SIGKILL
    left_behind = Emulator(**json.loads((tmp_path / "dynoxide.json").read_text()))
    assert is_alive(left_behind.pid)
    process, second = start_server(tmp_path)
    try:
        assert json.loads((tmp_path / "dynoxide.json").read_text())["pid"] == left_behind.pid
        with second.client() as api:
            assert api.get(f"/v1/conversations/{conversation}").status_code == 200
    finally:
        assert stop_server(process) == 0
    assert not is_alive(left_behind.pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def refused(*arguments: str, **env: str) -> str:
    """What the server says when it does not start."""
    done = subprocess.run(  # noqa: S603 - the server of this checkout
        [sys.executable, "-m", "local", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'layers/annals'}:{ROOT}", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_port_in_use_is_said_in_a_sentence(server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    assert f"Port {port} is in use" in refused("--port", port, "--data", str(tmp_path))


def test_a_data_folder_in_use_is_said_in_a_sentence(server: Server) -> None:
    said = refused("--port", str(emulator.free_port()), "--data", str(server.data))
    assert str(server.data) in said


@pytest.mark.parametrize(
    ("name", "value"), [("CHAT_URL", "nowhere"), ("OPENSEARCH_URL", "x"), ("EMBEDDINGS_DIMENSIONS", "many")]
)
def test_a_wrong_setting_is_named_in_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    said = refused("--port", str(emulator.free_port()), "--data", str(tmp_path), **{name: value})
    assert said.startswith(name)


def test_the_database_that_a_setting_names_is_used_and_not_stopped(tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    database = ministack.start(tmp_path / "database")
    try:
        process, running = start_server(tmp_path / "data", DYNAMODB_URL=database.url)
        with running.client() as api:
            create(api)
        assert stop_server(process) == 0
        assert not (tmp_path / "data/dynoxide.json").exists()
        assert database.answers()
    finally:
        database.stop(ministack.files(tmp_path / "database"))
