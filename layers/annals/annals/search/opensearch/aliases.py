"""The indexes behind an OpenSearch alias: ``<name>-000001`` and on, of which the alias ``<name>`` names one.

A second alias, ``<name>-next``, names the one that is being built. An index that bears the plain name, as somebody may
have made it by hand, is replaced by an alias of its name in the same step in which the next one takes its place.
"""

from __future__ import annotations

import re
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError


def current(client: OpenSearch, name: str) -> str | None:
    """The index in service: the one behind the alias, or one that bears the plain name."""
    return _behind(client, name) or (name if client.indices.exists(index=name) else None)


def following(client: OpenSearch, name: str) -> str | None:
    """The index that is being built."""
    return _behind(client, _next(name))


def create_first(client: OpenSearch, name: str, body: dict[str, Any]) -> None:
    """Create an index in service, unless somebody else does at the same time."""
    _create(client, _numbered(name, 1), {**body, "aliases": {name: {}}})


def create_next(client: OpenSearch, name: str, body: dict[str, Any], beside: str) -> str:
    """Create the index that is to be built, and return its name."""
    numbers = [_number(name, each) for each in _all(client, name)]
    made = _numbered(name, max([1, *numbers]) + 1)  # the first is the one that ``create_first`` makes
    aliases: dict[str, Any] = {_next(each): {} for each in (name, beside) if each}
    _create(client, made, {**body, "aliases": aliases})
    return made


def switch(client: OpenSearch, name: str, made: str) -> bool:
    """Let the alias name the index that is being built, in one step; whether it is, or was, in service then."""
    old = current(client, name)
    if following(client, name) != made:
        return old is not None and _number(name, old) >= _number(name, made)
    actions: list[dict[str, Any]] = [
        {"add": {"index": made, "alias": name}},
        {"remove": {"index": made, "alias": _next(name)}},
    ]
    if old == name:
        actions.insert(0, {"remove_index": {"index": name}})
    elif old is not None:
        actions.insert(0, {"remove": {"index": old, "alias": name}})
    client.indices.update_aliases(body={"actions": actions})
    return True


def drop_former(client: OpenSearch, name: str) -> None:
    """Delete the numbered indexes that are neither in service nor being built."""
    kept = {current(client, name), following(client, name)}
    for each in _all(client, name):
        if each not in kept:
            client.indices.delete(index=each, params={"ignore_unavailable": "true"})


def drop(client: OpenSearch, *names: str | None) -> None:
    """Delete indexes; those that aren't there are no error."""
    for each in names:
        if each is not None:
            client.indices.delete(index=each, params={"ignore_unavailable": "true"})


def _create(client: OpenSearch, name: str, body: dict[str, Any]) -> None:
    try:
        client.indices.create(index=name, body=body)
    except RequestError as error:
        if error.error != "resource_already_exists_exception":
            raise


def _behind(client: OpenSearch, alias: str) -> str | None:
    found = client.cat.aliases(name=alias, params={"format": "json"})  # which is empty, not 404, where there is none
    return next((str(each["index"]) for each in found), None)


def _all(client: OpenSearch, name: str) -> list[str]:
    found = client.indices.get_alias(index=f"{name}-*", params={"ignore_unavailable": "true"})
    return sorted(each for each in found if _number(name, each))


def _next(name: str) -> str:
    return f"{name}-next"


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number:06d}"


def _number(name: str, index: str) -> int:
    found = re.fullmatch(rf"{re.escape(name)}-([0-9]{{6}})", index)
    return int(found[1]) if found else 0
