"""The command's export and import go through the client: what they ask, and how they bear a service that is busy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annals.cli.main import main
from tests.client.scripted import DROPPED, UP, Answer, ScriptedServer, refused, scripted

FILE = Answer(chunks=[b'{"a":1}\n', b'{"b":2}\n'])
CUT = Answer(chunks=[b'{"a":1}\n'], cut=True)
CHAT = '{"messages": [{"role": "user", "content": "hi"}]}\n'


def run(server: ScriptedServer, *arguments: str) -> int:
    return main([*arguments, "--url", server.url, "--key", "some-key"])


def test_an_export_sends_filters_and_options_as_they_are_named(tmp_path: Path) -> None:
    options = ("--filter", "participants.userId=ada", "--filter", "metadata.topic=tea", "--no-metadata")
    with scripted(UP, FILE) as server:
        assert run(server, "export", *options, "--format", "csv", "--keep-formulas", "-o", str(tmp_path / "f")) == 0
    assert server.requests[1].path == (
        "/v1/conversations/export?participants.userId=ada&metadata.topic=tea"
        "&format=csv&includeMetadata=false&formulas=keep"
    )
    assert server.requests[1].headers["authorization"] == "Bearer some-key"


def test_an_export_that_breaks_off_is_begun_anew(tmp_path: Path) -> None:
    with scripted(UP, CUT, DROPPED, FILE) as server:
        assert run(server, "export", "--conversation", "a/b", "-o", str(tmp_path / "f")) == 0
    assert server.requests[1].path == "/v1/conversations/a%2Fb/export?format=jsonl"
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("f", b'{"a":1}\n{"b":2}\n')]


def test_an_import_goes_on_where_the_service_is_busy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(CHAT)
    done = Answer(200, {"conversations": [{"conversationId": "c", "imported": 1, "skipped": 2}]})
    with scripted(UP, refused(503, "UNAVAILABLE"), refused(429, "RATE_LIMITED"), DROPPED, done) as server:
        assert run(server, "import", str(file), "--memory-space", "s", "--user", "ada") == 0
    assert server.requests[-1].path == "/v1/conversations/import?memorySpaceId=s&userId=ada"
    assert json.loads(server.requests[-1].body) == json.loads(CHAT)
    assert capsys.readouterr().out.splitlines() == [
        "                   conversations    messages",
        "imported                       1           1",
        "there before                   0           2",
        "broken                         0",
    ]


def test_what_no_request_can_carry_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "-o", str(tmp_path / "f"), "--url", "no-url", "--key", "k"]) == 1
    assert main(["export", "-o", str(tmp_path / "f"), "--url", "http://127.0.0.1:1", "--key", "clé"]) == 1
    file = tmp_path / "chats.jsonl"
    file.write_text(CHAT + "{\n")
    with scripted(UP) as server:
        assert run(server, "import", str(file)) == 1
    url, key, line = capsys.readouterr().err.splitlines()
    assert url.startswith("annals: url ")
    assert key.startswith("annals: key ")
    assert line.startswith("annals: line 2 is not JSON: ")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(UP) as server:
        assert run(server, "export", "-o", str(tmp_path / "nowhere" / "f")) == 1
    assert capsys.readouterr().err == f"annals: {tmp_path}/nowhere/f cannot be written: No such file or directory\n"
