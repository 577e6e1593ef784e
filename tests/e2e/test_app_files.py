"""A person's exports of other apps, brought in with the command and over HTTP: found by search, once, whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.asking import listed, unique
from tests.e2e.servers import ROOT, Server
from tests.support import app_files

LONG = 1_500


def annals(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "layers/annals"), "ANNALS_URL": server.url, "ANNALS_KEY": server.key}
    return subprocess.run(  # noqa: S603 - this checkout's own command
        [sys.executable, "-m", "annals", *arguments], env=env, capture_output=True, text=True, timeout=240
    )


def long() -> dict[str, Any]:
    """A conversation of more messages than one request carries."""
    conversation = app_files.claude("long", "A long talk")
    template = conversation["chat_messages"][2]
    conversation["chat_messages"] = [
        {
            **template,
            "uuid": f"m-{number}",
            "text": f"{number}: " + "kumquat " * 500,
            "created_at": "2024-05-01T10:00:00Z",
        }
        for number in range(LONG)
    ]
    return conversation


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip with two conversations, one of them long, and one that is broken."""
    path = tmp_path_factory.mktemp("export") / "claude.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("conversations.json", json.dumps([app_files.claude(), {"hello": 1}, long()], indent=1))
        file.writestr("users.json", "[]")
    return path


def test_an_archive_comes_in_as_a_whole_and_once(server: Server, api: httpx.Client, archive: Path) -> None:
    space = unique("space")
    owner = ("--memory-space", space, "--user", "ada")
    refused = annals(server, "import", str(archive), *owner)
    assert refused.returncode == 1
    assert "conversation 2 is nothing that an import takes" in refused.stderr
    assert listed(api, **{"participants.memorySpaceId": space}) == []
    reports = [
        json.loads(annals(server, "import", str(archive), *owner, "--skip-broken", "--json").stdout) for _ in range(2)
    ]
    assert [report["messages"] for report in reports] == [
        {"imported": 3 + LONG, "skipped": 0}, {"imported": 0, "skipped": 3 + LONG},
    ]  # fmt: skip
    assert [report["broken"][0]["place"] for report in reports] == ["conversation 2"] * 2
    names = listed(api, **{"participants.memorySpaceId": space})
    assert len(names) == 2
    for name in names:
        assert api.get(f"/v1/conversations/{name}/verify").json()["valid"]
    paths = [f"/v1/conversations/{name}/messages" for name in names]
    found = [each for path in paths for each in api.get(path, params={"externalId": "m-700"}).json()["items"]]
    assert [each["content"][:4] for each in found] == ["700:"]


def test_what_was_said_in_another_app_is_found_by_search_and_can_be_exported(
    server: Server, api: httpx.Client, tmp_path: Path
) -> None:
    space = unique("space")
    query = {"memorySpaceId": space, "userId": "ada"}
    answer = api.post("/v1/conversations/import", params=query, json=[app_files.chatgpt()])
    [imported] = answer.json()["conversations"]
    search = {
        "query": "rain", "memorySpaceId": space, "filter": {"conversationId": imported["conversationId"]},
        "consistent": True,
    }  # fmt: skip
    hits = api.post("/v1/memory/search", json=search).json()["items"]
    assert any("Rain at 4" in hit["content"] for hit in hits)
    path = tmp_path / "chats.jsonl"
    arguments = ("--conversation", imported["conversationId"], "--to", "openai-chat", "-o", str(path))
    assert annals(server, "export", *arguments).returncode == 0
    chat = json.loads(path.read_text())
    assert [message["role"] for message in chat["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert chat["messages"][1]["tool_calls"][0]["id"] == chat["messages"][2]["tool_call_id"]


def test_a_zip_is_taken_over_http(api: httpx.Client, archive: Path) -> None:
    query = {"memorySpaceId": unique("space"), "userId": "ada", "skipBroken": "true", "dryRun": "true"}
    headers = {"Content-Type": "application/zip"}
    answer = api.post("/v1/conversations/import", params=query, content=archive.read_bytes(), headers=headers)
    assert [each["imported"] for each in answer.json()["conversations"]] == [3, LONG]
