"""What operations cost in DynamoDB, indexes included, measured at the functions' own client over MiniStack.

A turn is two messages, 200 and 800 bytes of English, appended as one entry. Write capacity units (WCU) are those that
each answer reports: for the function that appends, and for ``project``, which follows the stream. MiniStack reports
one read unit per request whatever it reads, so read capacity units (RCU) are computed from the sizes of the items that
are read, by DynamoDB's published rules.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from annals.costs import WRITES
from annals.database import dynamodb
from annals.database.item_size import item_size
from annals.ledger.keys import conversation_pk
from bench.emulated import TENANT, Functions, emulated
from bench.texts import passage

USER_BYTES, REPLY_BYTES = 200, 800
FILL = 20
"""Messages of an entry that only fills a conversation."""
WAYS = {"plain": 1, "If-Match and Idempotency-Key": 1, "Idempotency-Key alone": 4}
"""The ways to append a turn, and what that may cost."""
TOTAL_LIMIT = 8
"""What a turn may cost with ``project``, where one participant's list is kept."""
READ_UNIT_BYTES = 4096
PARTICIPANTS = {"user": {"userId": "ada"}, "user and agent": {"userId": "ada", "agentId": "bot"}}


@dataclass
class Used:
    """Write units by table, and read units."""

    written: Counter[str] = field(default_factory=Counter)
    read: float = 0.0


