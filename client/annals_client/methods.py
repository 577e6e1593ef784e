"""Resources: groups of calls. Each call is written once, and is a method of both clients.

Of the synchronous client, a method returns its result; of the asynchronous one, an awaitable of it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import httpx

from annals_client.calls import Call, Repeat, RequestSpec, Route, Steps, reader
from annals_client.files import Destination
from annals_client.listing import AsyncListing, Listing, ListSpec, PageWalk, page_reader
from annals_client.senders import AsyncSender, Sender

P = ParamSpec("P")
S = TypeVar("S", bound=Sender | AsyncSender)
T = TypeVar("T")


class Resource(Generic[S]):
    """A group of calls, with what sends them."""

    def __init__(self, sender: S) -> None:
        self.sender = sender


@dataclass(frozen=True)
class Download:
    """A request whose answer is a file, and where that is to be written."""

    request: RequestSpec
    to: Destination


class Method(Generic[P, T]):
    """A call as a method of a resource.

    Parameters
    ----------
    describe : what the caller's arguments say
    route : method and path template
    read : how the answer is read
    repeat : whether it may be sent again
    """

    def __init__(
        self,
        describe: Callable[Concatenate[Any, P], RequestSpec],
        route: Route,
        read: Callable[[httpx.Response], T],
        repeat: Repeat,
    ) -> None:
        self.route = route
        self.describe = describe
        self._read = read
        self._repeat = repeat
        self._method = _method(describe, lambda sender, *args, **kwargs: sender.send(self.call(*args, **kwargs)))
        self.__doc__ = describe.__doc__

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The call that these arguments describe."""
        request = self.describe(None, *args, **kwargs)
        return Call.of(self.route, request, self._read, request.repeat or self._repeat)

    @overload
    def __get__(self, resource: None, owner: type) -> Method[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncSender], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else MethodType(self._method, resource)


class ListMethod(Generic[P, T]):
    """A list as a method of a resource: the pages of a route, one after another."""

    def __init__(self, describe: Callable[Concatenate[Any, P], ListSpec], route: Route, kind: type[T]) -> None:
        self.route = route
        self.describe = describe
        self._read = page_reader(kind)
        self._method = _method(describe, self._list)
        self.__doc__ = describe.__doc__

    def walk(self, *args: P.args, **kwargs: P.kwargs) -> PageWalk[T]:
        """The walk through the list that these arguments describe."""
        return self._walk(self.describe(None, *args, **kwargs))

    def _walk(self, spec: ListSpec) -> PageWalk[T]:
        return PageWalk(self.route, spec, self._read)

    def _list(self, sender: Sender | AsyncSender, *args: P.args, **kwargs: P.kwargs) -> Listing[T] | AsyncListing[T]:
        spec = self.describe(None, *args, **kwargs)
        if isinstance(sender, Sender):
            return Listing(lambda: self._walk(spec), sender.send)
        return AsyncListing(lambda: self._walk(spec), sender.send)

    @overload
    def __get__(self, resource: None, owner: type) -> ListMethod[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, Listing[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncSender], owner: type) -> Callable[P, AsyncListing[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else MethodType(self._method, resource)


class StepsMethod(Generic[P, T]):
    """Several calls as one method of a resource."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.steps = steps
        self._method = _method(steps, lambda sender, *args, **kwargs: sender.run(steps(None, *args, **kwargs)))
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> StepsMethod[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncSender], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else MethodType(self._method, resource)


class SaveMethod(Generic[P]):
    """A call whose answer is written into a file, as a method of a resource that returns the file's size."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Download], route: Route) -> None:
        self.route = route
        self.describe = describe
        self._method = _method(describe, self._save)
        self.__doc__ = describe.__doc__

    def _save(self, sender: Sender | AsyncSender, *args: P.args, **kwargs: P.kwargs) -> int | Coroutine[Any, Any, int]:
        spec = self.describe(None, *args, **kwargs)
        return sender.save(Call.of(self.route, spec.request, lambda _: None, Repeat.SAFELY), spec.to)

    @overload
    def __get__(self, resource: None, owner: type) -> SaveMethod[P]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, int]: ...
    @overload
    def __get__(self, resource: Resource[AsyncSender], owner: type) -> Callable[P, Coroutine[Any, Any, int]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        return self if resource is None else MethodType(self._method, resource)


def saving(route: str) -> Callable[[Callable[Concatenate[Any, P], Download]], SaveMethod[P]]:
    """Make a method of what describes the file to be downloaded."""
    return lambda describe: SaveMethod(describe, Route.of(route))


def call(
    route: str, answer: type[T], repeat: Repeat = Repeat.SAFELY, *, inside: str | None = None
) -> Callable[[Callable[Concatenate[Any, P], RequestSpec]], Method[P, T]]:
    """Make a method of what describes a request. The answer, or its field ``inside``, is read as ``answer``."""
    return lambda describe: Method(describe, Route.of(route), reader(answer, inside), repeat)


def listing(route: str, kind: type[T]) -> Callable[[Callable[Concatenate[Any, P], ListSpec]], ListMethod[P, T]]:
    """Make a method of what describes a list of ``kind``."""
    return lambda describe: ListMethod(describe, Route.of(route), kind)


def _method(described: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    """A function that can be bound to a resource; it looks like what describes it, but for what it returns."""

    @wraps(described)
    def method(resource: Resource[Any], *args: Any, **kwargs: Any) -> Any:
        return run(resource.sender, *args, **kwargs)

    method.__signature__ = signature(described).replace(return_annotation=Any)  # type: ignore[attr-defined]
    return method
