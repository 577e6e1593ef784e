"""The erasure of a user whose process dies at any of its writes to DynamoDB is finished by the stream functions.

Dying before a write leaves the tables as dying after the one in front of it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annals.memory.erasure.user_receipts import find_user_receipt, user_receipt_id
from local.emulator import Emulator
from tests.support.api import Api
from tests.support.crashes import dying, let_streams_finish
from tests.support.everything import FACT, ID, USER, WORD, everything, in_tables, ok, say, talk
from tests.support.indexing import Stream, embedded_index

MOST_CALLS = 120
PARTS = 4
"""Of so many tests, each tries every fourth write."""


@pytest.fixture(autouse=True)
def stream(own_tables: Emulator, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def little_of_everything(api: Api) -> dict[str, int]:
    """One of each kind of thing that is a user's. What an erasure's receipt counts."""
    ok(api.put("/v1/spaces/home", {"participants": [{"participantId": ID}]}))
    talk(api, "hers", ID)
    say(api, "hers", f"My {WORD}.")
    talk(api, "his", "byron")
    say(api, "his", f"A {WORD}.", userId=ID)
    ok(api.post(f"{USER}/memories", {"memory": f"Has a {WORD}."}))
    ok(api.post("/v1/memories", {"memorySpaceId": "home", "userId": ID, "content": f"Likes a {WORD}."}))
    ok(api.post("/v1/facts", {**FACT, "memorySpaceId": "home", "userId": ID, "subject": "one"}))
    for owner in ({"userId": ID}, {"userId": ID, "agentId": "helper"}):
        ok(api.put("/v1/documents", {"collection": "state", "key": WORD, "value": WORD, **owner}))
    return {"conversations": 1, "messages": 2, "memories": 3, "facts": 1, "spaces": 1, "documents": 2}


@pytest.mark.parametrize("first", range(1, PARTS + 1))
def test_the_erasure_of_a_user_ends_without_whoever_asked_for_it(tenant: str, first: int) -> None:
    for call in range(first, MOST_CALLS, PARTS):
        api = Api.of(f"{tenant}-{call}")
        removed = little_of_everything(api)
        let_streams_finish(api.caller.tenant)
        with dying("before-call", call) as death:
            api.delete(USER)
        let_streams_finish(api.caller.tenant)
        receipt = find_user_receipt(api.caller.tenant, user_receipt_id(api.caller.tenant, ID))
        if receipt is None:
            assert call == 1, "the receipt is stored before anything else"
            continue
        assert receipt.erased_at, call
        assert in_tables(api, WORD, ID) == [], call
        assert ok(api.delete(USER))["removed"] == removed, call
        if not death.came:
            assert call > 1
            return
    pytest.fail(f"erasing a user takes more than {MOST_CALLS} writes")


def test_a_user_of_whom_there_is_everything_is_erased_in_rounds_of_no_time(
    tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api.of(tenant)
    removed = everything(api)
    let_streams_finish(tenant)
    with monkeypatch.context() as patch:
        patch.setattr("annals.memory.erasure.user_erasure_stages.BATCH", 1)
        patch.setattr("annals.memory.erasure.user_erasure_stages.STRIDE", 1)
        receipt = ok(api.delete(USER))
    assert (receipt["status"], receipt["removed"]) == ("erased", removed)
    assert in_tables(api, WORD, ID) == []
