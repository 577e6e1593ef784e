"""Appends a second and latencies over HTTP by how much there is, beside what the database does alone.

For each size the benchmark starts a development server on a database with one conversation of so many messages, and
for each number of conversations on one with so many. Writers append turns of 200 + 800 bytes, while the streams are
projected and indexed as always: one to the large conversation, others each to one of its own, and at last all to the
large one. Just before and just after, in the same database, as many threads put bare items of the same size on a
condition; the ratio says what the functions and HTTP cost on top.

    python -m bench.throughput --sizes 100 10000 100000 --conversations 10000 --data /tmp/sized    # kept for next time
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx
from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table
from tqdm import trange

from bench.cost import REPLY_BYTES, USER_BYTES
from bench.scores import quantile
from bench.seeded import SPACE, client_of, search, seed_conversation, seed_conversations, settle, turn
from bench.served import Served, served
from bench.texts import passage

LARGE = "large"
"""The conversation of the size in question."""

BARE = "bench-bare"
"""A table without stream or index."""

Work = Callable[[], object]
Maker = Callable[[], Work]
"""Prepares the work of one thread."""


@dataclass(frozen=True)
class Rate:
    """How often a second something was done, and how long each took in milliseconds."""

    per_s: float
    took: Sequence[float]


def rate(makers: Sequence[Maker], seconds: float) -> Rate:
    """What threads that do their work side by side come to."""
    together, took = threading.Barrier(len(makers)), list[float]()

    def repeat(make: Maker) -> float:
        work, own = make(), list[float]()
        together.wait()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            own.append(milliseconds(work))
        took.extend(own)
        return len(own) / (time.perf_counter() - start)

    with ThreadPoolExecutor(len(makers)) as pool:
        return Rate(sum(pool.map(repeat, makers)), took)


def milliseconds(work: Work) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def append_maker(server: Served, number: int, name: str | None = None) -> Maker:
    """A writer that appends turns to a conversation, or to a new one of its own.

    It writes to a bare connection: the client shares the cores with what is measured, and httpx takes 0.3 ms a request.
    """

    def make() -> Work:
        http, rng = server.client(), random.Random(number)
        path = f"/v1/conversations/{name or new_conversation(http)}/messages"
        headers = {"Authorization": http.headers["Authorization"], "Content-Type": "application/json"}
        connection = HTTPConnection(http.base_url.host, http.base_url.port)

        def append() -> None:
            connection.request("POST", path, json.dumps({"messages": turn(rng)}), headers)
            response = connection.getresponse()
            if (body := response.read()) and response.status != 201:
                raise RuntimeError(f"{response.status}: {body.decode()}")

        return append

    return make


def new_conversation(http: httpx.Client) -> str:
    """The id of a new conversation."""
    name = f"{SPACE}-{uuid.uuid4()}"
    participants = {"userId": "user", "memorySpaceId": SPACE}
    body = {"type": "user-agent", "conversationId": name, "participants": participants}
    http.post("/v1/conversations", json=body).raise_for_status()
    return name


def put_maker(server: Served) -> Maker:
    """A writer that puts items of a turn's size, each on the condition that it is not there."""

    def make() -> Work:
        dynamodb = client_of(server.dynamodb_url)
        text = passage(random.Random(0), USER_BYTES + REPLY_BYTES)

        def put() -> None:
            item = {"pk": {"S": uuid.uuid4().hex}, "text": {"S": text}}
            dynamodb.put_item(TableName=BARE, Item=item, ConditionExpression="attribute_not_exists(pk)")

        return put

    return make


