"""No answer is larger than Lambda sends: every route of the API has more than that to give, and all of it arrives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from annals.answers import MAX_RESULT_BYTES, sent_bytes
from annals.errors import ConfigurationError
from annals.formats.references import MAX_PREFIX_CHARS
from annals.settings import Settings, settings
from local.template import ROOT
from tests.conftest import Setting
from tests.support.api import Api, Reply
from tests.support.indexing import Stream, embedded_index
from tests.support.stack import TEMPLATE

pytestmark = pytest.mark.usefixtures("tables")

FAT = '"' * 28_000 + "é" * 20_000
"""What takes 96 KB as it is stored, and twice that in an answer, where quotes are escaped twice."""

MANY = 50
"""So many fat things are more than one answer has room for."""

CHAT = "/v1/conversations/chat"
PEOPLE = {"userId": "ada", "memorySpaceId": "home"}
TOPICS = "😀" * 120
WIDE_IDS = [f"{'😀' * 124}{each:04d}" for each in range(700)]
WIDE_ID = "😀" * 120
FAT_WORD = '"' * 180_000
"""A content that takes 360 KB as it is stored."""

Asked = Iterator[Reply]


@pytest.fixture(scope="module")
def stored(tables: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A client of a tenant in which everything is many, and fat."""
    folder: Path = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patch, embedded_index(folder) as stream:
        patch.setenv("CHAT_URL", "offline")
        patch.setenv("BLOBS_FOLDER", str(folder / "blobs"))
        settings.cache_clear()
        api = Api.of("fat")
        _fill(api, stream)
        yield api


def _fill(api: Api, stream: Stream) -> None:
    chat = {"type": "user-agent", "participants": PEOPLE, "metadata": {"a": FAT}}
    assert api.post("/v1/conversations", {**chat, "conversationId": "chat"}).status == 201
    response = api.post("/v1/memories", {"memorySpaceId": "vault", "userId": "eve", "content": "first"})
    assert response.status == 201, response.body[:500]
    big = response.json["memoryId"]
    BIG.append(big)
    for each in range(11):
        assert api.patch(f"/v1/memories/{big}", {"content": f"{FAT_WORD}{each}"}).status == 200
    for each in range(MANY):
        message = {"role": "user", "content": f"river {each}", "metadata": {"a": FAT}, "runId": f"run-{each}"}
        fact = {"fact": f"river {each}", "subject": f"river {each}", "predicate": "is", "object": "fat"}
        source = {"conversationId": "chat", "messageIds": ["msg-001"]}
        spaces = [f"space-{number:0100d}" for number in range(1_000)]
        topics = [f"{TOPICS}{each:03d}{number:03d}" for number in range(100)]
        for path, body in (
            (f"{CHAT}/messages", message),
            ("/v1/conversations", {**chat, "conversationId": f"conv-{each:03d}"}),
            (f"/v1/conversations/conv-{each:03d}/messages", {"role": "user", "content": "river"}),
            ("/v1/memories", {**PEOPLE, "content": f"river {each}", "metadata": {"a": FAT}}),
            ("/v1/facts", {**PEOPLE, **fact, "metadata": {"a": FAT}, "sourceRef": source}),
            ("/v1/users/ada/memories", {"memory": f"river {each}", "topics": topics, "metadata": {"a": FAT}}),
            ("/v1/keys", {"name": f"key {each}", "scopes": ["read"], "memorySpaces": spaces}),
        ):
            answer = api.post(path, body)
            assert answer.status == 201, answer.body[:500]
    stream.deliver()
    stream.deliver_ledger()


BIG: list[str] = []
"""The id of the memory whose versions are fat."""


def _pages(api: Api, path: str) -> Asked:
    """The pages of a list."""
    cursor = ""
    for _ in range(200):
        answer = api.get(path + (f"&cursor={quote(cursor)}" if cursor else ""))
        yield answer
        cursor = answer.json.get("nextCursor", "") if answer.status == 200 else ""
        if not cursor:
            return
    raise AssertionError(f"{path} has no last page")


