"""Values that are kept with items of the state table: come back as they were, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client, from_item, to_item
from annals.database.item_size import item_size, write_units
from annals.database.keys import item_key
from annals.database.state import find_item
from annals.errors import DamagedItem, RequestTooLarge
from annals.json_text import dump
from annals.memory.erasure.resuming import resume_erasure
from annals.settings import settings
from annals.stored_values import values
from annals.stored_values.values import keep_value, marker_key, read_value
from tests.conftest import Setting
from tests.support.blobs import blobs_in, files_of, no_compression

pytestmark = pytest.mark.usefixtures("moto")

PK, SK = "T#local#X#1", "X#a"
BASE = len(PK) + len(SK) + 4
LARGE = dump({"text": no_compression(500_000).hex()})


@pytest.fixture
def folder(tmp_path: Path, setting: Setting) -> Path:
    blobs_in(tmp_path / "blobs", setting)
    return tmp_path / "blobs"


def put(text: str) -> dict[str, Any]:
    attributes = keep_value(PK, SK, text, BASE)
    client().put_item(TableName=settings().state_table, Item={**item_key(PK, SK), **to_item(attributes)})
    return attributes


def end_marker(attributes: dict[str, Any]) -> None:
    """Let a blob's marker run out, and the stream say so."""
    key = marker_key(PK, SK, attributes["blob"])
    client().delete_item(TableName=settings().state_table, Key=key)
    resume_erasure(key["pk"]["S"], key["sk"]["S"])


@pytest.mark.parametrize("text", ['""', "null", dump({"a": "é" * 100}), dump(["word " * 9] * 500), LARGE])
def test_a_value_comes_back_as_it_was(folder: Path, text: str) -> None:
    assert read_value(PK, SK, put(text)) == text


def test_a_value_is_deflated_where_that_saves_a_write_unit(folder: Path) -> None:
    attributes = put(dump(["the same words again and again"] * 200))

    assert isinstance(attributes["value"], bytes)
    assert write_units(BASE + item_size(attributes)) == 1
    assert put(dump("short")) == {"value": '"short"'}


def test_a_value_for_which_no_item_has_room_is_beside_the_table(folder: Path) -> None:
    attributes = put(LARGE)

    assert attributes.keys() == {"blob"}
    assert len(files_of(folder)) == 1


def test_a_value_beyond_the_limit_is_refused_and_nothing_is_stored(folder: Path) -> None:
    with pytest.raises(RequestTooLarge):
        put(dump("x" * values.MAX_VALUE_BYTES))
    assert not files_of(folder)


def test_without_a_place_for_blobs_a_large_value_is_refused() -> None:
    with pytest.raises(RequestTooLarge):
        put(LARGE)


def test_a_blob_that_its_item_names_is_kept_for_as_long_as_it_does(folder: Path) -> None:
    attributes = put(LARGE)

    end_marker(attributes)

    assert read_value(PK, SK, attributes) == LARGE
    assert find_item(marker_key(PK, SK, attributes["blob"])) is not None


def test_a_blob_whose_item_was_never_written_goes(folder: Path) -> None:
    end_marker(keep_value(PK, SK, LARGE, BASE))

    assert not files_of(folder)


def test_a_blob_whose_item_names_another_one_goes(folder: Path) -> None:
    first, second = put(LARGE), put(LARGE)

    end_marker(first)

    assert len(files_of(folder)) == 1
    assert read_value(PK, SK, second) == LARGE


def test_a_blob_whose_item_has_run_out_goes_with_it(folder: Path) -> None:
    attributes = keep_value(PK, SK, LARGE, BASE)
    item = {**item_key(PK, SK), **to_item({**attributes, "expiresAt": 1_700_000_000})}
    client().put_item(TableName=settings().state_table, Item=item)

    end_marker(attributes)

    assert not files_of(folder)
    assert find_item(item_key(PK, SK)) is None


@pytest.mark.parametrize("attributes", [{}, {"value": 5}, {"value": b"no deflated text"}, {"value": b""}])
def test_what_was_changed_behind_annals_is_named_as_damaged(attributes: dict[str, Any]) -> None:
    with pytest.raises(DamagedItem):
        read_value(PK, SK, attributes)


def test_a_value_s_item_is_read_as_it_was_written(folder: Path) -> None:
    put(dump({"n": 1.5, "deep": [{}] * 9}))

    item = find_item(item_key(PK, SK))

    assert item is not None
    assert read_value(PK, SK, from_item(item)) == dump({"n": 1.5, "deep": [{}] * 9})
