"""Documents by the client, against the development server."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from annals_client import (
    Annals,
    DocumentDelete,
    DocumentGet,
    DocumentPut,
    Forbidden,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
)
from tests.client.asking import Ask
from tests.e2e.asking import unique
from tests.e2e.client.faults import harmed
from tests.e2e.servers import Server


@pytest.fixture
def user(server: Server) -> str:
    """The id of a user who has no documents yet."""
    return unique("user")


def test_a_document_is_stored_read_listed_and_deleted(server: Server, ask: Ask, user: str) -> None:
    def put(client: Any) -> Any:
        return client.documents.put("state", "k", {"n": [1, None]}, namespace=("a", "b"), user_id=user, ttl_s=60)

    stored = ask(server.url, put, key=server.key)
    found = ask(
        server.url,
        lambda client: client.documents.get("state", "k", namespace=("a", "b"), user_id=user),
        key=server.key,
    )

    assert stored == found
    assert (found.value, found.version, found.namespace, found.user_id) == ({"n": [1, None]}, 1, ("a", "b"), user)
    assert ask(server.url, lambda client: client.documents.list("state", user_id=user), key=server.key) == [found]
    names = ask(server.url, lambda client: client.documents.namespaces("state", user_id=user), key=server.key)
    assert names == [("a", "b")]

    def delete(client: Any) -> Any:
        return client.documents.delete("state", "k", namespace=["a", "b"], user_id=user)

    assert [ask(server.url, delete, key=server.key) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("key", ["k", "é" * 512])
def test_what_is_not_there_is_none(server: Server, ask: Ask, user: str, key: str) -> None:
    assert ask(server.url, lambda client: client.documents.get("state", key, user_id=user), key=server.key) is None
    assert not ask(server.url, lambda client: client.documents.delete("state", key, user_id=user), key=server.key)


def test_a_conversation_that_is_not_there_is_no_missing_document(server: Server, ask: Ask) -> None:
    with pytest.raises(NotFound) as refused:
        ask(server.url, lambda client: client.documents.get("state", "k", conversation_id="nowhere"), key=server.key)
    assert refused.value.code == "CONVERSATION_NOT_FOUND"


def test_another_version_is_refused_with_the_stored_one(server: Server, ask: Ask, user: str) -> None:
    with Annals(server.url, server.key) as annals:
        for value in (1, 2):
            annals.documents.put("state", "k", value, user_id=user)

    for refused in (
        lambda client: client.documents.put("state", "k", 3, user_id=user, if_version=1),
        lambda client: client.documents.delete("state", "k", user_id=user, if_version=1),
        lambda client: client.documents.batch([put(user, if_version=1)]),
        lambda client: client.documents.batch([put(user, if_version=1)], atomic=True),
    ):
        with pytest.raises(PreconditionFailed) as failure:
            ask(server.url, refused, key=server.key)
        assert failure.value.current == 2


def put(user: str, key: str = "k", **more: Any) -> DocumentPut:
    return DocumentPut(collection="state", key=key, user_id=user, **{"value": 3, **more})


def test_a_batch_of_any_length_is_done_in_order(server: Server, ask: Ask, user: str) -> None:
    keys = [f"{number:03}" for number in range(230)]
    operations = [
        *(put(user, key, value={"key": key}) for key in keys),
        *(DocumentGet(collection="state", key=key, user_id=user) for key in keys),
        *(DocumentDelete(collection="state", key=key, user_id=user) for key in keys[1:]),
    ]

    results = ask(server.url, lambda client: client.documents.batch(operations), key=server.key)

    assert [result.document.value["key"] for result in results[:460]] == keys * 2
    assert all(result.deleted for result in results[460:])
    left = ask(server.url, lambda client: client.documents.list("state", user_id=user), key=server.key)
    assert [document.key for document in left] == keys[:1]


def test_large_values_are_read_and_written_together(server: Server, ask: Ask, user: str) -> None:
    values = {f"{number}": "x" * 1_500_000 + f"{number}" for number in range(6)}

    ask(
        server.url,
        lambda client: client.documents.batch([put(user, key, value=value) for key, value in values.items()]),
        key=server.key,
    )

    gets = [DocumentGet(collection="state", key=key, user_id=user) for key in values]
    results = ask(server.url, lambda client: client.documents.batch(gets), key=server.key)
    assert [result.document.value for result in results] == [*values.values()]
    listed = ask(server.url, lambda client: client.documents.list("state", user_id=user), key=server.key)
    assert [document.value for document in listed] == [*values.values()]


WRITES = [
    lambda client, user: client.documents.put("state", "k", 3, user_id=user),
    lambda client, user: client.documents.put("state", "k", 3, user_id=user, if_version=0),
    lambda client, user: client.documents.batch([put(user), put(user, "other", if_version=0)]),
    lambda client, user: client.documents.batch([put(user), put(user, "other", if_version=0)], atomic=True),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_answer_was_lost_is_done_once(
    server: Server, ask: Ask, user: str, write: Callable[[Any, str], Any]
) -> None:
    with harmed(server.url, 0, 0) as proxy:
        ask(proxy.url, lambda client: write(client, user), key=server.key)

    found = ask(server.url, lambda client: client.documents.get("state", "k", user_id=user), key=server.key)
    assert len(proxy.asked) == 3
    assert (found.value, found.version) == (3, 1)


def test_what_is_no_json_is_refused_before_it_is_sent(server: Server, ask: Ask, user: str) -> None:
    with pytest.raises(InvalidArgument):
        ask(server.url, lambda client: client.documents.put("state", "k", {1, 2}, user_id=user), key=server.key)


def test_a_key_for_a_space_sees_its_documents_alone(server: Server, ask: Ask, user: str) -> None:
    with Annals(server.url, server.key) as annals:
        key = annals.keys.create("limited", ["read", "write"], memory_spaces=["one"]).key
        annals.documents.put("state", user, 1, memory_space_id="one")
        annals.documents.put("state", user, 2, memory_space_id="two")

    assert (
        ask(server.url, lambda client: client.documents.get("state", user, memory_space_id="one"), key=key).value == 1
    )
    with pytest.raises(NotFound):
        ask(server.url, lambda client: client.documents.get("state", user, memory_space_id="two"), key=key)
    for owner in ({"user_id": user}, {}):
        with pytest.raises(Forbidden):
            ask(server.url, lambda client, owner=owner: client.documents.get("state", user, **owner), key=key)


def test_many_are_deleted_at_once(server: Server, ask: Ask, user: str) -> None:
    with Annals(server.url, server.key) as annals:
        annals.documents.batch([put(user, key, namespace=[key[:1]]) for key in ("a1", "a2", "b1")])

    def delete(client: Any) -> Any:
        return client.documents.delete_many("state", namespace_prefix=["a"], user_id=user)

    assert ask(server.url, delete, key=server.key) == 2


def read_bytes(server: Server, ask: Ask, user: str, key: str = "f") -> bytes | None:
    found = ask(server.url, lambda client: client.documents.get_bytes("files", key, user_id=user), key=server.key)
    return None if found is None else bytes(found)


def keys_of(server: Server, collection: str, user: str) -> list[str]:
    with Annals(server.url, server.key) as annals:
        return [each.key for each in annals.documents.list(collection, user_id=user)]


@pytest.mark.parametrize("size", [0, 1_000, 6_000_000])
def test_bytes_of_any_size_come_back_and_leave_nothing_behind(server: Server, ask: Ask, user: str, size: int) -> None:
    data = bytes(number % 251 for number in range(size))

    assert read_bytes(server, ask, user) is None
    for each in (data, data[::-1]):
        ask(
            server.url,
            lambda client, each=each: client.documents.put_bytes("files", "f", each, user_id=user),
            key=server.key,
        )
        assert read_bytes(server, ask, user) == each
    assert len(keys_of(server, "files.bytes", user)) == (3 if size > 2_500_000 else 0)
    assert ask(server.url, lambda client: client.documents.delete_bytes("files", "f", user_id=user), key=server.key)
    assert [*keys_of(server, "files", user), *keys_of(server, "files.bytes", user)] == []


def test_bytes_are_replaced_on_a_version_only(server: Server, ask: Ask, user: str) -> None:
    large = b"x" * 3_000_000
    with Annals(server.url, server.key) as annals:
        annals.documents.put_bytes("files", "f", large, user_id=user)
        with pytest.raises(PreconditionFailed):
            annals.documents.put_bytes("files", "f", large[::-1], user_id=user, if_version=0)
        annals.documents.put("files", "g", 1, user_id=user)

    assert read_bytes(server, ask, user) == large
    assert len(keys_of(server, "files.bytes", user)) == 2
    with pytest.raises(InvalidArgument):
        read_bytes(server, ask, user, "g")


def test_bytes_that_several_replace_at_once_are_one_of_theirs_whole(server: Server, ask: Ask, user: str) -> None:
    wholes = [bytes([number]) * 3_000_000 for number in range(4)]

    def put(data: bytes) -> None:
        with Annals(server.url, server.key) as annals:
            annals.documents.put_bytes("files", "f", data, user_id=user)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, wholes))

    assert read_bytes(server, ask, user) in wholes
    assert len(keys_of(server, "files.bytes", user)) == 2
