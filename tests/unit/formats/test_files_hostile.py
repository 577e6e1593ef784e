"""Files that nobody should trust: each is read to its end, or refused with its place, in bounded time and memory."""

from __future__ import annotations

import cProfile
import gzip
import io
import json
import pstats
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.formats.files import opening
from annals.formats.files.conversation import Broken, Line
from annals.formats.files.json_reader import CHUNK, BrokenJson, JsonReader
from annals.formats.files.opening import FileTooLarge, UnreadableFile
from annals.formats.files.reading import read_file
from annals.formats.files.tree import Node, shown_branch
from annals.formats.files.values import to_time
from tests.support import app_files

APPS = {
    "chatgpt": app_files.chatgpt(),
    "claude": app_files.claude(),
    "librechat": app_files.librechat(),
    "librechat, recursive": app_files.librechat(recursive=True),
    "open-webui": app_files.open_webui(),
    "lobechat": app_files.lobechat(),
    "cortex": app_files.cortex(),
    "sharegpt": app_files.SHAREGPT,
    "langchain": {"messages": app_files.LANGCHAIN},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def zipped(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", text)
    return buffer.getvalue()


def read(file: Any) -> list[Line | Broken]:
    body = file if isinstance(file, bytes) else json.dumps(file).encode()
    return list(read_file(io.BytesIO(body)))


def lines(file: Any) -> list[dict[str, Any]]:
    items = read(file)
    assert not [item for item in items if isinstance(item, Broken)]
    return [json.loads(item.text) for item in items if isinstance(item, Line)]


def messages(file: Any) -> list[dict[str, Any]]:
    return [line for line in lines(file) if line["type"] == "message"]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place within a JSON value: what holds it, and its name there."""
    if isinstance(value, dict):
        return [(value, name) for name in value] + [place for each in value.values() for place in places(each)]
    if isinstance(value, list):
        return [(value, index) for index in range(len(value))] + [place for each in value for place in places(each)]
    return []


ODD: list[Any] = [None, "", "text", 0, -1, 1e300, True, [], {}, [None], [[]], {"a": None}, ["text"]]


@pytest.mark.parametrize("app", APPS)
def test_a_field_of_another_type_than_it_should_have_breaks_nothing_else(app: str) -> None:
    text = json.dumps(APPS[app])
    for position in range(len(places(json.loads(text)))):
        for odd in ODD:
            file = json.loads(text)
            holder, name = places(file)[position]
            holder[name] = odd
            for item in read(file):
                assert isinstance(item, Broken) or json.loads(item.text)


@given(JSON)
def test_any_json_is_read_or_named_as_unknown(value: Any) -> None:
    for item in read(value):
        assert str(item.place)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(UnreadableFile):
        read(data)


def chatgpt(mapping: dict[str, Any], current: str | None = None) -> dict[str, Any]:
    nodes = {
        name: {
            "id": name,
            "parent": parent,
            "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [name]}},
        }
        for name, parent in mapping.items()
    }
    return {"mapping": nodes, "current_node": current}


def test_parents_in_a_circle_end_the_branch() -> None:
    file = chatgpt({"a": "c", "b": "a", "c": "b"}, "c")
    assert [each["content"] for each in messages(file)] == ["a", "b", "c"]
    assert [each["content"] for each in messages(chatgpt({"a": "a"}, "a"))] == ["a"]


def test_a_missing_parent_begins_the_branch_and_a_missing_end_is_the_last_message() -> None:
    assert [each["content"] for each in messages(chatgpt({"a": "gone", "b": "a"}, "b"))] == ["a", "b"]
    assert [each["content"] for each in messages(chatgpt({"a": None, "b": "a"}, "gone"))] == ["a", "b"]


def test_messages_that_hang_nowhere_are_kept_beside_the_first() -> None:
    first, _ = messages(chatgpt({"x": "gone", "a": None, "b": "a"}, "b"))
    assert first["metadata"]["branches"] == [{"role": "user", "content": "x"}]


def test_other_branches_have_bounded_room() -> None:
    tree = {"a": None, **{f"{number} {'x' * 1000}": None for number in range(100)}}
    [message] = messages(chatgpt(tree, "a"))
    branches, omitted = message["metadata"]["branches"], message["metadata"]["branchesOmitted"]
    assert len(branches) + omitted == 100
    assert sum(len(each["content"]) for each in branches) <= 32_000


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.sampled_from("abcdefghz")), st.sampled_from("abcz"))
def test_every_node_is_on_the_branch_or_beside_a_node_of_it(parents: dict[str, str | None], current: str) -> None:
    branch = shown_branch({name: Node(name, parent) for name, parent in parents.items()}, current)
    beside = [name for names in branch.others.values() for name in names]
    assert sorted([*branch.ids, *beside]) == sorted(parents)
    assert branch.others.keys() <= set(branch.ids)


def test_many_messages_take_work_in_proportion() -> None:
    def calls(count: int) -> int:
        mapping = {f"{number}": f"{number - 1}" if number else None for number in range(count)}
        body = json.dumps(chatgpt(mapping, f"{count - 1}")).encode()
        with cProfile.Profile() as profile:
            assert len(read(body)) == count + 1
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined] # missing from the stubs

    assert calls(20_000) < 11 * calls(2_000)


def test_a_deep_file_is_refused_and_a_deep_tree_of_a_flat_one_is_not() -> None:
    [broken] = read(b"[" * 100_000)
    assert "nests too deeply" in getattr(broken, "reason", "")
    flat = [
        {"messageId": f"{number}", "parentMessageId": f"{number - 1}", "text": "x", "isCreatedByUser": True}
        for number in range(5_000)
    ]
    assert len(messages({"conversationId": "c", "exportAt": "now", "messages": flat})) == 5_000


def test_an_id_that_comes_twice_is_kept_once() -> None:
    twice = [{"uuid": "m", "text": text, "sender": "human", "content": []} for text in ("1", "2")]
    assert [(each["content"], each.get("externalId")) for each in messages_of_claude(twice)] == [
        ("1", "m"),
        ("2", None),
    ]


def messages_of_claude(chat_messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages({"uuid": "c", "chat_messages": chat_messages})


@pytest.mark.parametrize("indent", [None, 1])
def test_numbers_that_are_none_are_left_out(indent: int | None) -> None:
    file = [{"uuid": "c", "created_at": float("nan"), "chat_messages": [{"text": "x", "created_at": float("inf")}]}]
    read_lines = [json.loads(item.text) for item in read(json.dumps(file, indent=indent).encode())]  # type: ignore[union-attr]
    assert [line.get("timestamp", line.get("createdAt")) for line in read_lines] == [None, None]


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    [message] = messages_of_claude([{"uuid": "m", "text": "cut \ud83d off", "sender": "human", "content": []}])
    assert message["content"] == "cut \ufffd off"


def test_a_message_without_a_time_was_said_with_the_one_before() -> None:
    said = [
        {"uuid": f"{number}", "text": "x", "sender": "human", "content": [], "created_at": at}
        for number, at in enumerate([None, "2024-01-01T00:00:00Z", "never", "2024-01-02T00:00:00Z"])
    ]
    assert [each["timestamp"][:10] for each in messages_of_claude(said)] == ["2024-01-01"] * 3 + ["2024-01-02"]
    assert "timestamp" not in messages_of_claude([{**each, "created_at": None} for each in said])[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1717225201.25, "2024-06-01T07:00:01.250Z"),
        (1717225201, "2024-06-01T07:00:01.000Z"),
        (1717225201250, "2024-06-01T07:00:01.250Z"),
        (1717225201250000, "2024-06-01T07:00:01.250Z"),
        ("1717225201", "2024-06-01T07:00:01.000Z"),
        ("2024-06-01T07:00:01.25Z", "2024-06-01T07:00:01.250Z"),
        ("2024-06-01T07:00:01.123456789+00:00", "2024-06-01T07:00:01.123Z"),
        ("2024-06-01T16:00:01+09:00", "2024-06-01T16:00:01.000+09:00"),
        ("2024-06-01 07:00:01", "2024-06-01T07:00:01.000Z"),
        *((odd, None) for odd in (None, "", "yesterday", -1, 0, True, 1e300, float("nan"), float("inf"), [], {})),
        ("9" * 400, None),
        ("0000-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_in_any_form(given: Any, expected: str | None) -> None:
    assert to_time(given) == expected


@given(JSON, st.integers(1, 20))
def test_json_is_read_the_same_however_it_is_cut_into_chunks(value: Any, size: int) -> None:
    text = json.dumps([value, {"a": value}], ensure_ascii=False)
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    reader = JsonReader(chunks)
    found = []
    for _ in reader.elements():
        if reader.peek() == "{":
            found.append({name: reader.value() for name in reader.members()})
        else:
            found.append(reader.value())
    assert found == [value, {"a": value}]
    assert reader.peek() == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [("[1,\n2,\n}", 3), ("[1\n2]", 2), ('{"a":\n x}', 2), ('{"a" 1}', 1), ("[1, 2", 1), ("{1: 2}", 1), ('["a', 1)],
)
def test_broken_json_is_named_by_its_line(text: str, line: int) -> None:
    reader = JsonReader(iter([text]))
    with pytest.raises(BrokenJson, match=f"in line {line}"):
        list(reader.members() if text[0] == "{" and "a" not in text else [reader.value()])


def test_an_error_is_found_where_it_is_and_not_at_the_end_of_the_file() -> None:
    taken = 0

    def chunks() -> Any:
        nonlocal taken
        yield "[1, oops, "
        while True:
            taken += 1
            yield " " * CHUNK

    with pytest.raises(BrokenJson):
        JsonReader(chunks()).value()
    assert taken < 3


def test_a_value_that_never_ends_is_given_up() -> None:
    endless = ("x" * CHUNK if number else '["' for number in range(10**6))
    reader = JsonReader(endless, max_chars=4 * CHUNK)
    with pytest.raises(BrokenJson, match="more than"):
        reader.value()


def test_a_branch_of_claude_s_is_the_one_that_ends_where_the_file_says() -> None:
    said = [
        {"uuid": uuid, "parent_message_uuid": parent, "text": uuid, "sender": "human", "content": []}
        for uuid, parent in (("a", "0000"), ("b", "a"), ("c", "a"), ("d", "c"))
    ]
    file = {"uuid": "1", "chat_messages": said}
    assert [each["content"] for each in messages(file)] == ["a", "c", "d"]
    first, second = messages({**file, "current_leaf_message_uuid": "b"})
    assert (first["content"], second["content"]) == ("a", "b")
    assert [each["content"] for each in second["metadata"]["branches"]] == ["c", "d"]


def test_branches_beside_a_message_that_says_nothing_are_kept_with_the_next() -> None:
    said = [
        {"uuid": uuid, "parent_message_uuid": parent, "text": text, "sender": "human", "content": []}
        for uuid, parent, text in (("a", "", "a"), ("x", "a", "other"), ("b", "a", ""), ("c", "b", "c"))
    ]
    _, last = messages({"uuid": "1", "chat_messages": said})
    assert (last["content"], last["metadata"]["branches"]) == ("c", [{"role": "user", "content": "other"}])


@pytest.mark.parametrize(
    "text",
    [
        "<details " * 40_000,
        '<details type="reasoning">' * 12_000,
        '<details type="reasoning" ' + "a" * 300_000 + ">x</details>",
        '<details type="reasoning">' + " " * 300_000 + "</details>",
        '<details type="reasoning">' + "<summary>" * 30_000 + "</details>",
    ],
)
def test_text_that_pretends_to_be_html_costs_no_time(text: str) -> None:
    history = {"currentId": "a", "messages": {"a": {"id": "a", "role": "assistant", "content": f"{text}end"}}}
    begun = time.process_time()
    assert messages({"id": "c", "chat": {"history": history}})
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("pack", [gzip.compress, zipped])
def test_a_compressed_file_that_holds_more_than_any_text_is_given_up(
    monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(opening, "MIN_MAX_BYTES", 1_000_000)
    assert read(pack(b"[" + b" " * 900_000 + b"]")) == []
    with pytest.raises(FileTooLarge, match="more than 1"):
        read(pack(b"[" + b" " * 5_000_000 + b"]"))


def test_a_title_moves_no_terminal() -> None:
    [item, *_] = read([app_files.chatgpt(title="\x1b[2J\u202eTrip\n to  Rome")])
    assert str(item.place) == 'conversation 1 ("[2JTrip to Rome")'