def _list(path: str, name: str, count: int) -> Callable[[Api], Asked]:
    """Asks a list to its end: all of it arrives, each item once, and no page is empty."""

    def ask(api: Api) -> Asked:
        pages = list(_pages(api, path))
        ids = [item[name] for page in pages for item in page.json["items"]]
        assert all(page.json["items"] for page in pages)
        assert len(ids) == len(set(ids)) == count, (len(ids), len(set(ids)))
        assert len(pages) > 1
        yield from pages

    return ask


def _once(method: str, path: str, body: Any = None) -> Callable[[Api], Asked]:
    def ask(api: Api) -> Asked:
        yield api.send(method, path.replace("{big}", BIG[0]), body)

    return ask


def _get_many(api: Api) -> Asked:
    """Ids that an answer leaves out are requested again, until none is."""
    expected = [f"msg-{seq:03d}" for seq in range(1, MANY + 1)]
    received: list[str] = []
    left = [*expected, "msg-999"]
    while left:
        answer = api.post(f"{CHAT}/messages/get-many", {"messageIds": left})
        yield answer
        received += [message["messageId"] for message in answer.json["items"]]
        assert answer.json["items"]
        left = answer.json.get("omitted", [])
    assert received == expected


def _history(api: Api) -> Asked:
    for order in ("asc", "desc"):
        yield from _list(f"{CHAT}/messages?limit=1000&order={order}", "seq", MANY)(api)
    yield from _list(f"{CHAT}/messages?limit=1000", "seq", MANY)(api)
    runs = api.get(f"{CHAT}/messages?lastRuns=100")
    yield runs
    assert runs.json["omitted"] is True
    older = list(_pages(api, f"{CHAT}/messages?limit=1000&before={runs.json['items'][0]['seq']}"))
    yield from older
    seqs = [message["seq"] for page in (runs, *older) for message in page.json["items"]]
    assert sorted(seqs) == list(range(1, MANY + 1))


def _context(api: Api) -> Asked:
    answer = api.get(f"{CHAT}/context?maxTokens=10000000&includeSummary=true")
    messages = answer.json["messages"]
    assert messages[-1]["seq"] == MANY
    assert answer.json["omitted"]["count"] == MANY - len(messages) > 0
    yield answer
    yield api.get(f"{CHAT}/context?maxTokens=1")


def _included(api: Api) -> Asked:
    answer = api.get(f"{CHAT}?include=messages,facts,summary")
    assert answer.json["omitted"] == ["messages", "facts"]
    yield answer
    assert "omitted" not in api.get("/v1/conversations/conv-001?include=messages,facts,summary").json


def _sorted_lists(api: Api) -> Asked:
    for key in ("lastMessageAt", "createdAt", "updatedAt", "messageCount"):
        yield from _list(f"/v1/conversations?limit=1000&sortBy={key}", "conversationId", MANY + 1)(api)


def _whole(api: Api, path: str, body: Any, count: int | None = None) -> Asked:
    """Asks for what has no cursor: what is left out is counted."""
    answer = api.post(path, body) if body is not None else api.get(path)
    assert answer.json["omitted"] > 0
    if count is not None:
        assert len(answer.json["items"]) + answer.json["omitted"] == count
    yield answer


def _user_searches(api: Api) -> Asked:
    for query in ({"method": "last_n"}, {"method": "first_n"}, {"method": "text", "query": "river"}):
        yield from _whole(api, "/v1/users/ada/memories/search", {**query, "limit": 1000}, MANY)
    newest = api.post("/v1/users/ada/memories/search", {"method": "last_n", "limit": 1000}).json["items"]
    assert newest[-1]["memory"] == f"river {MANY - 1}"
    yield from _whole(api, "/v1/users/ada/memories/search", {"method": "semantic", "query": "river", "limit": 1000})


