"""Strands' storage over documents."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from answering import Answering
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager
from strands.session import SnapshotSessionManager
from strands.storage import Storage
from strands.types.exceptions import StorageError

from annals_client import NO_RETRIES, ConnectionFailed
from annals_client import Annals as PlainAnnals
from annals_client.integrations.strands import AnnalsStorage, StaleWrite
from annals_client.integrations.strands import storage as module
from annals_client.integrations.strands.pieces import INLINE_CHARS, MANY, Piece, cut
from annals_client.testing import Annals

KEY = "session/trip/scopes/agent/guide/snapshots/snapshot_latest.json"


@pytest.fixture
def storage(annals: Annals) -> AnnalsStorage:
    """A storage that holds nothing."""
    return AnnalsStorage(annals)


def agent(storage: AnnalsStorage, *answers: Any, **options: Any) -> Agent:
    """An agent that goes on with the session."""
    manager = SnapshotSessionManager("trip", storage=storage.view(), **options)
    return Agent(
        agent_id="guide",
        model=Answering(*answers),
        session_manager=manager,
        conversation_manager=NullConversationManager(),
        callback_handler=None,
    )


def texts(agent: Agent) -> list[str]:
    """What was said."""
    return [block["text"] for message in agent.messages for block in message["content"]]


def stored(annals: Annals) -> list[Any]:
    """All that is stored, the values and their pieces."""
    found = annals.documents.list(module.COLLECTION, namespace_prefix=())
    return [each.value for each in found if each.value is not None]


def test_it_is_a_storage_of_strands(storage: AnnalsStorage) -> None:
    assert isinstance(storage, Storage)


def test_an_agent_goes_on_from_its_snapshot(storage: AnnalsStorage) -> None:
    for number in range(3):
        agent(storage, f"answer {number}")(f"question {number}")
    assert texts(agent(storage)) == [f"{kind} {number}" for number in range(3) for kind in ("question", "answer")]


def test_a_stale_agent_does_not_overwrite_a_newer_turn(storage: AnnalsStorage) -> None:
    agent(storage, "One.")("Begin.")
    stale, newer = agent(storage, "Old.", "Older."), agent(storage, "New.")
    newer("Go on.")
    for _ in range(2):
        with pytest.raises(StaleWrite, match="another process"):
            stale("And I?")
    assert texts(agent(storage)) == ["Begin.", "One.", "Go on.", "New."]


def test_two_agents_that_begin_a_session_at_once_do_not_overwrite_each_other(storage: AnnalsStorage) -> None:
    first, second = agent(storage, "One."), agent(storage, "Two.")
    first("Begin.")
    with pytest.raises(StaleWrite):
        second("Begin, too.")
    assert texts(agent(storage)) == ["Begin.", "One."]


def test_a_value_that_was_never_read_is_overwritten(storage: AnnalsStorage) -> None:
    async def write() -> bytes | None:
        for value in (b"one", b"two" * 10_000, b"three"):
            await storage.view().write("notes", value)
        return await storage.read("notes")

    assert asyncio.run(write()) == b"three"


async def test_writes_of_one_storage_follow_each_other(storage: AnnalsStorage) -> None:
    values = [os.urandom(3000) for _ in range(8)]
    await asyncio.gather(*(storage.write("notes", value) for value in values))
    assert await storage.read("notes") in values


async def test_blind_writes_of_several_processes_leave_one_of_them_whole(
    annals: Annals, storage: AnnalsStorage
) -> None:
    values = [os.urandom(3000) for _ in range(6)]
    outcomes = await asyncio.gather(*(storage.view().write("notes", value) for value in values), return_exceptions=True)
    assert await storage.read("notes") in values
    assert all(outcome is None or isinstance(outcome, StaleWrite) for outcome in outcomes)
    (head,) = (value for value in stored(annals) if isinstance(value, dict))
    assert len(stored(annals)) == 1 + len(head["pieces"])


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", "ünïcode 🜁 \u0000".encode(), b"\xff\x00\xfe", os.urandom(500_000), b'{"messages": [' + b"x" * 70_000],
    ids=["empty", "short", "unicode", "bytes", "large bytes", "no list"],
)
async def test_bytes_come_back_equal(storage: AnnalsStorage, value: bytes) -> None:
    await storage.write("a/b.bin", value)
    assert await storage.read("a/b.bin") == value
    assert await storage.view().read("a/b.bin") == value


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_snapshots_of_any_size_are_kept(storage: AnnalsStorage, size: int) -> None:
    agent(storage, "o" * (size // 2))("h" * (size // 2))
    agent(storage, "short")("short")
    assert [len(text) for text in texts(agent(storage))] == [size // 2, size // 2, 5, 5]


class Counting(httpx.HTTPTransport):
    """A connection that counts the bytes of what is stored."""

    def __init__(self, url: str) -> None:
        super().__init__(uds=url.removeprefix("unix://") if url.startswith("unix:") else None)
        self.sent: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT" or b'"op":"put"' in request.read():
            self.sent.append(len(request.read()))
        return super().handle_request(request)


@pytest.fixture
def counting(annals_url: str) -> Counting:
    return Counting(annals_url)


@pytest.fixture
def counted(counting: Counting, annals_url: str, annals_key: str) -> Iterator[PlainAnnals]:
    """A client whose stored bytes are counted."""
    with httpx.Client(transport=counting) as http:
        yield PlainAnnals(annals_url, annals_key, http=http)


def test_what_a_turn_writes_does_not_grow_with_the_conversation(counting: Counting, counted: PlainAnnals) -> None:
    storage, written = AnnalsStorage(counted), []
    for number in range(4 * MANY):
        agent(storage, f"{number} " + "o" * 800)("h" * 200)
        written.append(sum(counting.sent))
        counting.sent.clear()
    assert max(written[MANY - 3 : MANY]) < 5_000
    assert sum(written[3 * MANY :]) < 1.5 * sum(written[2 * MANY : 3 * MANY])
    assert sorted(written)[len(written) // 2] < 5_000


def test_words_that_a_guardrail_takes_away_are_gone_from_all_that_is_stored(
    annals: Annals, storage: AnnalsStorage
) -> None:
    for number in range(3):
        agent(storage, "a" * 1500)(f"question {number}" + "b" * 1500)
    guarded = agent(storage, "c" * 1500, save_latest_on="message")
    guarded("My number is 4711-0815." + "d" * 1500)
    assert "4711" in json.dumps(stored(annals))
    guarded.messages[-2]["content"] = [{"text": "[blocked]"}]
    assert guarded._session_manager is not None
    guarded._session_manager.redact_latest_message(guarded.messages[-2], guarded)
    assert "4711" not in json.dumps(stored(annals))
    assert texts(agent(storage))[-2] == "[blocked]"


class LosingAnswers(Counting):
    """A connection that loses some answers to what stores something."""

    LOST = (1, 3, 6, 10, 15, 21)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        before = len(self.sent)
        response = super().handle_request(request)
        if len(self.sent) > before and len(self.sent) in self.LOST:
            raise httpx.ReadError("the answer was lost", request=request)
        return response


async def is_written(storage: AnnalsStorage, value: bytes) -> bool:
    """Whether a write was answered; its answer may be lost, and nothing else may go wrong."""
    try:
        await storage.write("notes", value)
    except StorageError as failure:
        if isinstance(failure.__cause__, ConnectionFailed):
            return False
        raise
    return True


@pytest.mark.parametrize("size", [100, 3000])
async def test_a_write_whose_answer_was_lost_can_be_repeated(
    annals: Annals, annals_url: str, annals_key: str, size: int
) -> None:
    with httpx.Client(transport=LosingAnswers(annals_url)) as http:
        storage = AnnalsStorage(PlainAnnals(annals_url, annals_key, http=http, retries=NO_RETRIES))
        assert await storage.read("notes") is None
        for number in range(3):
            value = str(number).encode() * size
            while not await is_written(storage, value):
                pass
            assert await AnnalsStorage(annals).read("notes") == value


async def test_a_deleted_value_leaves_no_words(annals: Annals, storage: AnnalsStorage) -> None:
    await storage.write("a", b"secret" * 5000)
    await storage.write("b", b"kept")
    await storage.delete("a")
    await storage.delete("a")
    await storage.delete("never there")
    assert await storage.read("a") is None
    assert await storage.list() == ["b"]
    assert "secret" not in json.dumps(stored(annals))


async def test_a_session_that_was_deleted_and_begun_anew_is_not_overwritten_by_an_old_agent(
    storage: AnnalsStorage,
) -> None:
    old, other = storage.view(), storage.view()
    await other.write(KEY, b"old" * 2000)
    assert await old.read(KEY) == b"old" * 2000
    await other.delete(KEY)
    await other.write(KEY, b"new" * 2000)
    with pytest.raises(StaleWrite):
        await old.write(KEY, b"old" * 2000 + b"and more")
    assert await other.view().read(KEY) == b"new" * 2000


async def test_pieces_that_an_ended_process_left_are_deleted_with_the_value(
    annals: Annals, storage: AnnalsStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.write("a", b"one" * 2000)
    with monkeypatch.context() as broken:
        broken.setattr(annals.documents, "put", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            storage.view()._write("a", b"two" * 2000)
    assert "two" in json.dumps(stored(annals))
    monkeypatch.setattr(module, "ABANDONED", 0 * module.ABANDONED)
    await storage.delete("a")
    assert stored(annals) == [{"deleted": True}]


async def test_a_reader_meets_a_writer_and_gets_one_of_the_values(storage: AnnalsStorage) -> None:
    values = [bytes([number]) * 40_000 for number in b"abcdefgh"]
    await storage.write("notes", values[0])

    async def write() -> None:
        for value in values:
            await storage.write("notes", value)

    async def read() -> list[bytes | None]:
        return [await storage.view().read("notes") for _ in range(6)]

    _, *read_values = await asyncio.gather(write(), read(), read())
    assert all(value in values for some in read_values for value in some)


async def test_values_of_a_user_are_erased_with_the_user(annals: Annals) -> None:
    storage = AnnalsStorage(annals, user_id="ada")
    await storage.write("notes", b"Ada's" * 1000)
    await AnnalsStorage(annals, user_id="bob").write("notes", b"Bob's")
    assert await AnnalsStorage(annals, user_id="bob").read("notes") == b"Bob's"
    annals.users.erase("ada")
    annals.settle()
    assert await storage.view().read("notes") is None


@pytest.mark.parametrize("key", ["", "/", "../a", "a/../b", "a\\b", "x" * 600, "a\u0001b"])
async def test_a_key_that_cannot_be_is_refused(storage: AnnalsStorage, key: str) -> None:
    with pytest.raises(StorageError):
        await storage.write(key, b"value")


def test_a_key_that_may_read_and_write_is_enough(annals: Annals, annals_url: str) -> None:
    key = annals.keys.create("agent", ["read", "write"]).key
    storage = AnnalsStorage(url=annals_url, key=key)
    for number in range(MANY + 2):
        agent(storage, f"{number}" + "o" * 1500)("Go on.")
    assert len(agent(storage).messages) == 2 * (MANY + 2)
    asyncio.run(storage.delete(KEY))
    assert asyncio.run(storage.list()) == []
    storage.close()


async def test_what_annals_refuses_is_an_exception_of_strands(annals_url: str) -> None:
    storage = AnnalsStorage(url=annals_url, key="wrong")
    with pytest.raises(StorageError):
        await storage.read("notes")
    storage.close()


async def test_many_keys_are_listed_in_order(storage: AnnalsStorage) -> None:
    names = [f"a/{number:03d}" for number in range(120)]
    for name in random.Random(0).sample(names, len(names)):  # noqa: S311
        await storage.write(name, b"x")
    assert await storage.list("a/") == names
    assert await storage.list("a/11") == names[110:]
    assert await storage.namespace("a").list("11") == [name[2:] for name in names[110:]]


def snapshot(messages: list[Any], number: int) -> str:
    """A snapshot as Strands writes it."""
    state = {"n": number, "note": '"messages": [{"fake": 1}]'}
    return json.dumps({"created_at": f"2026-{number}", "data": {"messages": messages, "state": state}})


def test_pieces_are_the_text_whatever_becomes_of_the_messages() -> None:
    rng, messages, kept = random.Random(7), list[Any](), list[Piece]()  # noqa: S311
    for number in range(300):
        change = rng.random()
        if change < 0.1 and messages:
            del messages[: rng.randrange(len(messages))]
        elif change < 0.2 and messages:
            messages[rng.randrange(len(messages))] = {"role": "user", "content": [{"text": "[blocked]"}]}
        size = rng.choice([5, 50, 500, 2_000, 100_000])
        messages.append({"role": "user", "content": [{"text": f"{number} ü" + "x" * size}]})
        text = snapshot(messages, number)
        pieces = cut(text, kept)
        assert "".join(piece.text for piece in pieces) == text
        kept = [
            piece if piece.id or piece.is_inline else Piece(piece.text, f"{number}-{place}")
            for place, piece in enumerate(pieces)
        ]
        assert sum(len(piece.text) <= INLINE_CHARS for piece in kept if piece.id is None) == sum(
            piece.id is None for piece in kept
        )


def test_a_text_that_is_no_snapshot_is_cut_as_well() -> None:
    for text in ("", "x", "x" * 200_000, '"messages": [', '"messages": [{]', '"messages": [{"a": 1}, 2]' * 900):
        assert "".join(piece.text for piece in cut(text)) == text
