"""Streams of MiniStack, handed to the functions that the template names for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from annals.database.dynamodb import client
from annals.settings import settings
from local.emulator import Emulator
from local.streams import StreamReaders
from local.workers import Context
from tests.support import stack

Invoke = Callable[[str, Any], Any]


def invoke(function: str, event: Any) -> Any:
    """What a function answers; events are JSON, as Lambda hands them on."""
    return stack.function(function).handler(json.loads(json.dumps(event)), Context(function))


@contextmanager
def following(emulator: Emulator, folder: Path, *functions: str, by: Invoke = invoke) -> Iterator[None]:
    """Hand the streams to some functions, by the template's own mappings; at the end all of it is worked off."""
    streams = boto3.client("dynamodbstreams", endpoint_url=emulator.url, config=Config(parameter_validation=False))
    mappings = [mapping for mapping in stack.TEMPLATE.mappings if mapping.function in functions]
    names = {"LedgerTable": settings().ledger_table, "StateTable": settings().state_table}
    readers = StreamReaders(mappings, names, client(), streams, by, folder)
    readers.start()
    try:
        yield
    finally:
        readers.stop()
