"""Exports are complete or not there; imports are cut where the server takes them up again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from annals_client import ConnectionFailed, NotFound
from tests.client.asking import QUICK, Ask
from tests.client.scripted import Answer, refused, scripted
from tests.support.importing import parts_of

WHOLE = Answer(chunks=[b'{"a":1}\n', b'{"b":2}\n'])
CUT = Answer(chunks=[b'{"a":1}\n'], cut=True)


class Pipe(io.RawIOBase):
    """A file that cannot go back."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self.written += chunk
        return len(chunk)


def test_a_file_is_written_as_it_came(ask: Ask, tmp_path: Path) -> None:
    with scripted(WHOLE) as server:
        size = ask(server.url, lambda client: client.conversations.export("c", tmp_path / "c.jsonl"))
    assert (tmp_path / "c.jsonl").read_bytes() == b'{"a":1}\n{"b":2}\n'
    assert size == 16
    assert server.requests[0].path == "/v1/conversations/c/export?format=jsonl"


def test_an_export_that_broke_off_is_begun_anew(ask: Ask, tmp_path: Path) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    with scripted(CUT, CUT, WHOLE) as server:
        ask(server.url, lambda client: client.conversations.export_many(file, format="csv", user_id="ada"))
    assert file.getvalue() == b'before{"a":1}\n{"b":2}\n'
    assert server.requests[0].path == "/v1/conversations/export?participants.userId=ada&format=csv"


def test_an_export_of_memories_says_what_belongs_to_it(ask: Ask, tmp_path: Path) -> None:
    with scripted(WHOLE) as server:
        ask(server.url, lambda client: client.memories.export(tmp_path / "m", include_versions=True, tags=["tea"]))
    assert server.requests[0].path == "/v1/memories/export?tags=tea&format=jsonl&includeVersions=true"


def test_what_cannot_be_taken_back_is_not_written_twice(ask: Ask) -> None:
    pipe = Pipe()
    with scripted(CUT) as server, pytest.raises(ConnectionFailed):
        ask(server.url, lambda client: client.conversations.export("c", pipe))
    assert pipe.written == b'{"a":1}\n'


@pytest.mark.parametrize("answers", [[CUT] * QUICK.tries, [refused(404, "CONVERSATION_NOT_FOUND")]])
def test_a_file_that_was_there_stays_until_the_new_one_is_complete(
    ask: Ask, tmp_path: Path, answers: list[Answer]
) -> None:
    old = tmp_path / "c.jsonl"
    old.write_text("old")
    with scripted(*answers) as server, pytest.raises((ConnectionFailed, NotFound)):
        ask(server.url, lambda client: client.conversations.export("c", str(old)))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("c.jsonl", "old")]


def _conversation(name: str, **more: object) -> str:
    return json.dumps({"type": "conversation", "conversationId": name, "conversationType": "user-agent", **more})


def _message(name: str, content: str, **more: object) -> str:
    return json.dumps({"type": "message", "conversationId": name, "content": content, **more})


def test_a_part_inside_a_conversation_begins_with_its_line_and_where_it_goes_on() -> None:
    lines = [
        _conversation("a", metadata={"k": "é"}),
        _message("a", "p", kind="preamble"),
        *[_message("a", str(number)) for number in range(4)],
        _conversation("b"),
        _message("b", "x"),
    ]
    parts = [[json.loads(line) for line in part.content.splitlines()] for part in parts_of(lines, max_bytes=230)]
    assert [line["content"] for part in parts for line in part if "content" in line] == ["p", "0", "1", "2", "3", "x"]
    assert len(parts) > 2
    for number, part in enumerate(parts):
        before = [line for earlier in parts[:number] for line in earlier if line.get("content", "p") != "p"]
        assert part[0]["type"] == "conversation"
        assert part[0].get("offset", 0) == sum(line["conversationId"] == part[0]["conversationId"] for line in before)
    assert all(part[0]["metadata"] == {"k": "é"} for part in parts if part[0]["conversationId"] == "a")


def test_a_small_file_goes_as_it_is_from_wherever_it_is(tmp_path: Path) -> None:
    text = f"{_conversation('a')}\n\n{_message('a', 'ü')}\n"
    path = tmp_path / "in.jsonl"
    path.write_text("\ufeff" + text)
    expected = [text.replace("\n\n", "\n").strip().encode()]
    for source in (path, str(path), text.splitlines(), io.BytesIO(text.encode())):
        assert [part.content for part in parts_of(source)] == expected
    assert list(parts_of([])) == []


@pytest.mark.parametrize("line", ["{", "3", "[1]"])
def test_a_line_that_is_no_json_object_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(parts_of([_conversation("a"), line]))


def test_what_an_import_did_is_summed_up(ask: Ask) -> None:
    did = Answer(200, {"conversations": [{"conversationId": "conv-1", "imported": 1, "skipped": 2}]})
    lines = [json.dumps({"messages": [{"role": "user", "content": "x" * 3_000_000}]}) for _ in range(2)]
    with scripted(did, did, did, refused(503, "UNAVAILABLE"), did) as server:
        owners = {"agents": ("a", "b"), "memory_space_id": "s"}
        results = ask(server.url, lambda client: client.conversations.import_(lines, **owners))
    assert [(each.conversation_id, each.imported, each.skipped) for each in results] == [("conv-1", 2, 4)]
    path = "/v1/conversations/import?memorySpaceId=s&type=agent-agent&agent1=a&agent2=b"
    assert [request.path for request in server.requests] == [f"{path}&dryRun=true"] * 2 + [path] * 3
    assert server.requests[0].headers["content-type"] == "application/x-ndjson"


def test_a_part_has_no_more_conversations_than_a_request_has_time_for() -> None:
    lines = [json.dumps({"type": "conversation", "conversationId": f"c{number}"}) for number in range(1201)]
    assert [len(part.content.splitlines()) for part in parts_of(lines)] == [500, 500, 201]
    chats = [json.dumps({"messages": [{"role": "user", "content": str(number)}]}) for number in range(501)]
    assert [len(part.content.splitlines()) for part in parts_of(chats)] == [500, 1]