def make_bare_table(url: str) -> None:
    """Create the table of the bare puts in a database, where it is missing."""
    try:
        client_of(url).create_table(
            TableName=BARE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise


def writers_of(server: Served, writers: Sequence[int]) -> Iterator[tuple[str, list[Maker]]]:
    """The kinds of writing, each by a name."""
    for count in writers:
        others = [append_maker(server, number) for number in range(1, count)]
        yield f"{count}", [append_maker(server, 0, LARGE), *others]
    if max(writers) > 1:
        yield f"{max(writers)} in one", [append_maker(server, number, LARGE) for number in range(max(writers))]


def measure_appends(server: Served, table: Table, name: str, writers: Sequence[int], seconds: float) -> None:
    """Rows with appends a second by number of writers, and bare puts by as many threads."""
    make_bare_table(server.dynamodb_url)
    rate([append_maker(server, 0, LARGE)], 1)
    for kind, makers in writers_of(server, writers):
        before = rate([put_maker(server)] * len(makers), seconds / 2)
        appends = rate(makers, seconds)
        settle(server.client())
        after = rate([put_maker(server)] * len(makers), seconds / 2)
        bare, ms = (before.per_s + after.per_s) / 2, [f"{quantile(appends.took, share):.1f}" for share in (0.5, 0.95)]
        table.add_row(name, kind, f"{appends.per_s:.0f}", *ms, f"{bare:.0f}", f"{appends.per_s / bare:.2f}")


def measure_reads(server: Served, table: Table, name: str, count: int) -> None:
    """A row with the latencies of reads, one after the other."""
    http, rng = server.client(), random.Random(1)
    reads: list[Work] = [
        lambda: http.get(f"/v1/conversations/{LARGE}/messages?limit=50").raise_for_status(),
        lambda: search(http, passage(rng, 60)),
        lambda: http.get("/v1/conversations?limit=50").raise_for_status(),
        lambda: http.get(f"/v1/conversations?limit=50&participants.memorySpaceId={SPACE}").raise_for_status(),
    ]
    cells = []
    for read in reads:
        took = [milliseconds(read) for _ in trange(count, desc="reads", leave=False)]
        cells.append(f"{quantile(took, 0.5):.0f} / {quantile(took, 0.95):.0f}")
    table.add_row(
        name,
        *cells,
        f"{server.started_s:.1f}",
        f"{server.megabytes('annals'):,.0f}",
        f"{server.megabytes('index'):,.0f}",
    )


def new_tables() -> tuple[Table, Table]:
    """A table of appends and one of reads."""
    appends = Table(title=f"Appends of {USER_BYTES} + {REPLY_BYTES} B turns over HTTP")
    reads = Table(title="Reads over HTTP, ms: p50 / p95", caption="the server's start in s, its files in MB")
    for table, columns in (
        (appends, ("writers", "appends/s", "p50 ms", "p95 ms", "bare puts/s", "ratio")),
        (reads, ("last 50", "search", "conversations", "of a space", "start", "database", "index")),
    ):
        table.add_column("database")
        for column in columns:
            table.add_column(column, justify="right")
    return appends, reads


def stages(sizes: Sequence[int], conversations: Sequence[int]) -> Iterator[tuple[str, Callable[[Served], None]]]:
    """What databases there are, each by a name with what fills it."""
    for size in sizes:
        yield f"{size:,} messages", lambda server, size=size: seed_conversation(server, LARGE, size)  # type: ignore[misc]
    for count in conversations:
        yield f"{count:,} conversations", lambda server, count=count: seed_many(server, count)  # type: ignore[misc]


def seed_many(server: Served, conversations: int) -> None:
    """So many conversations, and one to write to."""
    seed_conversations(server, conversations)
    seed_conversation(server, LARGE, 2)


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 2_000], help="messages (100 2000)")
    parser.add_argument("--conversations", type=int, nargs="*", default=[200], help="(200)")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 8], help="(1 8)")
    parser.add_argument("--seconds", type=float, default=5, help="of appending, for each figure (%(default)s)")
    parser.add_argument("--reads", type=int, default=50, help="of each kind (%(default)s)")
    parser.add_argument("--data", type=Path, help="a folder that keeps the databases (default: none are kept)")
    parser.add_argument("--seed-only", action="store_true", help="fill the databases of --data, and measure nothing")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments, console, (appends, reads) = options(), Console(), new_tables()
    for name, seed in stages(arguments.sizes, arguments.conversations):
        folder = arguments.data / name.replace(",", "").replace(" ", "-") if arguments.data else None
        with served(folder) as server:
            seed(server)
            if not arguments.seed_only:
                measure_reads(server, reads, name, arguments.reads)
                measure_appends(server, appends, name, arguments.writers, arguments.seconds)
    for table in (appends, reads):
        if table.row_count:
            console.print(table)


if __name__ == "__main__":
    main()