def _recall(api: Api) -> Asked:
    body = {"query": "river", "limit": 1000, "maxTokens": 1_000_000, "conversationId": "chat", "history": 100}
    answer = api.post("/v1/memory/recall", body)
    assert answer.json["omitted"]["items"] > 0
    yield answer


def _memory(api: Api) -> Asked:
    path = f"/v1/memories/{BIG[0]}"
    read, changed = api.get(path), api.patch(path, {"importance": 1})
    for answer in (read, changed):
        assert len(answer.json["previousVersions"]) + answer.json["omitted"] == 10
        yield answer


def _by_external_id(path: str, query: str, body: Any) -> Callable[[Api], Asked]:
    """Replaces a memory under an id of its own until its versions are more than one answer holds, and reads it."""

    def ask(api: Api) -> Asked:
        for each in range(12):
            yield api.put(path, {**body, "metadata": {"a": f"{FAT_WORD[:170_000]}{each}"}})
        yield api.get(f"{path}{query}")

    return ask


def _draft(api: Api) -> Asked:
    """Messages that grow to what an entry holds: one is completed, the other one is shown as it is."""
    path = f"{CHAT}/messages/{quote(WIDE_ID)}"
    half = {"role": "user", "content": FAT_WORD[:90_000]}
    for more in ({"revision": 1}, {"revision": 2}, {"revision": 3, "content": "", "completed": True}):
        yield api.put(path, {**half, **more})
    yield api.put(f"{path}-next", {"role": "user", "content": FAT_WORD, "metadata": {"a": "b"}})
    yield api.get(f"{CHAT}/messages?drafts=true&limit=1000")


def _run(api: Api) -> Asked:
    """A run whose data are as large as an answer can hold them."""
    path = f"{CHAT}/runs/{quote(WIDE_ID)}"
    yield api.put(path, {"status": "x", "error": '"' * 10_000, "data": '"' * 1_490_000})
    yield api.get(path)


def _list_runs(api: Api) -> Asked:
    api.delete(f"{CHAT}/runs/{quote(WIDE_ID)}")
    for number in range(MANY):
        assert api.put(f"{CHAT}/runs/r-{number}", {"status": "x", "data": FAT}).status == 201
    yield from _list(f"{CHAT}/runs?limit=1000&includeData=true", "runId", MANY)(api)


OF_BATCH = {"collection": "batch"}


def _document(api: Api) -> Asked:
    """A document as large as one may be."""
    yield api.put("/v1/documents", {"collection": "fat", "key": "whole", "value": '"' * 1_490_000})
    yield api.get("/v1/documents?collection=fat&key=whole")


def _batch(api: Api) -> list[str]:
    """Documents that no answer holds together, in a namespace of wide labels each; their keys."""
    keys = [f"key-{number:03d}" for number in range(MANY)]
    for key in keys:
        new = {**OF_BATCH, "namespace": [WIDE_ID[:200]] * 15 + [key], "key": "k", "value": FAT}
        assert api.put("/v1/documents", new).status in (200, 201)
        assert api.put("/v1/documents", {**OF_BATCH, "key": key, "value": FAT}).status in (200, 201)
    return keys


def _documents(api: Api) -> Asked:
    operations = [{**OF_BATCH, "op": "get", "key": key} for key in _batch(api)[:100]]
    answer = api.post("/v1/documents/batch", {"operations": operations})
    assert sum(result.get("omitted", False) for result in answer.json["results"]) > 0
    yield answer


def _posted_pages(api: Api, path: str, body: dict[str, Any], count: int) -> Asked:
    """The pages of a list that is asked for by a body, to its end: all of it arrives."""
    items = 0
    for _ in range(200):
        answer = api.post(path, body)
        yield answer
        items += len(answer.json["items"])
        if "nextCursor" not in answer.json:
            break
        body = {**body, "cursor": answer.json["nextCursor"]}
    assert items == count


def _list_documents(api: Api) -> Asked:
    body = {**OF_BATCH, "namespacePrefix": [], "limit": 1000}
    yield from _posted_pages(api, "/v1/documents/list", body, 2 * len(_batch(api)))


