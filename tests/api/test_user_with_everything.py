"""A user of whom there is everything that can be: an erasure leaves no word and no id, an export shows as much.

What is left is looked for in both tables and in the index' file, byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.cli.main import main
from annals.database.dynamodb import client
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import MESSAGE
from annals.memory.user_traces import CONVERSATION, read_traces
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import blobs_in
from tests.support.crashes import items_of, let_streams_finish
from tests.support.everything import ID, USER, WORD, deliver, everything, exported, in_files, in_tables, ok, say, talk
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")


@pytest.fixture
def stream(moto: None, tmp_path: Path, setting: Setting) -> Iterator[Stream]:
    blobs_in(tmp_path / "blobs", setting)
    with embedded_index(tmp_path) as index:
        yield index


def test_nothing_of_a_user_is_left_and_the_receipt_counts_all_of_it(api: Api, stream: Stream, tmp_path: Path) -> None:
    removed = everything(api)
    deliver(api, stream)
    assert in_tables(api, WORD, ID)

    receipt = ok(api.delete(USER))
    deliver(api, stream)

    assert in_tables(api, WORD, ID) == []
    assert in_files(tmp_path, WORD, ID) == []
    assert (receipt["found"], receipt["removed"]) == (True, removed)
    verified = ok(api.get("/v1/conversations/hers/verify"))
    assert {each["headHash"] for each in receipt["conversations"]} >= {verified["headHash"]}
    his = ok(api.get("/v1/conversations/his/messages"))["items"]
    assert [message.get("content") for message in his] == ["Mine.", None, None]
    assert ok(api.get("/v1/spaces/home"))["participants"] == [{"participantId": "byron", "type": "person"}]
    assert [line["type"] for line in exported(api)] == ["person"]
    assert ok(api.delete(USER))["removed"] == removed


def test_an_export_shows_what_an_erasure_takes(api: Api, stream: Stream) -> None:
    removed = everything(api)
    deliver(api, stream)

    lines = exported(api)

    kinds = [line["type"] for line in lines]
    messages = [line for line in lines if line["type"] == "message" and line.get("kind") != "preamble"]
    facts = [line for line in lines if "fact" in line]
    # Every message of theirs in their own conversations is a memory, too, and has one line.
    own = [line for line in messages if line["conversationId"] != "his"]
    changed = [line for line in lines if line["type"] == "memory" and line["memoryId"].startswith("mem:")]
    memories = kinds.count("memory") + kinds.count("userMemory") - len(facts) - len(changed)
    assert {
        "conversations": kinds.count("conversation"),
        "messages": len(messages),
        "memories": memories + len(own),
        "facts": len(facts),
        "spaces": kinds.count("space"),
        "documents": len(
            [line for line in lines if line["type"] == "document" and line.get("conversationId") != "hers"]
        ),
    } == removed
    assert kinds.count("document") == removed["documents"] + 1
    assert len(changed) == 1
    assert "Mine" not in json.dumps(lines)


def test_what_only_the_index_knows_of_is_erased_too(api: Api, stream: Stream) -> None:
    """As before there were traces: the command that writes them was not run yet."""
    everything(api)
    deliver(api, stream)
    for item in items_of(api.caller.tenant, settings().state_table):
        if "#PT#" in item["pk"]["S"]:
            client().delete_item(TableName=settings().state_table, Key={name: item[name] for name in ("pk", "sk")})

    ok(api.delete(USER))

    contents = [message.get("content") for message in ok(api.get("/v1/conversations/his/messages"))["items"]]
    assert contents[0] == "Mine."
    assert None in contents
    assert "space" not in str(exported(api))


def test_traces_are_written_anew_for_what_was_stored_before_there_were_any(api: Api, stream: Stream) -> None:
    removed = everything(api)
    deliver(api, stream)
    for item in items_of(api.caller.tenant, settings().state_table):
        if "#PT#" in item["pk"]["S"] or item["sk"]["S"].startswith("R#"):
            client().delete_item(TableName=settings().state_table, Key={name: item[name] for name in ("pk", "sk")})

    assert main(["rebuild", "people"]) == 0

    assert ok(api.delete(USER))["removed"] == removed
    assert in_tables(api, WORD, ID) == []


def test_what_the_stream_tells_of_after_the_erasure_is_erased_by_itself(api: Api, stream: Stream) -> None:
    talk(api, "his", "byron")
    say(api, "his", f"I have a {WORD}.", userId=ID)
    assert api.delete("/v1/memories/mem:his:1").status == 204
    assert ok(api.delete(USER))["removed"]["messages"] == 0
    # No stream has told of what she said, and its memory is deleted: nothing led there yet.
    assert in_tables(api, WORD)

    let_streams_finish(api.caller.tenant)

    assert in_tables(api, WORD, ID) == []


def test_what_a_user_says_after_their_erasure_stays(api: Api, stream: Stream) -> None:
    everything(api)
    deliver(api, stream)
    ok(api.delete(USER))
    ok(api.post("/v1/conversations/his/messages", {"role": "user", "content": "Back again.", "userId": ID}))

    let_streams_finish(api.caller.tenant)

    assert [line.get("content") for line in exported(api)] == [None, "Back again."]
    assert list(read_traces(api.caller.tenant, ID, CONVERSATION)) == ["his"]


def test_a_user_who_never_was_gets_a_receipt_that_says_so(api: Api, stream: Stream) -> None:
    receipt = ok(api.delete("/v1/users/nobody-known"))

    assert (receipt["status"], receipt["found"], receipt["conversations"]) == ("erased", False, [])
    assert set(receipt["removed"].values()) == {0}
    assert in_tables(api, "nobody-known") == []


def test_a_stale_head_does_not_keep_an_erasure_from_its_end(api: Api, stream: Stream) -> None:
    everything(api)
    deliver(api, stream)
    heads = [item for item in items_of(api.caller.tenant, settings().state_table) if item["sk"]["S"] == "HEAD"]
    ok(api.delete("/v1/conversations/hers"))
    for head in heads:
        client().put_item(TableName=settings().state_table, Item=head)

    receipt = ok(api.delete(USER))

    assert (receipt["status"], receipt["removed"]["conversations"]) == ("erased", 1)
    assert [item["conversationId"] for item in ok(api.get("/v1/conversations"))["items"]] == ["his"]


def test_an_entry_that_says_nothing_of_people_leads_to_nobody(api: Api, stream: Stream) -> None:
    body: dict[str, Any] = {"type": "agent-agent", "participants": {"agent1": "a", "agent2": "b"}}
    name = ok(api.post("/v1/conversations", body))["conversationId"]
    append(api.caller.tenant, name, [NewRecord(MESSAGE, b'{"role":"user","content":"hi","timestamp":"x"}')])
    let_streams_finish(api.caller.tenant)
    assert in_tables(api, "#PT#") == []
