"""Trees of messages: apps keep every edit and every retry, and show one branch of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Node(NamedTuple):
    """A message in a tree, and the id of the one that it follows."""

    value: Any
    parent: str | None


class Branch(NamedTuple):
    """The ids of the branch that is shown, in order; and those of the others, by the node beside which they begin."""

    ids: list[str]
    others: dict[str, list[str]]


def distinct_ids(ids: Iterable[str]) -> Iterator[str]:
    """Ids of nodes: one that is empty, or came before, becomes another."""
    seen: set[str] = set()
    for number, id_ in enumerate(ids):
        distinct = id_ if id_ and id_ not in seen else f"{id_}#{number}"
        seen.add(distinct)
        yield distinct


def shown_branch(nodes: Mapping[str, Node], current: Any) -> Branch:
    """The branch that ends with the node ``current``; without one, with the last node of the file.

    A parent that is missing, or comes again, begins the branch.
    """
    if not nodes:
        return Branch([], {})
    last = current if isinstance(current, str) and current in nodes else next(reversed(list(nodes)))
    ids = _path_to(last, nodes)
    return Branch(ids, _others(nodes, ids))


def _path_to(last: str, nodes: Mapping[str, Node]) -> list[str]:
    path: dict[str, None] = {}
    at: str | None = last
    while at is not None and at in nodes and at not in path:
        path[at] = None
        at = nodes[at].parent
    return list(reversed(path))


def _others(nodes: Mapping[str, Node], ids: list[str]) -> dict[str, list[str]]:
    """The nodes off the branch: each belongs to the node of the branch that stands where its own branch begins."""
    following: dict[str | None, str] = {None: ids[0]}
    following.update((id_, ids[min(place + 1, len(ids) - 1)]) for place, id_ in enumerate(ids))
    anchors: dict[str | None, str] = {}
    others: dict[str, list[str]] = {}
    shown = set(ids)
    for each in nodes:
        if each not in shown:
            others.setdefault(_anchor(each, nodes, following, anchors), []).append(each)
    return others


def _anchor(
    start: str, nodes: Mapping[str, Node], following: Mapping[str | None, str], anchors: dict[str | None, str]
) -> str:
    """The node of the branch beside which the branch of a node begins; what was found is kept for those that follow."""
    climbed: dict[str | None, None] = {}
    at: str | None = start
    while at is not None and at not in following and at not in anchors and at in nodes and at not in climbed:
        climbed[at] = None
        at = nodes[at].parent
    found = anchors.get(at) or following.get(at) or following[None]
    anchors.update(dict.fromkeys(climbed, found))
    return found