def _list_namespaces(api: Api) -> Asked:
    body = {**OF_BATCH, "limit": 1000}
    yield from _posted_pages(api, "/v1/documents/namespaces", body, len(_batch(api)) + 1)


def _rewind(api: Api) -> Asked:
    """All messages of a conversation at once; those for which the answer has no room are named."""
    back = {"type": "user-agent", "participants": PEOPLE, "conversationId": "back"}
    assert api.post("/v1/conversations", back).status == 201
    for _ in range(MANY):
        fat = {"role": "user", "content": "river", "metadata": {"a": FAT}}
        assert api.post("/v1/conversations/back/messages", fat).status == 201
    yield api.post("/v1/conversations/back/rewind", {"messages": 1})
    answer = api.post("/v1/conversations/back/rewind", {"toSeq": 0})
    assert answer.json["omitted"] is True
    yield answer


def _upload(api: Api) -> Asked:
    yield api.post(
        "/v1/parts",
        {"sha256": "0" * 64, "size": 100_000_000, "mediaType": f"image/{'x' * 94}", "prefix": '"' * MAX_PREFIX_CHARS},
    )


def _part(api: Api) -> Asked:
    """The URL of a large part, and the message with the part in its place where an answer has room for it."""
    for chars, is_inline in ((900_000, True), (2_900_000, False)):
        text = '"' * chars
        appended = api.post(
            f"{CHAT}/messages", {"role": "user", "content": "", "parts": [{"type": "text", "text": text}]}
        )
        yield appended
        (message,) = appended.json["messages"]
        yield api.get(message["parts"][0]["text"]["$annalsPart"]["url"])
        whole = api.get(f"{CHAT}/messages/{message['messageId']}?parts=inline")
        assert (whole.json["parts"][0]["text"] == text) is is_inline
        yield whole


TURN = {**PEOPLE, "userMessage": FAT_WORD[:80_000], "agentResponse": "b", "metadata": {"a": FAT[:20_000]}}
SAID = {"role": "user", "content": FAT_WORD}
FACTS = [
    {"fact": '"' * 4_000, "subject": f"{each}", "predicate": "p", "object": "o", "metadata": {"a": '"' * 2_000}}
    for each in range(25)
]

_OF_EVE = _by_external_id(
    f"/v1/memories/by-external-id/{quote(WIDE_ID)}",
    "?memorySpaceId=vault&userId=eve",
    {"memorySpaceId": "vault", "userId": "eve", "content": "tea"},
)
_OF_BOB = _by_external_id(f"/v1/users/bob/memories/by-external-id/{quote(WIDE_ID)}", "", {"memory": "tea"})

