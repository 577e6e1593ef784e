"""Ids in any script: what people write is taken, what only makes an id look like another one is not."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter, ValidationError

from annals.api.fields import Id
from tests.support.api import Api
from tests.support.indexing import embedded_index

WRITTEN = [
    "نمی\u200cدانم",
    "ක්\u200dරමය",
    "👩\u200d👩\u200d👧",
    "🏳️\u200d🌈",
    "a b",
    "é%#?&=+",
    "a/b",
    "%2F",
    "/a/../b/",
    "李雷",
    "ß\u0301",
]

HIDDEN = [
    "\x00", "\x1f", "\x7f", "\x85", "\n", "\t", "\u00a0", "\u00ad", "\u061c", "\u180e", "\u200b", "\u200e", "\u200f",
    "\u2028", "\u2029", *map(chr, range(0x202A, 0x202F)), "\u2060", *map(chr, range(0x2066, 0x206A)), "\ufeff",
    "\ufff9", "\uffff", "\ufdd0", "\U0001fffe", "\U000e0001", "\ue000", "\u0378", "\ud800", "\udfff",
]  # fmt: skip

ids: TypeAdapter[str] = TypeAdapter(Id)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_people_write_is_an_id(name: str) -> None:
    assert ids.validate_python(name) == name


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_hides_in_a_name_is_refused(hidden: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ids.validate_python(f"ada{hidden}b")
    assert refused.value.errors()[0]["type"] == "INVALID_ID_FORMAT"


@pytest.mark.parametrize("name", ["", " ", "\u200d", "\u200c \u200d"])
def test_an_id_that_shows_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ids.validate_python(name)
    assert refused.value.errors()[0]["type"] == "MISSING_REQUIRED_FIELD"


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("name", WRITTEN)
def test_an_id_goes_round_through_paths_keys_filters_and_files(api: Api, tmp_path: Path, name: str) -> None:
    quoted = quote(name, safe="")
    new = {
        "conversationId": name,
        "type": "user-agent",
        "participants": {"userId": name, "agentId": name, "memorySpaceId": name},
    }
    assert api.post("/v1/conversations", new).status == 201
    message = {"role": "user", "content": "Good morning.", "threadId": name, "userId": name}
    assert api.post(f"/v1/conversations/{quoted}/messages", message).status == 201

    assert api.get(f"/v1/conversations/{quoted}").json["conversationId"] == name
    for filter_ in ("userId", "agentId", "memorySpaceId", "contains"):
        items = api.get(f"/v1/conversations?participants.{filter_}={quoted}").json["items"]
        assert [each["conversationId"] for each in items] == [name]
    thread = api.get(f"/v1/conversations/{quoted}/messages?threadId={quoted}").json["items"]
    assert [each["userId"] for each in thread] == [name]
    exported = api.get(f"/v1/conversations/{quoted}/export?format=json")
    assert exported.status == 200
    assert exported.json["conversationId"] == name
    with embedded_index(tmp_path) as stream:
        stream.deliver_ledger()
        for filter_ in ("userId", "conversationId", "threadId"):
            items = api.get(f"/v1/memories?memorySpaceId={quoted}&{filter_}={quoted}").json["items"]
            assert [each["memoryId"] for each in items] == [f"mem:{name}:1"]
        memory = api.get(f"/v1/memories/{quote(f'mem:{name}:1', safe='')}").json
        assert memory["conversationRef"]["conversationId"] == name
    user_memory = api.post(f"/v1/users/{quoted}/memories", {"memory": "Likes tea."}).json
    assert user_memory["userId"] == name
    path = f"/v1/users/{quoted}/memories/{quote(user_memory['memoryId'], safe='')}"
    assert api.delete(path).status == 204
    assert api.delete(f"/v1/conversations/{quoted}").json["conversationId"] == name
    assert api.get(f"/v1/conversations/{quoted}").status == 410


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("path", ["/v1/conversations/%FF", "/v1/conversations/%ED%A0%80", "/v1/memories/%C3"])
def test_a_path_that_is_no_utf_8_is_refused(api: Api, path: str) -> None:
    assert api.get(path).problem[:2] == (422, "INVALID_ID_FORMAT")
