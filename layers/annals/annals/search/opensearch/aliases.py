"""The generations of an OpenSearch index: ``<name>-000001`` and on, of which the alias ``<name>`` names one.

A second alias, ``<name>-next``, names the one that is being built. An index that has the plain name, as somebody may
have made it by hand, is replaced by an alias of its name in the step that puts the next generation in service.
"""

from __future__ import annotations

import re
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError


def find_current(client: OpenSearch, name: str) -> str | None:
    """The index in service: the one behind the alias, or one that has the plain name."""
    return _named_by(client, name) or (name if client.indices.exists(index=name) else None)


def find_next(client: OpenSearch, name: str) -> str | None:
    """The index that is being built."""
    return _named_by(client, _next_alias(name))


def create_first(client: OpenSearch, name: str, body: dict[str, Any]) -> None:
    """Create an index in service, unless somebody else does at the same time."""
    _create(client, _index_name(name, 1), {**body, "aliases": {name: {}}})


def create_next(client: OpenSearch, name: str, body: dict[str, Any], beside: str) -> str:
    """Create the index that is to be built, and return its name."""
    numbers = [_number_of(name, each) for each in _list_numbered(client, name)]
    new = _index_name(name, max([1, *numbers]) + 1)  # the first is the one that ``create_first`` makes
    aliases: dict[str, Any] = {_next_alias(each): {} for each in (name, beside) if each}
    _create(client, new, {**body, "aliases": aliases})
    return new


def switch_to(client: OpenSearch, name: str, new: str) -> bool:
    """Let the alias name the index that is being built, in one step; whether it is, or was, in service then."""
    old = find_current(client, name)
    if find_next(client, name) != new:
        return old is not None and _number_of(name, old) >= _number_of(name, new)
    actions: list[dict[str, Any]] = [
        {"add": {"index": new, "alias": name}},
        {"remove": {"index": new, "alias": _next_alias(name)}},
    ]
    if old == name:
        actions.insert(0, {"remove_index": {"index": name}})
    elif old is not None:
        actions.insert(0, {"remove": {"index": old, "alias": name}})
    client.indices.update_aliases(body={"actions": actions})
    return True


def drop_former(client: OpenSearch, name: str) -> None:
    """Delete the numbered indexes that are neither in service nor being built."""
    used = {find_current(client, name), find_next(client, name)}
    for each in _list_numbered(client, name):
        if each not in used:
            drop(client, each)


def drop(client: OpenSearch, index: str | None) -> None:
    """Delete an index; one that isn't there is no error."""
    if index is not None:
        client.indices.delete(index=index, params={"ignore_unavailable": "true"})


def _create(client: OpenSearch, name: str, body: dict[str, Any]) -> None:
    try:
        client.indices.create(index=name, body=body)
    except RequestError as error:
        if error.error != "resource_already_exists_exception":
            raise


def _named_by(client: OpenSearch, alias: str) -> str | None:
    rows = client.cat.aliases(name=alias, params={"format": "json"})  # which are none, not 404, where there is none
    return next((str(row["index"]) for row in rows), None)


def _list_numbered(client: OpenSearch, name: str) -> list[str]:
    indexes = client.indices.get_alias(index=f"{name}-*", params={"ignore_unavailable": "true"})
    return sorted(index for index in indexes if _number_of(name, index))


def _next_alias(name: str) -> str:
    return f"{name}-next"


def _index_name(name: str, number: int) -> str:
    return f"{name}-{number:06d}"


def _number_of(name: str, index: str) -> int:
    match = re.fullmatch(rf"{re.escape(name)}-([0-9]{{6}})", index)
    return int(match[1]) if match else 0
