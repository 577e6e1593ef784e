"""Documents that several write at once, whose replies are lost, and whose writers die."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.documents.addresses import Address, Owner
from annals.documents.reading import find_document, read_document
from annals.documents.writing import NewDocument, delete_document, put_document
from annals.errors import AnnalsError, PreconditionFailed
from annals.settings import settings
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import blobs_in, files_of, no_compression

pytestmark = pytest.mark.usefixtures("database")

WRITERS = 8
PARTICIPANTS = {"userId": "ada", "memorySpaceId": "space"}
CONVERSATION = {"conversationId": "c", "type": "user-agent", "participants": PARTICIPANTS}


@pytest.fixture(autouse=True)
def folder(database: Any, tmp_path: Path, setting: Setting) -> Path:
    blobs_in(tmp_path / "blobs", setting)
    return tmp_path / "blobs"


@pytest.fixture
def address(api: Api) -> Address:
    return Address(Owner(api.caller.tenant, "agent", "bot"), "state", (), "k")


def value_of(address: Address) -> Any:
    document = find_document(address)
    read = read_document(document) if document else None
    return read[1] if read else None


def side_by_side(work: Callable[[int], Any]) -> list[Any]:
    """What came of a work that several do at once."""

    def attempt(number: int) -> Any:
        try:
            return work(number)
        except AnnalsError as refused:
            return refused

    with ThreadPoolExecutor(WRITERS) as writers:
        return list(writers.map(attempt, range(WRITERS)))


def test_of_writers_on_one_version_one_succeeds(address: Address) -> None:
    for version in range(5):
        done = side_by_side(lambda number, version=version: put_document(NewDocument(address, number, version)))

        refused = [each for each in done if isinstance(each, PreconditionFailed)]
        assert len(refused) == WRITERS - 1
        assert {each.current for each in refused} == {version + 1}
        assert value_of(address) == next(number for number, each in enumerate(done) if each not in refused)


@pytest.mark.parametrize("user_id", [None, "ada"])
def test_each_of_many_writes_counts_once(address: Address, user_id: str | None) -> None:
    done = side_by_side(lambda number: put_document(NewDocument(address, number, user_id=user_id)))

    assert sorted(each.version for each in done) == list(range(1, WRITERS + 1))


def test_a_counter_that_is_compared_loses_nothing(address: Address) -> None:
    def count(_: int) -> None:
        while True:
            document = find_document(address)
            version = document.version if document else 0
            try:
                put_document(NewDocument(address, (value_of(address) or 0) + 1, version))
            except PreconditionFailed:
                continue
            return

    side_by_side(count)

    assert value_of(address) == WRITERS


def test_atomic_batches_of_the_same_documents_do_not_mix(api: Api) -> None:
    def write(number: int) -> int:
        puts = [
            {"op": "put", "collection": "state", "key": key, "value": number, "agentId": "bot", "userId": "ada"}
            for key in "abc"
        ]
        return api.post("/v1/documents/batch", {"operations": puts, "atomic": True}).status

    assert set(side_by_side(write)) == {200}

    items = api.post("/v1/documents/list", {"collection": "state", "agentId": "bot"}).json["items"]
    assert len({(item["value"], item["version"]) for item in items}) == 1
    assert items[0]["version"] == WRITERS


def test_large_values_that_are_written_at_once_leave_one_blob(address: Address, folder: Path) -> None:
    side_by_side(lambda number: put_document(NewDocument(address, no_compression(500_000, number).hex())))

    assert len(files_of(folder)) == 1
    assert value_of(address) in [no_compression(500_000, number).hex() for number in range(WRITERS)]


def test_readers_of_a_large_value_that_is_replaced_see_one_of_them_whole(address: Address) -> None:
    texts = [no_compression(500_000, number).hex() for number in range(2)]
    put_document(NewDocument(address, texts[0]))

    def work(number: int) -> Any:
        if number % 2:
            put_document(NewDocument(address, texts[number % 4 == 1]))
            return texts[0]
        return value_of(address)

    assert set(side_by_side(work)) <= set(texts)


def lose_the_reply(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have the client library send one request twice, as where the first one's reply was lost."""
    send = getattr(client(), name)
    sent: list[Any] = []

    def twice(**request: Any) -> Any:
        if not sent:
            sent.append(send(**request))
        return send(**request)

    monkeypatch.setattr(client(), name, twice)


@pytest.mark.parametrize("if_version", [None, 0])
@pytest.mark.parametrize("user_id", [None, "ada"])
def test_a_put_whose_reply_was_lost_is_done_once(
    address: Address, monkeypatch: pytest.MonkeyPatch, if_version: int | None, user_id: str | None
) -> None:
    lose_the_reply(monkeypatch, "transact_write_items" if user_id else "update_item")

    stored = put_document(NewDocument(address, {"n": 1}, if_version, user_id=user_id))

    assert (stored.version, value_of(address)) == (1, {"n": 1})


def test_a_put_on_a_version_whose_reply_was_lost_is_done_once(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_document(NewDocument(address, 1))
    lose_the_reply(monkeypatch, "update_item")

    assert put_document(NewDocument(address, 2, 1)).version == 2
    assert value_of(address) == 2


def test_a_writer_that_dies_leaves_the_document_as_it_was_or_as_it_should_be(
    address: Address, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    put_document(NewDocument(address, no_compression(500_000, 1).hex()))

    class Died(BaseException):
        pass

    def die(**request: Any) -> Any:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(client(), "update_item", die)
        with pytest.raises(Died):
            put_document(NewDocument(address, no_compression(500_000, 2).hex()))

    assert value_of(address) == no_compression(500_000, 1).hex()
    markers = [item for item in client().scan(TableName=settings().state_table)["Items"] if "BLOB#" in item["sk"]["S"]]
    assert len(markers) >= len(files_of(folder)) == 2


def test_an_erasure_that_meets_a_put_leaves_no_document(
    api: Api, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    assert api.post("/v1/conversations", CONVERSATION).status == 201
    address = Address(Owner(api.caller.tenant, "conversation", "c"), "state", (), "k")
    update = client().update_item

    def erase_first(**request: Any) -> Any:
        monkeypatch.setattr(client(), "update_item", update)
        assert api.delete("/v1/conversations/c").status in (200, 202)
        return update(**request)

    monkeypatch.setattr(client(), "update_item", erase_first)
    answer = api.put(
        "/v1/documents",
        {"collection": "state", "key": "k", "conversationId": "c", "value": no_compression(500_000).hex()},
    )

    assert answer.problem[:2] == (410, "CONVERSATION_ERASED")
    assert find_document(address) is None
    assert not files_of(folder)


def test_of_deleters_one_finds_the_document(address: Address) -> None:
    put_document(NewDocument(address, 1))

    assert sum(side_by_side(lambda _: delete_document(address))) == 1


def test_a_small_document_costs_a_write_unit_and_a_conversation_s_no_more(api: Api) -> None:
    assert api.post("/v1/conversations", CONVERSATION).status == 201
    for owner in ({"userId": "ada"}, {"conversationId": "c"}):
        for _ in range(2):
            body = {"collection": "state", "key": "k", "value": {"text": "x" * 400}, **owner}
            answer = api.put("/v1/documents", body, x_annals_cost="1")
        assert answer.headers["x-annals-cost"].startswith("wcu=1,")
