"""A file that is larger than a request is sent in parts, and none of its messages is lost or sent twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annals_client import InvalidArgument, ValidationFailed
from annals_client.errors import AnnalsError, Problem
from annals_client.importing import Part
from tests.client.asking import Ask
from tests.client.scripted import Answer, scripted
from tests.support.importing import parts_of

PART_BYTES = 300


def conversation(conversation_id: str, **more: Any) -> bytes:
    return json.dumps({"type": "conversation", "conversationId": conversation_id, **more}).encode()


def message(conversation_id: str, content: str, **more: Any) -> bytes:
    line = {"type": "message", "conversationId": conversation_id, "content": content, **more}
    return json.dumps(line).encode()


def parts(lines: list[bytes]) -> list[Part]:
    return parts_of(lines, PART_BYTES)


def values(part: Part) -> list[dict[str, Any]]:
    return [json.loads(line) for line in part.content.splitlines()]


def test_a_further_part_says_how_many_messages_came_before() -> None:
    file = [conversation("a", metadata={"n": 1.0}), *(message("a", f"{n}" + "x" * 50) for n in range(9))]
    count = 0
    for part in parts(file):
        first, *messages = values(part)
        assert first == {"type": "conversation", "conversationId": "a", "metadata": {"n": 1.0}} | (
            {"offset": count} if count else {}
        )
        assert [each["content"][0] for each in messages] == [str(count + index) for index in range(len(messages))]
        assert len(part.content) < 500
        count += len(messages)
    assert count == 9


def test_a_preamble_is_not_counted() -> None:
    file = [conversation("a"), message("a", "p" * 100, kind="preamble"), *(message("a", "x" * 130) for _ in range(3))]
    assert [values(part)[0].get("offset") for part in parts(file)] == [None, 0, 1, 2]


def test_a_file_that_is_itself_a_part_goes_on_from_its_offset() -> None:
    file = [conversation("a", offset=40), message("a", "x" * 100), message("a", "y" * 100)]
    assert [values(part)[0]["offset"] for part in parts(file)] == [40, 41]


def test_conversations_may_take_turns() -> None:
    file = [conversation("a"), conversation("b")]
    file += [message("ab"[n % 2], f"{n}" + "x" * 60) for n in range(8)]
    contents: dict[str, list[str]] = {"a": [], "b": []}
    for part in parts(file):
        begun = set()
        for line in values(part):
            name = line["conversationId"]
            if line["type"] == "conversation":
                assert line.get("offset", 0) == len(contents[name])
                begun.add(name)
            else:
                assert name in begun
                contents[name].append(line["content"][0])
    assert contents == {"a": list("0246"), "b": list("1357")}


def test_chats_are_sent_as_they_are() -> None:
    file = [json.dumps({"messages": [{"role": "user", "content": f"{n}" * 100}]}).encode() for n in range(5)]
    assert [line for part in parts(file) for line in part.content.splitlines()] == file


def test_a_line_over_the_size_of_a_part_is_one_by_itself() -> None:
    file = [conversation("a"), message("a", "x" * 1000), message("a", "y")]
    assert [len(part.places) for part in parts(file)] == [1, 2, 2]


def refusal(line: int) -> AnnalsError:
    return ValidationFailed(Problem(422, "INVALID_FORMAT", "No", f"Line {line}: role is required.", f"line {line}"))


def test_a_line_is_named_as_it_is_numbered_in_the_file() -> None:
    file = [conversation("a"), b"", *(message("a", "x" * 100) for _ in range(4))]
    *_, last = parts(file)
    renamed = last.in_file(refusal(len(last.places)))
    assert isinstance(renamed, ValidationFailed)
    assert (renamed.detail, renamed.field) == ("Line 6: role is required.", "line 6")
    # A part begins with the line of its conversation, which is the first of the file.
    assert last.in_file(refusal(1)).field == "line 1"


@pytest.mark.parametrize("field", [None, "messages", "line 99", "line 0"])
def test_a_refusal_that_names_no_line_of_the_part_stays_as_it_is(field: str | None) -> None:
    refused = AnnalsError(Problem(409, "CONVERSATION_DIFFERS", "No", "No.", field))
    assert parts([conversation("a")])[0].in_file(refused) is refused


def test_an_import_names_the_line_of_the_file(ask: Ask) -> None:
    details = {"status": 422, "code": "INVALID_FORMAT", "detail": "Line 1: messages must be a list.", "field": "line 1"}
    done = Answer(200, {"conversations": []})
    lines = [json.dumps({"messages": [{"role": "user", "content": "x" * 3_000_000}]}) for _ in range(2)]
    with scripted(done, Answer(422, details)) as server, pytest.raises(ValidationFailed) as failed:
        ask(server.url, lambda client: client.conversations.import_(["", *lines], user_id="u", memory_space_id="s"))
    assert (failed.value.field, failed.value.detail) == ("line 3", "Line 3: messages must be a list.")


@pytest.mark.parametrize("line", [b"{", b"[1]", b"7"])
def test_what_is_no_line_is_named_before_it_is_sent(line: bytes) -> None:
    with pytest.raises(InvalidArgument, match="line 2 "):
        parts([conversation("a"), line])


@pytest.mark.parametrize("odd", [{"conversationId": ["a"]}, {"conversationId": {}}, {"offset": "1"}, {"offset": None}])
def test_lines_that_only_the_server_can_refuse_are_sent(odd: dict[str, Any]) -> None:
    file = [json.dumps({"type": kind, "conversationId": "a", **odd}).encode() for kind in ("conversation", "message")]
    assert parts(file)[0].content.splitlines() == file