ASKED: dict[tuple[str, str], Callable[[Api], Asked]] = {
    ("get", "/v1/conversations"): _sorted_lists,
    ("get", "/v1/conversations/count"): _once("GET", "/v1/conversations/count"),
    ("get", "/v1/conversations/{conversationId}"): _included,
    ("get", "/v1/conversations/{conversationId}/messages"): _history,
    ("post", "/v1/conversations/{conversationId}/messages/get-many"): _get_many,
    ("get", "/v1/conversations/{conversationId}/messages/{messageId}"): _once("GET", f"{CHAT}/messages/msg-001"),
    ("get", "/v1/conversations/{conversationId}/context"): _context,
    ("get", "/v1/conversations/{conversationId}/analytics"): _once("GET", f"{CHAT}/analytics"),
    ("get", "/v1/conversations/{conversationId}/verify"): _once("GET", f"{CHAT}/verify"),
    ("post", "/v1/conversations/{conversationId}/summarize"): _once("POST", f"{CHAT}/summarize", {}),
    ("post", "/v1/conversations/search"): lambda api: _whole(
        api, "/v1/conversations/search", {"query": "river", "limit": 1000}
    ),
    ("get", "/v1/facts"): _list("/v1/facts?limit=1000", "factId", MANY),
    ("get", "/v1/facts/{factId}"): lambda api: _first(api, "/v1/facts?limit=1", "/v1/facts/{}", "factId"),
    ("get", "/v1/memories"): _list("/v1/memories?limit=1000&memorySpaceId=home", "memoryId", 4 * MANY),
    ("get", "/v1/memories/count"): _once("GET", "/v1/memories/count"),
    ("get", "/v1/memories/{memoryId}"): _memory,
    ("get", "/v1/memories/{memoryId}/versions"): lambda api: _list(
        f"/v1/memories/{BIG[0]}/versions?limit=1000", "version", 11
    )(api),
    ("get", "/v1/memories/{memoryId}/versions/{number}"): _once("GET", "/v1/memories/{big}/versions/9"),
    ("post", "/v1/memory/search"): lambda api: _whole(api, "/v1/memory/search", {"query": "river", "limit": 1000}),
    ("post", "/v1/memory/recall"): _recall,
    ("get", "/v1/users/{userId}/memories"): _list("/v1/users/ada/memories?limit=1000", "memoryId", MANY),
    ("post", "/v1/users/{userId}/memories/search"): _user_searches,
    ("get", "/v1/users/{userId}/memories/topics"): lambda api: _whole(
        api, "/v1/users/ada/memories/topics", None, 100 * MANY
    ),
    ("get", "/v1/keys"): _list("/v1/keys?limit=1000", "keyId", MANY),
    ("get", "/v1/spaces/{memorySpaceId}"): lambda api: _first_put(api),
    ("get", "/v1/health"): _once("GET", "/v1/health"),
    # What writes answers with what it wrote, which fits into an item.
    ("post", "/v1/conversations"): _once(
        "POST", "/v1/conversations", {"type": "user-agent", "participants": PEOPLE, "metadata": {"a": FAT}}
    ),
    ("put", "/v1/conversations/by-participants"): _once(
        "PUT",
        "/v1/conversations/by-participants",
        {"type": "user-agent", "participants": PEOPLE, "metadata": {"a": FAT}},
    ),
    ("put", "/v1/conversations/{conversationId}/runs/{runId}"): _run,
    ("get", "/v1/conversations/{conversationId}/runs/{runId}"): _run,
    ("get", "/v1/conversations/{conversationId}/runs"): _list_runs,
    ("put", "/v1/conversations/by-session"): _once(
        "PUT", "/v1/conversations/by-session", {"sessionId": "s", "participants": PEOPLE, "metadata": {"a": FAT}}
    ),
    ("get", "/v1/conversations/by-session"): lambda api: _session(api),
    ("patch", "/v1/conversations/{conversationId}"): _once("PATCH", CHAT, {"metadata": {"b": "c"}}),
    ("post", "/v1/conversations/{conversationId}/messages"): _once("POST", f"{CHAT}/messages", SAID),
    ("put", "/v1/conversations/{conversationId}/messages/{messageId}"): _draft,
    ("post", "/v1/parts"): _upload,
    ("get", "/v1/conversations/{conversationId}/messages/{messageId}/parts/{sha256}"): _part,
    ("post", "/v1/conversations/{conversationId}/preamble"): _once("POST", f"{CHAT}/preamble", {"content": FAT_WORD}),
    ("post", "/v1/conversations/{conversationId}/archive"): _once("POST", f"{CHAT}/archive", {"before": 2}),
    ("post", "/v1/conversations/{conversationId}/messages/{messageId}/redact"): _once(
        "POST", f"{CHAT}/messages/msg-001/redact", {"reason": FAT_WORD[:1_000]}
    ),
    ("post", "/v1/conversations/{conversationId}/seal"): _once("POST", f"{CHAT}/seal"),
    ("post", "/v1/conversations/import"): _once(
        "POST", "/v1/conversations/import?memorySpaceId=home&userId=ada", '{"messages":[{"role":"user","content":"a"}]}'
    ),
    ("post", "/v1/conversations/delete-many"): _once(
        "POST", "/v1/conversations/delete-many", {"filter": {"type": "user-agent"}, "dryRun": True}
    ),
    ("post", "/v1/a2a/messages"): _once("POST", "/v1/a2a/messages", {"from": "a", "to": "b", "text": FAT_WORD}),
    ("post", "/v1/memory/remember"): _once("POST", "/v1/memory/remember", {**TURN, "facts": FACTS}),
    ("post", "/v1/memory/remember-facts"): _once(
        "POST",
        "/v1/memory/remember-facts",
        {"memorySpaceId": "home", "conversationId": "chat", "messageIds": ["msg-002"], "facts": FACTS},
    ),
    ("post", "/v1/memories"): _once("POST", "/v1/memories", {**PEOPLE, "content": FAT_WORD}),
    ("patch", "/v1/memories/{memoryId}"): _memory,
    ("put", "/v1/memories/by-external-id/{externalId}"): _OF_EVE,
    ("get", "/v1/memories/by-external-id/{externalId}"): _OF_EVE,
    ("post", "/v1/memories/{memoryId}/archive"): _once("POST", "/v1/memories/{big}/archive"),
    ("post", "/v1/memories/{memoryId}/restore"): _once("POST", "/v1/memories/{big}/restore"),
    ("post", "/v1/memories/delete-many"): _once(
        "POST", "/v1/memories/delete-many", {"memorySpaceId": "home", "filter": {"userId": "ada"}, "dryRun": True}
    ),
    ("post", "/v1/facts"): _once("POST", "/v1/facts", {**PEOPLE, **FACTS[0], "metadata": {"a": FAT}}),
    ("post", "/v1/users/{userId}/memories"): _once(
        "POST", "/v1/users/bob/memories", {"memory": "m", "metadata": {"a": FAT_WORD}}
    ),
    ("put", "/v1/users/{userId}/memories/by-external-id/{externalId}"): _OF_BOB,
    ("get", "/v1/users/{userId}/memories/by-external-id/{externalId}"): _OF_BOB,
    ("patch", "/v1/users/{userId}/memories/{memoryId}"): lambda api: _first(
        api, "/v1/users/ada/memories?limit=1", "/v1/users/ada/memories/{}", "memoryId", {"metadata": {"b": FAT}}
    ),
    ("put", "/v1/spaces/{memorySpaceId}"): lambda api: _first_put(api),
    ("post", "/v1/keys"): _once("POST", "/v1/keys", {"name": "wide", "scopes": ["read"], "memorySpaces": WIDE_IDS}),
    ("get", "/v1/receipts/{receiptId}"): lambda api: _receipt(api),
    ("put", "/v1/documents"): _document,
    ("get", "/v1/documents"): _document,
    ("post", "/v1/documents/batch"): _documents,
    ("post", "/v1/documents/list"): _list_documents,
    ("post", "/v1/documents/namespaces"): _list_namespaces,
    ("post", "/v1/documents/delete-many"): _once("POST", "/v1/documents/delete-many", OF_BATCH),
    ("delete", "/v1/documents"): _once("DELETE", "/v1/documents?collection=fat&key=whole"),
    ("post", "/v1/conversations/{conversationId}/rewind"): _rewind,
    ("delete", "/v1/conversations/{conversationId}"): _once("DELETE", "/v1/conversations/conv-002"),
    ("delete", "/v1/users/{userId}/memories"): _once("DELETE", "/v1/users/bob/memories"),
    ("delete", "/v1/users/{userId}"): _once("DELETE", "/v1/users/bob"),
}
"""How each route with a JSON answer is called so that it gives as much as it can; what destroys comes last."""


