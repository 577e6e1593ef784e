"""The template's tables under names of a test's own, and this process' settings and caches for them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from uuid import uuid4

import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from annals.api.sealing_key import sealing_key
from annals.conversations.genesis import get_genesis_entry
from annals.database import derived_ids
from annals.database.dynamodb import client
from annals.ledger import tail
from annals.settings import Settings, settings
from local import tables, template, workers
from local.emulator import CREDENTIALS, Emulator
from tests.support.quick_moto import quick_moto

TEMPLATE = template.read()


@cache
def function(name: str) -> ModuleType:
    """The module of a function's folder, loaded once."""
    return workers.load(name, TEMPLATE.functions[name])


def forget() -> None:
    """Empty every cache of this process, as in a fresh execution environment."""
    for cached in (settings, client):
        cached.cache_clear()
    forget_what_was_read()


def forget_what_was_read() -> None:
    """Empty the caches of what tables hold."""
    get_genesis_entry.cache_clear()
    derived_ids._get_secret.cache_clear()
    tail.tails._tails.clear()
    sealing_key.forget()
    if "annals_function_authorizer" in sys.modules:
        authorizer = function("authorizer")
        authorizer._seen.clear()
        authorizer.root_key.cache_clear()


@contextmanager
def on_moto() -> Iterator[None]:
    """Tables in moto: right for one call at a time, and no socket is opened."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), quick_moto():
        patch.setattr(socket.socket, "connect", _refuse_to_connect)
        _set(patch, **CREDENTIALS)
        yield from _tables(patch)


def empty_moto() -> None:
    """Take all items out of moto's tables, as if they were made anew."""
    for table in dynamodb_backends[DEFAULT_ACCOUNT_ID][CREDENTIALS["AWS_DEFAULT_REGION"]].tables.values():
        table.items.clear()
    forget_what_was_read()


@contextmanager
def on_emulator(emulator: Emulator) -> Iterator[None]:
    """Tables of their own in a running MiniStack."""
    with pytest.MonkeyPatch.context() as patch:
        _set(patch, **CREDENTIALS, DYNAMODB_URL=emulator.url)
        yield from _tables(patch)


def _tables(patch: pytest.MonkeyPatch) -> Iterator[None]:
    suffix = uuid4().hex[:8]
    named = {variable: (f"{logical}-{suffix}", logical) for variable, logical in TEMPLATE.table_names.items()}
    for variable, (name, _) in named.items():
        patch.setenv(variable, name)
    forget()
    try:
        tables.create_missing(client(), {name: TEMPLATE.tables[logical] for name, logical in named.values()})
        yield
    finally:
        forget()


def _set(patch: pytest.MonkeyPatch, **values: str) -> None:
    for name in vars(Settings()):
        if name.upper() not in values and name.upper() not in TEMPLATE.table_names:
            patch.delenv(name.upper(), raising=False)
    for name, value in values.items():
        patch.setenv(name, value)


def _refuse_to_connect(_: socket.socket, address: object) -> None:
    raise AssertionError(f"a unit test connects to {address}")
