"""Large parts while others write, redact and erase: a message has all of its parts or none, and no others are left."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from annals.blobs.folder import FolderStore
from annals.conversations.create import NewConversation, create
from annals.errors import ConversationErased
from annals.formats.references import Reference
from annals.ledger.append import AppendResult, append
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import message_id, new_message
from annals.ledger.part_keys import upload_key
from annals.ledger.part_reading import check_parts
from annals.ledger.part_watch import PartWatch
from annals.ledger.read import walk_checked
from annals.ledger.verify import verify
from annals.memory.erasure.conversation_erasure import erase_conversation
from annals.memory.erasure.message_redaction import redact_with_derived
from tests.conftest import Setting
from tests.support.blobs import blobs_in, files_of, image
from tests.support.crashes import let_markers_run_out, let_streams_finish

pytestmark = pytest.mark.usefixtures("database")

WRITERS, EACH = 8, 4
BODY = {"role": "user", "content": "Look", "parts": [image(250_000, seed)[1] for seed in range(2)]}


@pytest.fixture
def store(tmp_path: Path, setting: Setting) -> FolderStore:
    return blobs_in(tmp_path / "blobs", setting)


@pytest.fixture
def place(tenant: str) -> tuple[str, str]:
    create(tenant, NewConversation("user-agent", {"userId": "ada", "memorySpaceId": "s"}, {}, "c"), "key-1")
    return tenant, "c"


def at_once(work: Callable[[int], Any], count: int = WRITERS) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def require_whole(place: tuple[str, str], folder: Path, messages: int) -> None:
    pk, watch = conversation_pk(*place), PartWatch()
    assert verify(watch.pass_on(walk_checked(pk)), pk).valid
    check = check_parts(watch.parts, 60.0)
    assert (check.bad, check.checked, check.unchecked) == (None, 2 * messages, 0)
    assert len(files_of(folder)) == 2 * messages


def test_the_same_parts_in_messages_of_many_writers_are_each_message_s_own(
    place: tuple[str, str], store: FolderStore, tmp_path: Path
) -> None:
    def write(_: int) -> list[AppendResult]:
        return [append(*place, [new_message(BODY)]) for _ in range(EACH)]

    at_once(write)
    let_markers_run_out(place[0])
    require_whole(place, tmp_path / "blobs", messages=WRITERS * EACH)


def test_what_is_redacted_while_others_append_the_same_takes_nothing_of_theirs(
    place: tuple[str, str], store: FolderStore, tmp_path: Path
) -> None:
    def write_and_redact(number: int) -> None:
        for _ in range(EACH):
            seq = append(*place, [new_message(BODY)]).entry.seq
            if number % 2:
                redact_with_derived(*place, message_id(seq), "asked", "key-1")

    at_once(write_and_redact)
    let_markers_run_out(place[0])
    require_whole(place, tmp_path / "blobs", messages=WRITERS * EACH // 2)


def test_an_upload_that_many_name_at_once_is_copied_for_each(
    place: tuple[str, str], store: FolderStore, tmp_path: Path
) -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
    reference = Reference(sha256(data).hexdigest(), len(data), "image/png", "base64", upload="upl-1")
    store.put(upload_key(place[0], reference.sha256, "upl-1"), data, "image/png")
    body = {**BODY, "parts": [reference.to_json(), {"again": reference.to_json()}]}
    at_once(lambda _: append(*place, [new_message(body)]))
    assert len(list(store.keys("parts/"))) == WRITERS
    redact_with_derived(*place, "msg-001", "asked", "key-1")
    assert len(list(store.keys("parts/"))) == WRITERS - 1
    assert list(store.keys("uploads/")) == []


def test_an_erasure_among_writers_leaves_no_part(place: tuple[str, str], store: FolderStore, tmp_path: Path) -> None:
    def write(number: int) -> None:
        if number == 0:
            erase_conversation(*place, "key-1", 20.0)
            return
        for _ in range(EACH):
            try:
                append(*place, [new_message(BODY)])
            except ConversationErased:
                return

    at_once(write)
    let_streams_finish(place[0])
    let_markers_run_out(place[0])
    assert files_of(tmp_path / "blobs") == []