class Meter:
    """Asks for and notes the capacity that each request of the functions' DynamoDB client takes."""

    def __init__(self) -> None:
        self._used: Used | None = None
        self._plain = boto3.client("dynamodb", endpoint_url=os.environ["DYNAMODB_URL"])
        hooks = dynamodb.client().meta.events
        hooks.register("before-parameter-build.dynamodb", self._ask)
        hooks.register("after-call.dynamodb", self._note)

    @contextlib.contextmanager
    def metered(self) -> Iterator[Used]:
        """What is used within the block."""
        self._used = used = Used()
        yield used
        self._used = None

    def _ask(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["parameters"] = dict(params)
        if model.name in WRITES:
            params["ReturnConsumedCapacity"] = "INDEXES"

    def _note(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        if self._used is None:
            return
        if model.name in WRITES:
            reported = parsed.get("ConsumedCapacity", [])
            for part in reported if isinstance(reported, list) else [reported]:
                self._used.written[part["TableName"]] += part["CapacityUnits"]
        elif context["parameters"].get("TableName") or "RequestItems" in context["parameters"]:
            self._used.read += self._read_units(model.name, context["parameters"], parsed)

    def _read_units(self, operation: str, parameters: dict[str, Any], answer: dict[str, Any]) -> float:
        if operation == "BatchGetItem":
            return sum(0.5 * units_of([item]) for items in answer["Responses"].values() for item in items)
        rate = 1.0 if parameters.get("ConsistentRead") else 0.5
        if operation == "GetItem":
            return rate * units_of([answer["Item"]] if "Item" in answer else [])
        whole = (
            self._plain.query(**unprojected(parameters))
            if {"ProjectionExpression", "Select"} & parameters.keys()
            else answer
        )
        return rate * units_of(whole["Items"])


def units_of(items: list[dict[str, Any]]) -> int:
    """Strongly consistent read units of items that one request reads together."""
    return max(1, math.ceil(sum(item_size(dynamodb.from_item(item)) for item in items) / READ_UNIT_BYTES))


def unprojected(query: dict[str, Any]) -> dict[str, Any]:
    """The query for whole items: what a projection or a count leaves out is read, and paid for, all the same."""
    conditions = query["KeyConditionExpression"] + query.get("FilterExpression", "")
    names = {name: path for name, path in query.get("ExpressionAttributeNames", {}).items() if name in conditions}
    left_out = ("ProjectionExpression", "ExpressionAttributeNames", "Select")
    rest = {key: value for key, value in query.items() if key not in left_out}
    return {**rest, "ExpressionAttributeNames": names} if names else rest


@dataclass
class Conversation:
    """A conversation of the benchmark, and how far it has grown."""

    functions: Functions
    conversation_id: str
    rng: random.Random
    size: int = 0

    @property
    def pk(self) -> str:
        return conversation_pk(TENANT, self.conversation_id)

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.conversation_id}"

    def make(self, who: str) -> None:
        """Create it."""
        body = {
            "conversationId": self.conversation_id,
            "type": "user-agent",
            "participants": {**PARTICIPANTS[who], "memorySpaceId": "bench"},
        }
        self.functions.request("POST", "/v1/conversations", json.dumps(body))

    def append(self, messages: list[dict[str, str]], **headers: str) -> None:
        """Append messages as one entry."""
        self.functions.request("POST", f"{self.path}/messages", json.dumps({"messages": messages}), headers=headers)
        self.size += len(messages)

    def append_turn(self, way: str) -> None:
        """Append a turn in one of WAYS."""
        headers = {"Idempotency-Key": f"{self.conversation_id}-{self.size}"} if way != "plain" else {}
        if way.startswith("If-Match"):
            headers["If-Match"] = f'"{self.size}"'
        self.append(self._turn(), **headers)

    def grow(self, size: int) -> None:
        """Fill up to ``size`` messages, the last hundred of them as turns."""
        while self.size < size - 100:
            messages = [{"role": "user", "content": passage(self.rng, USER_BYTES)} for _ in range(FILL)]
            self.append(messages[: size - 100 - self.size])
        while self.size < size:
            self.append_turn("plain")

    def project(self) -> None:
        """What ``project`` does after the last append."""
        self.functions.project(self.pk, self.size - 1)

    def _turn(self) -> list[dict[str, str]]:
        user, reply = passage(self.rng, USER_BYTES), passage(self.rng, REPLY_BYTES)
        return [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]


def measure_turns(meter: Meter, functions: Functions, sizes: list[int], samples: int) -> Table:
    """The write units of a turn, by way, participants and the conversation's size; the median of the samples."""
    table = Table(title=f"WCU of a {USER_BYTES} + {REPLY_BYTES} B turn at message {listed(sizes)}")
    for column in ("append", "participants"):
        table.add_column(column)
    for column in ("ledger", "state", "limit", "project", "total"):
        table.add_column(column, justify="right")
    for who in PARTICIPANTS:
        grown = Conversation(functions, f"turns-{who.replace(' ', '-')}", random.Random(who))
        grown.make(who)
        costs = {}
        for size in tqdm(sizes, desc=f"turns, {who}", leave=False):
            grown.grow(size - 2)
            costs[size] = {way: turn_cost(meter, grown, way, samples) for way in WAYS}
        for way, limit in WAYS.items():
            ledger, state, projected = zip(*(costs[size][way] for size in sizes), strict=True)
            total = listed(sum(costs[size][way]) for size in sizes)
            table.add_row(way, who, listed(ledger), listed(state), f"≤ {limit}", listed(projected), total)
    table.caption = f"limit of the total, one participant and no key alone: {TOTAL_LIMIT}"
    return table


def turn_cost(meter: Meter, grown: Conversation, way: str, samples: int) -> tuple[float, float, float]:
    """Median write units of a turn: in the ledger's table and the state's by the append, and by ``project``."""
    appended, projected = [], []
    for _ in range(samples):
        with meter.metered() as used:
            grown.append_turn(way)
        appended.append(used.written)
        with meter.metered() as used:
            grown.project()
        projected.append(used.written.total())
    ledger, state = (statistics.median(each[name] for each in appended) for name in ("LedgerTable", "StateTable"))
    return ledger, state, statistics.median(projected)


def measure_fit(meter: Meter, functions: Functions, count: int) -> str:
    """How many turns of different text fit into one write unit."""
    grown = Conversation(functions, "fit", random.Random(0))
    grown.make("user")
    shares = []
    for way in ("plain", "If-Match and Idempotency-Key"):
        used = []
        for _ in tqdm(range(count), desc=way, leave=False):
            with meter.metered() as metered:
                grown.append_turn(way)
            used.append(metered.written["LedgerTable"])
        shares.append(f"{way} {used.count(1)} of {count} (highest {max(used):g})")
    return "Turns of 1 WCU: " + ", ".join(shares)


def measure_reads(meter: Meter, functions: Functions, sizes: list[int], samples: int) -> Table:
    """Read units and milliseconds of history and lists, beside a bare query for the same items."""
    table = Table(title="Reads: history, strongly consistent; lists, eventually")
    table.add_column("read")
    for column in ("RCU", "ms", "ms, bare Query"):
        table.add_column(column, justify="right")
    for size in sizes:
        grown = Conversation(functions, f"history-{size}", random.Random(size))
        grown.make("user")
        grown.grow(size)
        bare = partial(query_newest, grown.pk)
        history = partial(functions.request, "GET", f"{grown.path}/messages", query="limit=50")
        table.add_row(f"the last 50 of {size:,} messages", *read_cells(meter, history, bare, samples))
    for number in tqdm(range(60), desc="conversations", leave=False):
        Conversation(functions, f"listed-{number}", random.Random(number)).make("user")
    for name, chosen in {"the tenant": "", "a user": "&participants.userId=ada"}.items():
        listed = partial(functions.request, "GET", "/v1/conversations", query="limit=50" + chosen)
        table.add_row(f"50 conversations of {name}", *read_cells(meter, listed, None, samples))
    return table


def query_newest(pk: str) -> None:
    """Read the 26 newest items, which hold the last 50 messages."""
    key = {":pk": {"S": pk}}
    condition = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": key}
    dynamodb.client().query(TableName="LedgerTable", ConsistentRead=True, ScanIndexForward=False, Limit=26, **condition)


def read_cells(
    meter: Meter, read: Callable[[], object], bare: Callable[[], object] | None, samples: int
) -> tuple[str, str, str]:
    """Read units, and median milliseconds of the read and of the bare one, taken in turns."""
    with meter.metered() as used:
        read()
    took = [(milliseconds(read), milliseconds(bare) if bare else 0.0) for _ in range(samples)]
    median, bare_median = (statistics.median(column) for column in zip(*took, strict=True))
    return f"{used.read:g}", f"{median:.1f}", f"{bare_median:.1f}" if bare else ""


def milliseconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def listed(values: Any) -> str:
    """``1 / 1 / 1``."""
    return " / ".join(f"{value:,g}" for value in values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 1000, 10_000], help="messages (2 1000 10000)")
    parser.add_argument("--samples", type=int, default=15, help="of each figure (%(default)s)")
    parser.add_argument("--texts", type=int, default=200, help="turns of different text (%(default)s)")
    arguments = parser.parse_args()
    console = Console()
    with emulated():
        functions, meter = Functions(), Meter()
        console.print(measure_turns(meter, functions, arguments.sizes, arguments.samples))
        console.print(measure_fit(meter, functions, arguments.texts))
        history = sorted({100, max(arguments.sizes)})
        console.print(measure_reads(meter, functions, history, arguments.samples))


if __name__ == "__main__":
    main()
