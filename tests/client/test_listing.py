"""Lists are walked page by page, and no page is asked for that nobody wants."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from annals_client.calls import RequestSpec
from annals_client.listing import ListSpec
from tests.client.asking import Ask
from tests.client.scripted import DROPPED, Answer, RecordedRequest, scripted


def _page(*seqs: int, cursor: str | None = None) -> Answer:
    fields = {"role": "user", "timestamp": "2026-01-01T00:00:00Z"}
    items = [{**fields, "messageId": f"msg-{seq:03d}", "seq": seq, "content": str(seq)} for seq in seqs]
    return Answer(200, {"items": items, "total": 9, **({"nextCursor": cursor} if cursor else {})}, {"ETag": '"9"'})


def _query(request: RecordedRequest) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}


def _contents(messages: list[Any]) -> str:
    return "".join(message.content for message in messages)


def test_a_list_goes_on_where_its_cursor_points(ask: Ask) -> None:
    with scripted(_page(1, 2, cursor="x/y="), _page(cursor="z"), DROPPED, _page(3)) as server:
        messages = ask(server.url, lambda client: client.messages.list("c", page_size=2, roles=["user", "tool"]))
    assert _contents(messages) == "123"
    first, second, third, again = map(_query, server.requests)
    assert first == {"limit": "2", "order": "asc", "roles": "user,tool"}
    assert (second, third) == ({**first, "cursor": "x/y="}, {**first, "cursor": "z"})
    assert again == third


def test_a_limit_ends_the_walk(ask: Ask) -> None:
    with scripted(_page(9, 8, cursor="x"), _page(7, cursor="y")) as server:
        messages = ask(server.url, lambda client: client.messages.list("c", order="desc", limit=3, page_size=2))
    assert _contents(messages) == "987"
    assert [_query(request)["limit"] for request in server.requests] == ["2", "1"]


def test_a_limit_of_none_at_all_asks_nothing(ask: Ask) -> None:
    with scripted() as server:
        assert ask(server.url, lambda client: client.messages.list("c", limit=0)) == []
        assert ask(server.url, lambda client: client.messages.latest("c", 0)) == []


def test_the_latest_are_the_newest_in_chronological_order(ask: Ask) -> None:
    with scripted(_page(9, 8, cursor="x"), _page(7, cursor="y")) as server:
        assert _contents(ask(server.url, lambda client: client.messages.latest("c", 3, thread_id="t"))) == "789"
    assert _query(server.requests[0]) == {"limit": "3", "order": "desc", "threadId": "t"}


def test_pages_say_how_many_there_are_and_where_the_tail_is(ask: Ask) -> None:
    with scripted(_page(1, cursor="x"), _page(2)) as server:
        pages = ask(server.url, lambda client: client.messages.list("c").pages())
    assert [(len(page.items), page.total, page.tail_seq) for page in pages] == [(1, 9, 9), (1, 9, 9)]


@pytest.mark.parametrize(("limit", "size"), [(-1, 1), (None, 0), (None, 1001)])
def test_what_no_list_can_be_is_refused_at_once(limit: int | None, size: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        ListSpec(RequestSpec(), limit, size)
