"""What one hot conversation, one hot tenant and ten thousand turns a second meet first: a model, and a check of it.

The model puts DynamoDB's and Lambda's published limits beside what Annals asks of them for each turn. One conversation
is simulated writer by writer, because its appends race for the next place: a loser waits a random time, reads the tail
and tries again. The check runs that race for real, processes against MiniStack, and simulates it with the times that
MiniStack takes here; so the two can be compared where they overlap.

Limits are the defaults of the services' quota pages (DynamoDB, Lambda, API Gateway, Amazon Bedrock; us-east-1); where
the table says quota, they are raised on request.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import boto3
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from annals import retries
from annals.database import dynamodb
from annals.ledger.append import append
from annals.ledger.messages import new_message
from annals.ledger.tail import read_tail
from bench.emulated import TENANT, Functions, emulated
from bench.scores import quantile
from bench.texts import passage

PATIENCE_S = 10.0
"""How long a writer tries before it answers 409."""
PARTITION_WCU = 1_000
NEW_TABLE_WCU = 4_000
TABLE_WCU = 40_000
MOVE_WCU = 2
"""What an index takes when a conversation moves to the front: a deletion and a put."""
PROJECT_WCU = 9
"""What ``project`` writes for a turn of a user and an agent, all indexes included (bench.cost)."""
PROJECT_CALLS = 2
"""Requests, one after the other, that ``project`` makes for a conversation: it reads the tail and moves the head."""
TURN_TEXTS = 4
"""Texts embedded for a turn of two messages: each alone, and each with those before it."""
GATEWAY_REQUESTS = 10_000
LAMBDA_CONCURRENCY = 1_000
TITAN_REQUESTS = 6_000 / 60


@dataclass(frozen=True)
class Latencies:
    """Seconds of one request, without waiting: at the client, side by side, and at the server, ``servers`` at once."""

    put_s: float
    read_s: float
    client_s: float = 0.0
    servers: int = 10**6


DYNAMODB = Latencies(put_s=0.005, read_s=0.004)
"""Single-digit milliseconds, as DynamoDB is documented to answer; the options put other figures here."""


@dataclass
class Race:
    """A simulation of writers that append to one conversation as fast as they can."""

    times: Latencies
    rng: random.Random
    seconds: float
    entries: int = 0
    puts: int = 0
    abandoned: int = 0
    took_s: list[float] = field(default_factory=list)
    _events: list[tuple[float, int, Iterator[float]]] = field(default_factory=list)
    _free_at: list[float] = field(default_factory=list)
    _now: float = 0.0

    def run(self, writers: int) -> Race:
        """Let so many writers append until the time is over."""
        self._free_at = [0.0] * min(self.times.servers, writers)
        number = itertools.count()
        for _ in range(writers):
            heapq.heappush(self._events, (0.0, next(number), self._writer()))
        while self._events and self._now < self.seconds:
            self._now, _, writer = heapq.heappop(self._events)
            heapq.heappush(self._events, (next(writer), next(number), writer))
        return self

    def _writer(self) -> Iterator[float]:
        """One writer; it yields the times at which it goes on."""
        known = self.entries
        while True:
            start = self._now
            for attempt in itertools.count():
                if self._now - start > PATIENCE_S:
                    self.abandoned += 1
                    start = self._now
                yield self._now + self.times.client_s
                yield self._served(self.times.put_s)
                self.puts += 1
                if known == self.entries:
                    break
                yield self._now + self.rng.uniform(0, min(retries.CAP_S, retries.BASE_S * 2**attempt))
                yield self._served(self.times.read_s)
                known = self.entries
            self.entries += 1
            known = self.entries
            self.took_s.append(self._now - start)

    def _served(self, service_s: float) -> float:
        """When a request that comes now is answered: the first free server takes it, for about its usual time."""
        done = max(heapq.heappop(self._free_at), self._now) + service_s * self.rng.uniform(0.5, 1.5)
        heapq.heappush(self._free_at, done)
        return done

    @property
    def rate(self) -> float:
        return self.entries / self.seconds

    @property
    def puts_each(self) -> float:
        return self.puts / max(self.entries, 1)


def hot_conversation(writers: list[int], times: Latencies, seconds: float) -> Table:
    """Appends a second into one conversation, by writers."""
    table = Table(title="One hot conversation, simulated")
    for column in ("writers", "appends/s", "puts per append", "ms, median", "ms, p99", "gave up", "of the partition"):
        table.add_column(column, justify="right")
    for count in writers:
        race = Race(times, random.Random(count), seconds).run(count)
        waits = [f"{1000 * quantile(race.took_s, share):.0f}" for share in (0.5, 0.99)]
        gave_up = f"{race.abandoned / (race.abandoned + race.entries):.2%}"
        used = race.rate * race.puts_each / PARTITION_WCU
        table.add_row(str(count), f"{race.rate:.0f}", f"{race.puts_each:.2f}", *waits, gave_up, f"{used:.0%}")
    return table


@dataclass(frozen=True)
class Load:
    """Turns a second, and how they are spread.

    Parameters
    ----------
    tenant, space, agent : the share of all turns that the busiest tenant, memory space and agent have
    """

    name: str
    turns: float
    tenant: float = 1.0
    space: float = 1.0
    agent: float = 1.0


@dataclass(frozen=True)
class Setup:
    """What an operator can set, and how long things take."""

    tenant_shards: int = 8
    list_shards: int = 1
    parallel: int = 2
    append_s: float = 0.025
    authorizer_s: float = 0.005
    request_s: float = 0.005


@dataclass(frozen=True)
class Stage:
    """A limit that a load meets: how many turns a second fit through, and what raises it.

    What is ``behind`` the ledger waits in a stream, and lags; what is before it is refused, and tried again.
    """

    name: str
    turns: float
    raised_by: str
    behind: bool = True

    def effect(self, turns: float) -> str:
        """What so many turns a second meet here, after ten minutes of them."""
        if turns <= self.turns:
            return ""
        if not self.behind:
            return f"{1 - self.turns / turns:.0%} refused"
        return f"{(turns / self.turns - 1) * 10:,.0f} min behind"


def stages(load: Load, setup: Setup) -> list[Stage]:
    """Every limit on the way of a turn, the tightest first."""
    shards = max(1.0, load.turns / PARTITION_WCU)
    projected = shards * setup.parallel / (PROJECT_CALLS * setup.request_s)
    of_list = PARTITION_WCU / MOVE_WCU
    found = [
        Stage("API Gateway's requests", GATEWAY_REQUESTS, "quota", behind=False),
        Stage(
            "Lambda's concurrency", LAMBDA_CONCURRENCY / (setup.append_s + setup.authorizer_s), "quota", behind=False
        ),
        Stage("a new table on demand", NEW_TABLE_WCU, "doubles every half hour", behind=False),
        Stage("the ledger table", TABLE_WCU, "quota", behind=False),
        Stage("the state table", TABLE_WCU / PROJECT_WCU, "quota"),
        Stage("the tenant's list", setup.tenant_shards * of_list / load.tenant, "TenantShards"),
        Stage("the busiest space's list", setup.list_shards * of_list / load.space, "ListShards"),
        Stage("the busiest agent's list", setup.list_shards * of_list / load.agent, "ListShards"),
        Stage("project, per shard of the stream", projected, "StreamParallelism"),
        Stage("index, requests to Titan", TITAN_REQUESTS / TURN_TEXTS, "quota; another model"),
    ]
    return sorted(found, key=lambda stage: stage.turns)


def met_first(load: Load, setup: Setup) -> Table:
    """The limits of a load, the tightest first."""
    table = Table(title=f"{load.name}: {load.turns:,.0f} turns/s")
    table.add_column("limit")
    for column in ("turns/s", "used", "after 10 min"):
        table.add_column(column, justify="right")
    table.add_column("raised by")
    for stage in stages(load, setup):
        used = f"{load.turns / stage.turns:.0%}"
        style = "bold" if stage.effect(load.turns) else "dim"
        table.add_row(stage.name, f"{stage.turns:,.0f}", used, stage.effect(load.turns), stage.raised_by, style=style)
    return table


LOADS = (
    Load("One hot tenant, with one agent", 1_000),
    Load("One hot tenant, with one agent", 10_000),
    Load("A thousand tenants alike", 10_000, tenant=0.001, space=0.001, agent=0.001),
)


# ------------------------------------------------------------------------------------------ the check, on this machine

Result = TypeVar("Result")


def check(writers: list[int], seconds: float) -> Table:
    """The race for real, against MiniStack, beside the simulation with MiniStack's own times."""
    table = Table(title="The same race on this machine, and simulated with its times")
    for column in ("writers", "appends/s", "simulated", "puts per append", "simulated"):
        table.add_column(column, justify="right")
    with emulated():
        times = measured_times(seconds / 2)
        for count in tqdm(writers, desc="races", leave=False):
            rate, puts_each = raced(count, seconds)
            race = Race(times, random.Random(count), 20 * seconds).run(count)
            row = (f"{rate:.0f}", f"{race.rate:.0f}", f"{puts_each:.2f}", f"{race.puts_each:.2f}")
            table.add_row(str(count), *row)
    measured = f"put {1000 * times.put_s:.1f} ms and read {1000 * times.read_s:.1f} ms at MiniStack, one at a time"
    table.caption = f"{measured}; {1000 * times.client_s:.1f} ms in the writer"
    return table


