"""Lists, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

import httpx

from annals_client.calls import Call, Repeat, RequestSpec, Route, Steps, reader
from annals_client.models import Page
from annals_client.wire import invalid

T = TypeVar("T")

MAX_PAGE = 1000


@dataclass(frozen=True)
class ListSpec:
    """What to read of a list: at most ``limit`` items, all of them if it is None, in pages of ``page_size``."""

    request: RequestSpec
    limit: int | None = None
    page_size: int = 100

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise invalid("limit", f"must be a whole number from 0, not {self.limit}")
        if not 1 <= self.page_size <= MAX_PAGE:
            raise invalid("page_size", f"must be from 1 to {MAX_PAGE}, not {self.page_size}")


class PageWalk(Generic[T]):
    """A walk through the pages of a list: it gives the next call, and takes each answer."""

    def __init__(self, route: Route, spec: ListSpec, read: Callable[[httpx.Response], Page[T]]) -> None:
        self._route = route
        self._spec = spec
        self._read = read
        self._left = spec.limit
        self._cursor: str | None = None
        self._is_over = spec.limit == 0

    def next_call(self) -> Call[Page[T]] | None:
        """The call of the next page, or None where there is none."""
        if self._is_over:
            return None
        size = self._spec.page_size if self._left is None else min(self._left, self._spec.page_size)
        cursor = {"cursor": self._cursor} if self._cursor else {}
        request = self._spec.request
        if request.body is None:
            request = replace(request, query={**request.query, "limit": str(size), **cursor})
        else:
            request = replace(request, body={**request.body, "limit": size, **cursor})
        return Call.of(self._route, request, self._read, Repeat.SAFELY)

    def take(self, page: Page[T]) -> Page[T]:
        """Note a page, and return it."""
        self._cursor = page.next_cursor
        if self._left is not None:
            self._left -= len(page.items)
        self._is_over = page.next_cursor is None or (self._left is not None and self._left <= 0)
        return page


def collect_items(walk: PageWalk[T]) -> Steps[list[T]]:
    """All items of a walk, as one list."""
    items: list[T] = []
    while call := walk.next_call():
        items += walk.take((yield call)).items
    return items


class Listing(Generic[T]):
    """A list that is read as it is iterated. Iterating it again reads it again."""

    def __init__(self, walk: Callable[[], PageWalk[T]], send: Callable[[Call[Page[T]]], Page[T]]) -> None:
        self._walk = walk
        self._send = send

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[T]]:
        """The pages, as the server gives them."""
        walk = self._walk()
        while call := walk.next_call():
            yield walk.take(self._send(call))


class AsyncListing(Generic[T]):
    """A list that is read as it is iterated. Iterating it again reads it again."""

    def __init__(self, walk: Callable[[], PageWalk[T]], send: Callable[[Call[Page[T]]], Awaitable[Page[T]]]) -> None:
        self._walk = walk
        self._send = send

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[Page[T]]:
        """The pages, as the server gives them."""
        walk = self._walk()
        while call := walk.next_call():
            yield walk.take(await self._send(call))


def page_reader(kind: type[T]) -> Callable[[httpx.Response], Page[T]]:
    """What reads a page of such items. The ETag of a page of messages is the newest seq."""
    read = reader(cast("type[Page[T]]", Page.__class_getitem__(kind)))

    def read_page(response: httpx.Response) -> Page[T]:
        page, tail = read(response), response.headers.get("ETag", "").strip('"')
        return page.model_copy(update={"tail_seq": int(tail)}) if tail.isdigit() else page

    return read_page
