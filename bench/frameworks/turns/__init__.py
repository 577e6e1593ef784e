"""Programs that take turns with a framework, in the framework's own environment: they import nothing of the project.

Each has a list of ``Store``: of the framework's own, and ours. ``run`` takes turns with one of them, as it is told.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

AWS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}  # nobody checks them
Take = Callable[[int, str, str], None]
"""Takes a turn: its number, from 1, what the user says and what the model answers."""


@dataclass(frozen=True)
class Store:
    """A store of a framework. ``prepare`` makes what it needs; what that returns takes turns."""

    name: str
    prepare: Callable[[], Take]
    is_ours: bool = False


def dynamodb_url() -> str:
    """Where the database answers that a framework's own store is to use."""
    return os.environ["BENCH_DYNAMODB_URL"]


def create_table(client: Any, name: str, hash_key: str, range_key: str | None = None) -> None:
    """Make a table, paid on demand, whose keys are texts."""
    keys = {hash_key: "HASH", **({range_key: "RANGE"} if range_key else {})}
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def run(stores: Sequence[Store]) -> None:
    """Say which stores there are; or take turns with the one that is named, until the input ends."""
    if len(sys.argv) == 1:
        print(json.dumps([[store.name, store.is_ours] for store in stores]))
        return
    (store,) = (store for store in stores if store.name == sys.argv[1])
    take, out = store.prepare(), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # frameworks print
    for line in sys.stdin:
        turn = json.loads(line)
        failure = None
        try:
            take(turn["number"], turn["user"], turn["reply"])
        except Exception as error:  # noqa: BLE001 - how a store fails is a result
            failure = f"{type(error).__name__}: {error}"
        out.write(json.dumps({"failure": failure}) + "\n")
        out.flush()