def measured_times(seconds: float) -> Latencies:
    """MiniStack's times: what saturates it is served one after the other; the rest of a lone append is the writer's."""
    put_s, read_s = (1 / together(work, 4, seconds) for work in (put_new, read_tails))
    alone, _ = raced(1, seconds)
    return Latencies(put_s, read_s, client_s=max(0.0, 1 / alone - put_s), servers=1)


def raced(writers: int, seconds: float) -> tuple[float, float]:
    """Appends a second by so many processes into one conversation, and puts for each."""
    name = f"race-{writers}-{time.time_ns()}"
    body = (
        f'{{"type": "user-agent", "conversationId": "{name}", "participants": {{"userId": "u", "memorySpaceId": "s"}}}}'
    )
    Functions().request("POST", "/v1/conversations", body)
    counted = in_processes(append_for, writers, name, seconds)
    appends, puts = (sum(column) for column in zip(*counted, strict=True))
    return appends / seconds, puts / max(appends, 1)


def append_for(name: str, seconds: float) -> tuple[int, int]:
    """Append turns to a conversation until the time is over. Returns the appends and the puts that they took."""
    puts: list[None] = []
    dynamodb.client().meta.events.register("before-call.dynamodb.PutItem", lambda **_: puts.append(None))
    message = new_message({"role": "user", "content": passage(random.Random(0), 1000)})
    appends, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        append(TENANT, name, [message])
        appends += 1
    return appends, len(puts)


