"""The client has a method for every route of the API, and none beside."""

from __future__ import annotations

import inspect
import json

from annals_client import following, message_following
from annals_client.calls import Route
from annals_client.client import Service
from annals_client.methods import ListMethod, Method, Resource, SaveMethod
from annals_client.resources import (
    agents,
    conversations,
    documents,
    facts,
    keys,
    memories,
    memory,
    messages,
    runs,
    spaces,
    turns,
    users,
)
from tests.e2e.servers import ROOT


def groups() -> list[type]:
    """The client's groups of calls."""
    known: list[type] = [Service]
    modules = (agents, conversations, documents, facts, keys, memories, memory, messages, runs, spaces, turns, users)
    for module in modules:
        classes = (each for _, each in inspect.getmembers(module, inspect.isclass))
        known += [each for each in classes if issubclass(each, Resource) and each is not Resource]
    return known


def _of_client() -> set[str]:
    known: list[Route] = [following.BEGIN, following.RESUME, message_following.FOLLOW]
    for group in groups():
        known += [each.route for each in vars(group).values() if isinstance(each, Method | ListMethod | SaveMethod)]
    return {f"{route.method} {route.template}" for route in known}


def _of_api() -> set[str]:
    paths = json.loads((ROOT / "openapi.json").read_text())["paths"]
    return {f"{method.upper()} {path}" for path, item in paths.items() for method in item}


def test_every_route_has_a_method() -> None:
    assert _of_api() - _of_client() == set()


def test_every_method_has_a_route() -> None:
    assert _of_client() - _of_api() == set()
