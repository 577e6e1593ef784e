"""Appends a second and search latency over HTTP, beside what DynamoDB's stand-in does alone.

The benchmark starts a development server. Writers append turns of 200 + 800 bytes, each to a conversation of its own,
while the streams are projected and indexed as always. Just before and just after, in the same database, as many
threads put bare items of the same size on a condition; the ratio says what the functions and HTTP cost on top.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import boto3
import httpx
from rich.console import Console
from rich.table import Table
from tqdm import trange

from bench.cost import REPLY_BYTES, USER_BYTES
from bench.scores import quantile
from bench.served import Served, served
from bench.texts import passage
from local.emulator import CREDENTIALS

SPACE = "bench"
Work = Callable[[], object]


def rate(makers: list[Callable[[], Work]], seconds: float) -> float:
    """How often a second threads do their work; each maker prepares one thread's."""
    together = threading.Barrier(len(makers))

    def repeat(make: Callable[[], Work]) -> float:
        work, done = make(), 0
        together.wait()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            work()
            done += 1
        return done / (time.perf_counter() - start)

    with ThreadPoolExecutor(len(makers)) as pool:
        return sum(pool.map(repeat, makers))


def append_maker(server: Served, number: int) -> Callable[[], Work]:
    """A writer that appends turns to a conversation of its own."""

    def make() -> Work:
        http, rng, name = server.client(), random.Random(number), f"{SPACE}-{uuid.uuid4()}"
        participants = {"userId": f"user-{number}", "memorySpaceId": SPACE}
        body = {"type": "user-agent", "conversationId": name, "participants": participants}
        http.post("/v1/conversations", json=body).raise_for_status()

        def append() -> None:
            said = {"user": passage(rng, USER_BYTES), "assistant": passage(rng, REPLY_BYTES)}
            messages = [{"role": role, "content": content} for role, content in said.items()]
            http.post(f"/v1/conversations/{name}/messages", json={"messages": messages}).raise_for_status()

        return append

    return make


def put_maker(server: Served, table: str) -> Callable[[], Work]:
    """A writer that puts items of a turn's size, each on the condition that it is not there."""

    def make() -> Work:
        session = boto3.Session(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        dynamodb = session.client("dynamodb", endpoint_url=server.dynamodb_url, region_name=CREDENTIALS["AWS_REGION"])
        text = passage(random.Random(0), USER_BYTES + REPLY_BYTES)

        def put() -> None:
            item = {"pk": {"S": uuid.uuid4().hex}, "text": {"S": text}}
            dynamodb.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(pk)")

        return put

    return make


def bare_table(server: Served) -> str:
    """A table without stream or index, for the bare puts."""
    session = boto3.Session(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    dynamodb = session.client("dynamodb", endpoint_url=server.dynamodb_url, region_name=CREDENTIALS["AWS_REGION"])
    dynamodb.create_table(
        TableName="bench-bare",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    return "bench-bare"


def measure_appends(server: Served, writers: list[int], seconds: float) -> Table:
    """Appends a second by number of writers, and bare puts by as many threads."""
    table = Table(title=f"Appends of {USER_BYTES} + {REPLY_BYTES} B turns over HTTP")
    for column in ("writers", "appends/s", "bare puts/s", "ratio"):
        table.add_column(column, justify="right")
    bare = bare_table(server)
    rate([append_maker(server, 0)], 1)
    for count in writers:
        before = rate([put_maker(server, bare)] * count, seconds / 2)
        appends = rate([append_maker(server, number) for number in range(count)], seconds)
        settle(server.client())
        puts = statistics.fmean([before, rate([put_maker(server, bare)] * count, seconds / 2)])
        table.add_row(str(count), f"{appends:.0f}", f"{puts:.0f}", f"{appends / puts:.2f}")
    return table


def settle(http: httpx.Client) -> None:
    """Wait until the streams are worked off: until search finds a message that was appended now."""
    word = f"settled{uuid.uuid4().hex}"
    turn = {"memorySpaceId": SPACE, "userId": "user", "userMessage": word, "agentResponse": "Yes."}
    http.post("/v1/memory/remember", json=turn).raise_for_status()
    while not any(hit["content"] == word for hit in search(http, word)):
        time.sleep(0.2)


def search(http: httpx.Client, query: str) -> list[dict[str, object]]:
    """The ten best hits."""
    answer = http.post("/v1/memory/search", json={"memorySpaceId": SPACE, "query": query, "limit": 10})
    answer.raise_for_status()
    hits: list[dict[str, object]] = answer.json()["items"]
    return hits


def measure_searches(http: httpx.Client, count: int) -> str:
    """Latency of searches, one after the other."""
    rng, took = random.Random(1), []
    for _ in trange(count, desc="search", leave=False):
        query = passage(rng, 60)
        start = time.perf_counter()
        search(http, query)
        took.append(1000 * (time.perf_counter() - start))
    return f"Search, 10 hits, {count} times: p50 {quantile(took, 0.5):.0f} ms, p95 {quantile(took, 0.95):.0f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 8], help="(1 8)")
    parser.add_argument("--seconds", type=float, default=5, help="of appending, for each figure (%(default)s)")
    parser.add_argument("--searches", type=int, default=100, help="(%(default)s)")
    arguments = parser.parse_args()
    console = Console()
    with served() as server:
        console.print(measure_appends(server, arguments.writers, arguments.seconds))
        console.print(measure_searches(server.client(), arguments.searches))


if __name__ == "__main__":
    main()