def together(work: Callable[[str, float], int], processes: int, seconds: float) -> float:
    """How often a second processes do their work side by side."""
    return sum(in_processes(work, processes, f"bare-{time.time_ns()}", seconds)) / seconds


def put_new(name: str, seconds: float) -> int:
    """Put entries to places of their own until the time is over."""
    bare, text = boto3.client("dynamodb", endpoint_url=os.environ["DYNAMODB_URL"]), passage(random.Random(0), 900)
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        item = {"pk": {"S": f"{name}-{os.getpid()}"}, "sk": {"S": f"E#{done:012d}"}, "text": {"S": text}}
        bare.put_item(TableName="LedgerTable", Item=item, ConditionExpression="attribute_not_exists(pk)")
        done += 1
    return done


def read_tails(name: str, seconds: float) -> int:
    """Read the tail of a conversation until the time is over."""
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        read_tail(name)
        done += 1
    return done


def in_processes(work: Callable[[str, float], Result], count: int, name: str, seconds: float) -> list[Result]:
    """The results of processes that work side by side, each over connections of its own."""
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(count, fork, initializer=dynamodb.client.cache_clear) as pool:
        return list(pool.map(work, [name] * count, [seconds] * count))


def main() -> None:
    """Model, check, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="simulated (%(default)s)")
    parser.add_argument("--raced", type=int, nargs="*", default=[1, 2, 4, 8], help="for real; none to leave it out")
    parser.add_argument("--seconds", type=float, default=5, help="of each race (%(default)s)")
    parser.add_argument("--put-ms", type=float, default=1000 * DYNAMODB.put_s, help="of DynamoDB (%(default)s)")
    parser.add_argument("--read-ms", type=float, default=1000 * DYNAMODB.read_s, help="of DynamoDB (%(default)s)")
    setup = Setup()
    parser.add_argument("--tenant-shards", type=int, default=setup.tenant_shards, help="(%(default)s)")
    parser.add_argument("--list-shards", type=int, default=setup.list_shards, help="(%(default)s)")
    parser.add_argument("--parallel", type=int, default=setup.parallel, help="StreamParallelism (%(default)s)")
    arguments = parser.parse_args()
    console = Console()
    times = Latencies(arguments.put_ms / 1000, arguments.read_ms / 1000)
    console.print(hot_conversation(arguments.writers, times, seconds=60))
    setup = Setup(arguments.tenant_shards, arguments.list_shards, arguments.parallel)
    for load in LOADS:
        console.print(met_first(load, setup))
    if arguments.raced:
        console.print(check(arguments.raced, arguments.seconds))


if __name__ == "__main__":
    main()