def _first(api: Api, listed: str, path: str, name: str, change: Any = None) -> Asked:
    (item,) = api.get(listed).json["items"]
    one = path.format(quote(item[name]))
    yield api.get(one) if change is None else api.patch(one, change)


def _session(api: Api) -> Asked:
    yield api.put("/v1/conversations/by-session", {"sessionId": "fat", "metadata": {"a": FAT}})
    yield api.get("/v1/conversations/by-session?sessionId=fat")


def _first_put(api: Api) -> Asked:
    people = [{"participantId": f"{each}", "name": '"' * 100} for each in range(500)]
    yield api.put("/v1/spaces/home", {"metadata": {"a": FAT}, "participants": people})
    yield api.get("/v1/spaces/home")


def _receipt(api: Api) -> Asked:
    receipt = api.delete("/v1/conversations/conv-003").json
    yield api.get(f"/v1/receipts/{receipt['receiptId']}")


STREAMED = {(route.method.lower(), route.resource) for route in TEMPLATE.routes if route.streams}
"""The routes whose answers are streamed: these may be larger."""


def documented() -> list[tuple[str, str]]:
    """Every route whose answer is one JSON text, as the API's document has them."""
    paths: dict[str, dict[str, Any]] = json.loads((ROOT / "openapi.json").read_text())["paths"]
    return [
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "patch", "delete")
        and (method, path) not in STREAMED
        and any(
            "application/json" in answer.get("content", {})
            for status, answer in operation["responses"].items()
            if status.startswith("2") and status != "204"
        )
    ]


