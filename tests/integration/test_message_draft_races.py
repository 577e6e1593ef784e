"""Messages while they are said, and many at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from annals.memory.message_drafts import changes, upserting
from annals.memory.message_drafts.draft_items import MessageDraft
from annals.memory.message_drafts.draft_store import DraftContents, read_contents
from annals.settings import settings
from tests.support.api import Api, Reply
from tests.support.crashes import items_of

pytestmark = pytest.mark.usefixtures("database")

CHAT = "/v1/conversations/chat"
MESSAGES = f"{CHAT}/messages"
REPLY = f"{MESSAGES}/reply"
NEW = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "chat"}
WRITERS = 8


@pytest.fixture(autouse=True)
def conversation(api: Api) -> None:
    assert api.post("/v1/conversations", NEW).status == 201


def put(api: Api, content: str, **more: Any) -> Reply:
    return api.put(REPLY, {"role": "assistant", "content": content, **more})


def at_once(*requests: Callable[[], Reply]) -> list[Reply]:
    with ThreadPoolExecutor(len(requests)) as pool:
        return [future.result() for future in [pool.submit(request) for request in requests]]


def contents(api: Api) -> list[str]:
    """All that the ledger has of the conversation, in order; the chain is whole."""
    assert api.get(f"{CHAT}/verify").json["valid"]
    lines = api.get(f"{CHAT}/export?format=json").json["messages"]
    return [message["content"] for message in lines]


def rest_of(api: Api) -> list[str]:
    """What is stored of drafts."""
    keys = [(item["pk"]["S"], item["sk"]["S"]) for item in items_of(api.caller.tenant, settings().state_table)]
    return [sk for pk, sk in keys if "#DM#" in pk or sk.startswith("DRAFT#")]


def test_whoever_completes_a_message_at_once_gets_the_same_one(api: Api) -> None:
    put(api, "To be")
    body = {"content": ", or not", "completed": True}
    answers = at_once(*[lambda: put(api, **body)] * WRITERS)
    assert sorted({answer.status for answer in answers}) == [200, 201]
    assert [answer.status for answer in answers].count(201) == 1
    assert len({str(answer.json["message"]) for answer in answers}) == 1
    assert (contents(api), rest_of(api)) == (["To be, or not"], [])


def test_whoever_completes_an_incomplete_message_at_once_gets_the_same_one(api: Api) -> None:
    for number in range(5):
        external_id = f"reply-{number}"
        part = {"role": "assistant", "content": "To be", "externalId": external_id, "status": "incomplete"}
        assert api.post(MESSAGES, part).status == 201
        body = {"role": "assistant", "content": ", or not", "completed": True}
        answers = at_once(*[partial(api.put, f"{MESSAGES}/{external_id}", body)] * WRITERS)
        assert sorted({answer.status for answer in answers}) == [200, 201], [answer.json for answer in answers]
        assert len({str(answer.json["message"]) for answer in answers}) == 1
    assert [message["content"] for message in api.get(MESSAGES).json["items"]] == ["To be, or not"] * 5


def test_of_different_ends_at_once_one_is_stored(api: Api) -> None:
    put(api, "To be")
    answers = at_once(*[partial(put, api, f" {number}", completed=True) for number in range(WRITERS)])
    assert sorted(answer.status for answer in answers) == [201, *[409] * (WRITERS - 1)]
    assert {answer.json["code"] for answer in answers if answer.status == 409} == {"MESSAGE_COMPLETED"}
    (stored,) = [answer.json["message"]["content"] for answer in answers if answer.status == 201]
    assert (contents(api), rest_of(api)) == ([stored], [])


@pytest.mark.parametrize("more", [{"completed": True}, {"name": "Ada"}], ids=["completing", "adding"])
def test_who_finds_a_draft_that_another_completes_while_it_is_read_gets_the_conflict(
    api: Api, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    def read_once_completed(draft: MessageDraft) -> DraftContents:
        monkeypatch.undo()
        assert put(api, " or not", completed=True).status == 201
        return read_contents(draft)

    put(api, "To be")
    for module in (upserting, changes):
        monkeypatch.setattr(module, "read_contents", read_once_completed)
    answer = put(api, " so", **more)
    assert (answer.status, answer.json["code"]) == (409, "MESSAGE_COMPLETED")
    assert contents(api) == ["To be or not"]


def test_what_is_completed_at_once_without_a_draft_is_stored_once(api: Api) -> None:
    answers = at_once(*[lambda: put(api, "All of it.", completed=True)] * WRITERS)
    assert [answer.status for answer in answers].count(201) == 1
    assert {answer.status for answer in answers} <= {200, 201}
    assert (contents(api), rest_of(api)) == (["All of it."], [])


def test_no_piece_is_lost_or_doubled_however_many_add_to_a_text(api: Api) -> None:
    def add(writer: int) -> None:
        for number in range(10):
            assert put(api, f"<{writer}.{number} {'x' * 90}>").status == 200

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(add, writer) for writer in range(WRITERS)]:
            done.result()
    message = put(api, "", completed=True).json["message"]
    pieces = [piece.split()[0] for piece in message["content"].split("<")[1:]]
    assert sorted(pieces) == sorted(f"{writer}.{number}" for writer in range(WRITERS) for number in range(10))
    for writer in range(WRITERS):
        own = [piece for piece in pieces if piece.startswith(f"{writer}.")]
        assert own == [f"{writer}.{number}" for number in range(10)]


def test_calls_that_overtake_each_other_keep_the_latest(api: Api) -> None:
    revisions = (5, 3, 8, 1, 7, 2, 6, 4)
    answers = at_once(*[partial(put, api, f"text {each}", revision=each, replace=True) for each in revisions])
    assert {answer.status for answer in answers} == {200}
    assert put(api, "", completed=True, revision=9).json["message"]["content"] == "text 8"


def test_of_two_that_supersede_a_message_at_once_one_is_stored(api: Api) -> None:
    part = {"role": "assistant", "content": "To be", "status": "incomplete"}
    assert api.post(MESSAGES, part).status == 201
    whole = {"role": "assistant", "supersedes": "msg-001"}
    answers = at_once(
        *[partial(api.post, MESSAGES, {**whole, "content": f"To be {number}"}) for number in range(WRITERS)]
    )
    assert sorted(answer.status for answer in answers) == [201, *[409] * (WRITERS - 1)]
    assert {answer.json["code"] for answer in answers if answer.status == 409} == {"MESSAGE_SUPERSEDED"}
    assert len(contents(api)) == 2


def test_who_reads_while_a_text_is_replaced_sees_all_of_one(api: Api) -> None:
    texts = [letter * 5_000 for letter in "abcdefgh"]
    put(api, texts[0])
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [put(api, text, replace=True).status for text in texts * 3])
        seen = set()
        while not writing.done():
            seen |= {item["content"] for item in api.get(f"{MESSAGES}?drafts=true").json["items"]}
    assert set(writing.result()) == {200}
    assert seen <= set(texts)
