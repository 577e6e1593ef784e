"""Files of other apps go in parts: nothing is stored of a file that is refused, and what is left out is named."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from annals.cli.main import main
from annals_client import Conflict, InvalidArgument
from annals_client.importing import ImportFile, open_source
from tests.client.asking import Ask
from tests.client.scripted import UP, Answer, ScriptedServer, scripted
from tests.support import app_files
from tests.support.importing import parts_of

OWNERS = {"user_id": "ada", "memory_space_id": "s"}


def done(*names: str, imported: int = 1, broken: Any = ()) -> Answer:
    conversations = [{"conversationId": name, "imported": imported, "skipped": 0} for name in names]
    return Answer(200, {"conversations": conversations, **({"broken": list(broken)} if broken else {})})


def long(name: str, words: int = 40_000) -> dict[str, Any]:
    """A conversation of an app that takes more than one part."""
    conversation = app_files.claude(name)
    template = conversation["chat_messages"][2]
    conversation["chat_messages"] = [
        {**template, "uuid": f"m-{number}", "text": f"{number} " + "word " * words} for number in range(30)
    ]
    return conversation


def sent(server: ScriptedServer, position: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.requests[position].body.splitlines()]


def test_an_app_s_conversations_go_as_lines_with_their_places() -> None:
    [part] = parts_of([json.dumps([app_files.chatgpt(), app_files.claude()])])
    lines = [json.loads(line) for line in part.content.splitlines()]
    assert [line["type"] for line in lines].count("conversation") == 2
    assert [str(place) for place in part.places[:2]] == [
        'conversation 1 ("A trip to Turku")', 'conversation 1 ("A trip to Turku"), message 1',
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["path", "file", "lines", "gzip", "zip"])
def test_a_source_is_a_path_a_file_or_lines_plain_or_compressed(how: str, tmp_path: Path) -> None:
    text = json.dumps([app_files.chatgpt()], indent=1)
    path = tmp_path / "export"
    path.write_text(text)
    if how == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    if how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", text)
            archive.writestr("user.json", "{}")
    source: Any = {"file": io.BytesIO(path.read_bytes()), "lines": text.split("\n")}.get(how, path)
    assert len(parts_of(source)[0].places) == 5


@pytest.mark.parametrize("how", ["zip", "gzip"])
def test_a_compressed_file_from_a_stream_is_opened(how: str, tmp_path: Path) -> None:
    path, text = tmp_path / "export", json.dumps([app_files.chatgpt()])
    path.write_bytes(gzip.compress(text.encode()))
    if how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", text)
    with path.open("rb") as stream:
        assert len(parts_of(stream)[0].places) == 5


def test_a_long_conversation_of_an_app_goes_on_in_further_parts() -> None:
    parts = parts_of([json.dumps([long("a")])])
    assert len(parts) > 1
    count = 0
    for part in parts:
        own, *messages = [json.loads(line) for line in part.content.splitlines()]
        assert own.get("offset", 0) == count
        assert own["source"] == "claude"
        count += len(messages)
    assert count == 30


def test_a_chat_that_no_request_can_carry_goes_in_parts_under_a_name_of_its_own() -> None:
    messages = [{"role": "user", "content": f"{number} " + "word " * 40_000} for number in range(30)]
    parts = parts_of([json.dumps({"messages": messages, "topic": "words"})])
    lines = [json.loads(line) for part in parts for line in part.content.splitlines()]
    assert len(parts) > 1
    assert {line["conversationId"] for line in lines} == {lines[0]["conversationId"]}
    assert lines[0]["metadata"] == {"topic": "words"}
    assert [line["content"].split()[0] for line in lines if line["type"] == "message"] == [str(n) for n in range(30)]


def test_nothing_is_stored_of_a_large_file_before_all_of_it_was_checked(ask: Ask) -> None:
    file = json.dumps([long("a"), long("b")])
    count = len(parts_of([file]))
    with scripted(*[done("x")] * (2 * count)) as server:
        ask(server.url, lambda client: client.conversations.import_([file], **OWNERS))
    is_check = ["dryRun=true" in request.path for request in server.requests]
    assert is_check == [True] * count + [False] * count
    assert [request.body for request in server.requests[:count]] == [each.body for each in server.requests[count:]]


def test_a_small_file_is_sent_once(ask: Ask) -> None:
    with scripted(done("x")) as server:
        results = ask(
            server.url, lambda client: client.conversations.import_([json.dumps(app_files.claude())], **OWNERS)
        )
    assert server.requests[0].path == "/v1/conversations/import?userId=ada&memorySpaceId=s"
    assert ([each.imported for each in results], results.broken) == ([1], [])


def test_a_dry_run_checks_and_stores_nothing(ask: Ask) -> None:
    with scripted(done("x")) as server:
        ask(server.url, lambda client: client.conversations.import_([json.dumps(app_files.claude())], dry_run=True))
    assert [request.path for request in server.requests] == ["/v1/conversations/import?dryRun=true"]


def test_a_refusal_names_the_conversation_of_the_file(ask: Ask) -> None:
    details = {
        "status": 409,
        "code": "CONVERSATION_DIFFERS",
        "detail": "Line 1: Message 2 differs.",
        "field": "messages",
    }
    with scripted(Answer(409, details)) as server, pytest.raises(Conflict) as failed:
        ask(server.url, lambda client: client.conversations.import_([json.dumps([app_files.chatgpt()])], **OWNERS))
    assert failed.value.detail == 'Conversation 1 ("A trip to Turku"): Message 2 differs.'


def test_what_the_server_leaves_out_is_named_as_in_the_file_and_not_sent_again(ask: Ask) -> None:
    file = json.dumps([long("a"), long("b")])
    count = len(parts_of([file]))
    broken = {"place": "line 1", "conversationId": "conv-9", "code": "ENTRY_TOO_LARGE", "detail": "Line 1: too large."}
    checks = [done("x", broken=[broken]), *[done("x")] * (count - 1)]
    rest = [done("x")] * len(parts_of([json.dumps([long("b")])]))
    with scripted(*checks, *rest) as server:
        results = ask(server.url, lambda client: client.conversations.import_([file], skip_broken=True, **OWNERS))
        stored = [line for position in range(count, len(server.requests)) for line in sent(server, position)]
    names = {line["conversationId"] for line in stored}
    assert len(names) == 1
    assert names != {sent(server, 0)[0]["conversationId"]}
    [left_out] = results.broken
    assert (left_out.place, left_out.title, left_out.detail) == (
        "conversation 1", "Cooking", 'Conversation 1 ("Cooking"): too large.',
    )  # fmt: skip
    assert all("skipBroken=true" in request.path for request in server.requests)


def own(name: str, **more: Any) -> str:
    return json.dumps({"type": "conversation", "conversationId": name, **more})


def message(name: str, content: str) -> str:
    return json.dumps({"type": "message", "conversationId": name, "role": "user", "content": content})


def test_a_line_that_cannot_be_read_breaks_its_conversation_and_no_other(ask: Ask) -> None:
    lines = [own("a"), message("a", "1"), own("b"), message("b", "1"), "{", message("b", "2"), own("c")]
    with scripted(done("a", "c"), done("a", "c")) as server:
        results = ask(server.url, lambda client: client.conversations.import_(lines, skip_broken=True))
    assert [line["conversationId"] for line in sent(server, 1)] == ["a", "a", "c"]
    assert [(each.place, each.code) for each in results.broken] == [("line 5", "INVALID_FORMAT")]


def test_a_file_that_breaks_off_is_refused_and_with_skipping_its_beginning_is_taken(ask: Ask) -> None:
    text = json.dumps([app_files.chatgpt(), app_files.claude()], indent=1)
    cut = text[: text.index("Cooking")]
    with scripted() as server, pytest.raises(InvalidArgument, match="conversation 2 is not JSON"):
        ask(server.url, lambda client: client.conversations.import_([cut], **OWNERS))
    with scripted(done("x"), done("x")) as server:
        results = ask(server.url, lambda client: client.conversations.import_([cut], skip_broken=True, **OWNERS))
    assert len(results) == 1
    assert results.broken[0].place == "conversation 2"


def test_a_file_that_is_unreadable_as_a_whole_is_refused_even_with_skipping(ask: Ask) -> None:
    with scripted() as server, pytest.raises(InvalidArgument, match="cannot be read: it is not UTF-8"):
        ask(server.url, lambda client: client.conversations.import_([b"\xff\xff\xff"], skip_broken=True))
    with scripted() as server, pytest.raises(InvalidArgument, match="ChatGPT"):
        ask(server.url, lambda client: client.conversations.import_(['{"hello": 1}']))


def test_a_message_that_no_request_can_carry_breaks_its_conversation(ask: Ask) -> None:
    huge = app_files.claude("huge", "Huge")
    huge["chat_messages"][0]["text"] = huge["chat_messages"][0]["content"][0]["text"] = "x" * 6_000_000
    file = json.dumps([app_files.chatgpt(), huge])
    with scripted() as server, pytest.raises(InvalidArgument, match=r'conversation 2 \("Huge"\), message 1 has 12'):
        ask(server.url, lambda client: client.conversations.import_([file], **OWNERS))
    with scripted(done("x"), done("x")) as server:
        results = ask(server.url, lambda client: client.conversations.import_([file], skip_broken=True, **OWNERS))
    assert [each.title for each in results.broken] == ["Huge"]
    assert {line["conversationId"][:7] for line in sent(server, 1)} == {"chatgpt"}


def test_progress_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([long("a"), long("b")]))
    positions: list[int] = []
    with open_source(path) as file:
        assert list(ImportFile(file, positions.append).parts())
    assert positions == sorted(positions)
    assert positions[-1] == path.stat().st_size


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "export.json"
    conversation = json.dumps(long("{name}", words=10_000))
    with path.open("w") as file:
        file.write("[" + ",".join(conversation.replace("{name}", f"{number}") for number in range(40)) + "]")
    assert path.stat().st_size > 50_000_000
    tracemalloc.start()
    try:
        with open_source(path) as opened:
            count = sum(len(part.places) for part in ImportFile(opened).parts())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 40 * 31
    assert peak < 30_000_000


def run(server: ScriptedServer, *arguments: str) -> int:
    return main([*arguments, "--url", server.url, "--key", "some-key"])


def test_the_command_reports_as_a_table_or_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([app_files.chatgpt(), app_files.claude()]))
    broken = {"place": "line 6", "code": "ENTRY_TOO_LARGE", "detail": "Line 6: too large."}
    options = ("--memory-space", "s", "--user", "ada", "--skip-broken")
    for more in ((), ("--json",)):
        with scripted(UP, done("x", imported=4, broken=[broken])) as server:
            assert run(server, "import", str(path), *options, *more) == 0
    *table, line = capsys.readouterr().out.splitlines()
    assert table == [
        "                   conversations    messages",
        "imported                       1           4",
        "there before                   0           0",
        "broken                         1",
        '  Conversation 2 ("Cooking"): too large.',
    ]
    report = json.loads(line)
    assert report["conversations"] == {"imported": 1, "skipped": 0, "broken": 1}
    assert report["broken"][0]["place"] == "conversation 2"


def test_the_command_asks_whose_the_conversations_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([app_files.chatgpt()]))
    details = {"status": 422, "code": "MISSING_REQUIRED_FIELD", "detail": "It is missing.", "field": "memorySpaceId"}
    with scripted(UP, Answer(422, details)) as server:
        assert run(server, "import", str(path)) == 1
    assert "--memory-space, and --user or --agent" in capsys.readouterr().err


def test_the_command_reads_the_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.BytesIO(json.dumps([app_files.chatgpt()]).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
    with scripted(UP, done("x", imported=4)) as server:
        assert run(server, "import", "-", "--memory-space", "s", "--user", "ada", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[1] == "would be imported              1           4"


def test_the_command_exports_to_a_format_by_either_name(tmp_path: Path) -> None:
    for name in ("--to", "--format"):
        with scripted(UP, Answer(chunks=[b"{}\n"])) as server:
            assert run(server, "export", name, "sharegpt", "-o", str(tmp_path / "f")) == 0
        assert "format=sharegpt" in server.requests[1].path