def test_every_documented_route_is_asked() -> None:
    assert sorted(documented()) == sorted(ASKED)


@pytest.mark.parametrize("route", ASKED, ids=" ".join)
def test_what_a_route_answers_fits_into_what_lambda_sends(stored: Api, route: tuple[str, str]) -> None:
    for answer in ASKED[route](stored):
        assert answer.status in (200, 201, 202), answer.body[:500]
        assert sent_bytes(answer.json) < MAX_RESULT_BYTES - 10_000


def test_an_import_of_more_conversations_than_an_answer_can_name_counts_the_others(
    stored: Api, setting: Setting
) -> None:
    setting("MAX_PAGE_BYTES", "1000")
    line = '{"messages":[{"role":"user","content":"hello %d"}]}'
    body = "\n".join(line % each for each in range(20))
    answer = stored.post("/v1/conversations/import?memorySpaceId=hall&userId=ada", body)
    assert answer.status == 200
    assert len(answer.json["conversations"]) + answer.json["omitted"] == 20
    assert answer.json["omitted"] > 0


def test_what_a_problem_quotes_of_a_request_is_bounded(stored: Api) -> None:
    name = '"' * 2_000_000
    answer = stored.post("/v1/conversations", {name: 1})
    assert answer.problem[:2] == (422, "UNKNOWN_FIELD") or answer.problem[0] == 422
    assert len(answer.body) < 20_000


def test_the_figures_of_more_participants_than_an_answer_can_name_count_the_others(
    stored: Api, setting: Setting
) -> None:
    setting("MAX_PAGE_BYTES", "2000")
    new = {"type": "user-agent", "participants": PEOPLE, "conversationId": "crowd"}
    assert stored.post("/v1/conversations", new).status == 201
    messages = [{"role": "user", "content": "a", "participantId": f"person {each:0100d}"} for each in range(50)]
    assert stored.post("/v1/conversations/crowd/messages", {"messages": messages}).status == 201
    figures = stored.get("/v1/conversations/crowd/analytics").json
    assert len(figures["byParticipant"]) + figures["omitted"]["byParticipant"] == 50


def test_a_single_message_over_the_budget_comes_alone(stored: Api, setting: Setting) -> None:
    setting("MAX_PAGE_BYTES", "1")
    pages = list(_pages(stored, "/v1/conversations/crowd/messages?limit=10"))
    assert all(len(page.json["items"]) == 1 for page in pages)
    assert len(pages) == 50


def test_the_budget_cannot_be_set_above_what_lambda_sends() -> None:
    with pytest.raises(ConfigurationError, match="MAX_PAGE_BYTES"):
        Settings.from_env({"MAX_PAGE_BYTES": "6000000"})
