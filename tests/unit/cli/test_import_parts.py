"""A file that is larger than a request is sent in parts, and none of its messages is lost or sent twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annals.cli import importing
from annals.cli.files import CommandFailed
from annals.cli.importing import Part, parts
from annals.cli.service import Refused


def conversation(conversation_id: str, **more: Any) -> bytes:
    return json.dumps({"type": "conversation", "conversationId": conversation_id, **more}).encode()


def message(conversation_id: str, content: str, **more: Any) -> bytes:
    said = {"type": "message", "conversationId": conversation_id, "content": content, **more}
    return json.dumps(said).encode()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PART_BYTES", 300)


def said(part: Part) -> list[dict[str, Any]]:
    return [json.loads(line) for line in part.lines]


def test_a_further_part_says_how_many_messages_came_before() -> None:
    file = [conversation("a", metadata={"n": 1.0}), *(message("a", f"{n}" + "x" * 50) for n in range(9))]
    count = 0
    for part in parts(file):
        first, *messages = said(part)
        assert first == {"type": "conversation", "conversationId": "a", "metadata": {"n": 1.0}} | (
            {"offset": count} if count else {}
        )
        assert [each["content"][0] for each in messages] == [str(count + place) for place in range(len(messages))]
        assert sum(map(len, part.lines)) < 500
        count += len(messages)
    assert count == 9


def test_a_preamble_is_not_counted() -> None:
    file = [conversation("a"), message("a", "p" * 100, kind="preamble"), *(message("a", "x" * 130) for _ in range(3))]
    assert [said(part)[0].get("offset") for part in parts(file)] == [None, 0, 1, 2]


def test_a_file_that_is_itself_a_part_goes_on_from_its_offset() -> None:
    file = [conversation("a", offset=40), message("a", "x" * 100), message("a", "y" * 100)]
    assert [said(part)[0]["offset"] for part in parts(file)] == [40, 41]


def test_conversations_may_take_turns() -> None:
    file = [conversation("a"), conversation("b")]
    file += [message("ab"[n % 2], f"{n}" + "x" * 60) for n in range(8)]
    found: dict[str, list[str]] = {"a": [], "b": []}
    for part in parts(file):
        begun = set()
        for line in said(part):
            name = line["conversationId"]
            if line["type"] == "conversation":
                assert line.get("offset", 0) == len(found[name])
                begun.add(name)
            else:
                assert name in begun
                found[name].append(line["content"][0])
    assert found == {"a": list("0246"), "b": list("1357")}


def test_chats_are_sent_as_they_are() -> None:
    file = [json.dumps({"messages": [{"role": "user", "content": f"{n}" * 100}]}).encode() for n in range(5)]
    assert [line for part in parts(file) for line in part.lines] == file


def test_a_line_over_the_size_of_a_part_is_one_by_itself() -> None:
    file = [conversation("a"), message("a", "x" * 1000), message("a", "y")]
    assert [len(part.lines) for part in parts(file)] == [1, 2, 2]


def test_a_line_is_named_as_it_is_numbered_in_the_file() -> None:
    file = [conversation("a"), b"", *(message("a", "x" * 100) for _ in range(4))]
    *_, last = parts(file)
    refusal = Refused("422 Line 3: role is required.", f"line {len(last.lines)}")
    assert importing._in_file(refusal, last) == "422 Line 6: role is required."


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff"])
def test_what_is_no_line_is_named_before_it_is_sent(line: bytes) -> None:
    with pytest.raises(CommandFailed, match="line 2 "):
        list(parts([conversation("a"), line]))
