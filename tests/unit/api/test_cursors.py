"""Cursors: opaque to callers, refused when damaged or foreign; and the key that seals them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annals.access.caller import Caller
from annals.api.cursors import PAGING_PARAMS, Cursors
from annals.api.sealing_key import MAX_AGE_S, PK, REFRESH_EVERY_S, sealing_key
from annals.database.dynamodb import client
from annals.errors import InvalidInput
from annals.settings import settings
from tests.support import stack
from tests.support.strategies import texts

ADA = Caller("acme", "key-1", frozenset({"read"}))
positions = st.lists(st.booleans() | st.integers() | st.none() | texts, max_size=5)


@pytest.fixture(autouse=True)
def fresh(moto: None) -> Iterator[None]:
    """No key is known, and the table holds none."""
    client().delete_item(TableName=settings().state_table, Key={"pk": {"S": PK}, "sk": {"S": "KEY"}})
    sealing_key.forget()
    yield
    sealing_key.forget()


def of(caller: Caller = ADA, *list_name: str, **query_params: str) -> Cursors:
    return Cursors.of(caller.tenant, caller.spaces, list_name or ("messages", "c"), query_params, PAGING_PARAMS)


def written(cursors: Cursors, *position: object) -> str:
    cursor: str = cursors.next(*position)["nextCursor"]
    return cursor


def require_refusal(cursors: Cursors, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        cursors.read(cursor)
    assert (refused.value.code, refused.value.field) == ("INVALID_CURSOR", "cursor")


@given(positions)
def test_a_cursor_names_the_position_it_was_written_for(position: list[object]) -> None:
    assert of().read(written(of(), *position)) == position


def test_a_cursor_goes_on_with_another_limit_and_whatever_the_order_of_parameters() -> None:
    cursor = written(of(userId="u", limit="2", tags="x"), 1)
    assert of(tags="x", userId="u", limit="7", cursor=cursor).read(cursor) == [1]


@pytest.mark.parametrize(
    "other",
    [
        of(replace(ADA, tenant="other")),
        of(replace(ADA, spaces=frozenset({"a"}))),
        of(replace(ADA, spaces=frozenset())),
        of(ADA, "messages", "d"),
        of(ADA, "messages"),
        of(ADA, "facts", "c"),
        of(roles="user"),
        of(order="asc"),
    ],
)
def test_a_cursor_of_another_list_or_query_is_refused(other: Cursors) -> None:
    require_refusal(other, written(of(), 1, "x"))
    require_refusal(of(), written(other, 1, "x"))


def test_what_stands_in_a_query_cannot_pass_for_its_other_parts() -> None:
    require_refusal(of(ADA, "messages", 'c"],[["a'), written(of(ADA, "messages", "c", a="b"), 1))
    require_refusal(of(x="1&y=2"), written(of(x="1", y="2"), 1))


def test_another_key_of_the_same_reach_goes_on() -> None:
    assert of(replace(ADA, key_id="key-2")).read(written(of(), 1)) == [1]


@given(positions, st.data())
def test_a_cursor_with_one_character_changed_is_refused(position: list[object], data: st.DataObject) -> None:
    cursor = written(of(), *position)
    at = data.draw(st.integers(0, len(cursor) - 1))
    changed = cursor[:at] + data.draw(st.characters(exclude_categories=["Cs"])) + cursor[at + 1 :]
    assume(changed != cursor)
    require_refusal(of(), changed)


@given(positions, st.data())
def test_a_cursor_cut_short_or_drawn_out_is_refused(position: list[object], data: st.DataObject) -> None:
    cursor = written(of(), *position)
    require_refusal(of(), cursor[: data.draw(st.integers(0, len(cursor) - 1))])
    require_refusal(of(), cursor + data.draw(st.text("aA0-_=! ", min_size=1, max_size=4)))


@pytest.mark.parametrize("value", [["history", False, False, -1, 5, 0], ["memories", 2**70, "mem:x:1"], 5, {}])
def test_a_cursor_as_earlier_versions_wrote_them_is_refused(value: object) -> None:
    text = json.dumps(value, separators=(",", ":")).encode()
    require_refusal(of(), urlsafe_b64encode(crc32(text).to_bytes(4, "big") + text).decode().rstrip("="))


@given(st.text(max_size=40))
def test_any_other_text_is_refused(text: str) -> None:
    require_refusal(of(), text)


def test_a_cursor_is_good_after_a_restart() -> None:
    cursor = written(of(), 1)
    stack.forget()
    assert of().read(cursor) == [1]


def test_processes_that_start_at_once_agree_on_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sealing_key.of("acme")
    sealing_key.forget()
    monkeypatch.setattr("annals.api.sealing_key._find", lambda: None)
    assert sealing_key.of("acme") == first


def test_tenants_have_keys_of_their_own() -> None:
    assert sealing_key.of("a") != sealing_key.of("b")


def test_a_key_that_was_withdrawn_is_used_no_longer_and_its_cursors_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    cursor = written(of(), 1)
    client().delete_item(TableName=settings().state_table, Key={"pk": {"S": PK}, "sk": {"S": "KEY"}})
    assert of().read(cursor) == [1]
    now[0] += MAX_AGE_S
    require_refusal(of(), cursor)
    assert of().read(written(of(), 2)) == [2]


def test_a_process_with_the_former_key_opens_what_the_new_one_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    sealing_key.of("acme")
    former = sealing_key._key
    client().delete_item(TableName=settings().state_table, Key={"pk": {"S": PK}, "sk": {"S": "KEY"}})
    sealing_key.forget()
    cursor = written(of(), 1)
    sealing_key._key = former
    now[0] += REFRESH_EVERY_S
    assert of().read(cursor) == [1]


def test_forged_cursors_do_not_make_the_key_be_read_each_time() -> None:
    reads: list[object] = []
    sealing_key.of("acme")
    client().meta.events.register("before-call.dynamodb.GetItem", lambda **_: reads.append(1), unique_id="reads")
    try:
        for _ in range(20):
            require_refusal(of(), "x" * 200)
    finally:
        client().meta.events.unregister("before-call.dynamodb.GetItem", unique_id="reads")
    assert len(reads) <= 1
