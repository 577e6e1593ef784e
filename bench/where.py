"""Where the milliseconds of an append over HTTP go on one machine: each part measured by itself.

A development server is asked for a page beside the API, for its health and for appends. The functions are called in
this process, on the same database; a put is sent to that with boto3 and as bytes, and to a database in memory.

    python -m bench.where --samples 300
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import trange

from bench.cost import REPLY_BYTES, USER_BYTES
from bench.seeded import settle, turn
from bench.served import Served, served
from bench.texts import passage
from bench.throughput import BARE, append_maker, make_bare_table, milliseconds, new_conversation, put_maker
from local import dynoxide, environment, events, template
from local.events import Match, Request
from local.workers import invoke

PAUSE_S = 0.3
"""Between appends that are to find nothing else at work."""

HEADERS = (("authorization", "Bearer local"), ("content-type", "application/json"))
PUT_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.PutItem",
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
}


def median(what: str, work: Callable[[], object], samples: int, pause_s: float = 0.0) -> float:
    """The median of how long something takes, in milliseconds; the first tenth is not counted."""
    took = []
    for _ in trange(samples, desc=what, leave=False):
        time.sleep(pause_s)
        took.append(milliseconds(work))
    return statistics.median(took[samples // 10 :])


def over_http(server: Served, samples: int) -> dict[str, float]:
    """A page, a function that does next to nothing, and appends, in a row and with pauses."""
    http, append = server.client(), append_maker(server, 0)()
    times = {
        "page": median("page", lambda: http.get("/"), samples),
        "health": median("health", lambda: http.get("/v1/health").raise_for_status(), samples),
        "in a row": median("appends in a row", append, samples),
    }
    settle(http)
    return {**times, "alone": median("appends with pauses", append, samples // 5, PAUSE_S)}


def in_process(server: Served, samples: int) -> dict[str, float]:
    """The functions, as workers call them."""
    os.environ["DYNAMODB_URL"] = server.dynamodb_url
    environment.set_defaults(os.environ, server.data, template.read())
    environment.replace_credentials(os.environ)
    path, rng = f"/v1/conversations/{new_conversation(server.client())}/messages", random.Random(1)
    request = _request("POST", path)
    caller = events.caller_context(invoke("authorizer", events.authorizer_event(*request)))
    health = events.proxy_event(*_request("GET", "/v1/health"))

    def append() -> None:
        append_request = _request("POST", path, json.dumps({"messages": turn(rng)}))
        answer = invoke("append", events.proxy_event(*append_request, caller))
        if answer["statusCode"] != 201:
            raise RuntimeError(answer["body"])

    return {
        "nothing": median("health's function", lambda: invoke("fallback", health), samples),
        "authorizer": median("authorizer", lambda: invoke("authorizer", events.authorizer_event(*request)), samples),
        "append": median("append's function", append, samples),
    }


def _request(method: str, path: str, body: str = "") -> tuple[Request, Match]:
    route_match = events.match(template.read().routes, method, path)
    if route_match is None:
        raise RuntimeError(f"There is no route {method} {path}.")
    return Request(method, path, "", HEADERS, body.encode(), "127.0.0.1"), route_match


def in_database(server: Served, samples: int) -> dict[str, float]:
    """A put on a condition: with boto3, as bytes, and as bytes to a database in memory."""
    times = {
        "boto3": median("put with boto3", put_maker(server)(), samples),
        "bytes": median("put of bytes", raw_put(server.dynamodb_url), samples),
    }
    with tempfile.TemporaryDirectory(prefix="annals-bench-") as folder, dynoxide.in_memory(Path(folder)) as running:
        make_bare_table(running.url)
        return {**times, "in memory": median("put in memory", raw_put(running.url), samples)}


def raw_put(url: str) -> Callable[[], object]:
    """Sends a put of a turn's size as bytes: nothing is signed, nothing parsed."""
    connection = HTTPConnection(url.removeprefix("http://"))
    text = passage(random.Random(0), USER_BYTES + REPLY_BYTES)

    def put() -> None:
        item = {"pk": {"S": uuid.uuid4().hex}, "text": {"S": text}}
        parameters = {"TableName": BARE, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        connection.request("POST", "/", json.dumps(parameters), PUT_HEADERS)
        answer = connection.getresponse()
        if answer.read() and answer.status != 200:
            raise RuntimeError(f"The put was answered {answer.status}.")

    return put


def parts(times: dict[str, float]) -> dict[str, float]:
    """What each part takes, out of the times of what contains it."""
    return {
        "HTTP, in the client and in the server": times["page"],
        "to a worker and back, routes and events": times["health"] - times["page"] - times["nothing"],
        "authorizer": times["authorizer"],
        "function, without its put": times["append"] - times["boto3"],
        "boto3: serialise, sign, send, parse": times["boto3"] - times["bytes"],
        "database, without the disk": times["in memory"],
        "the disk (fsync)": times["bytes"] - times["in memory"],
    }


def to_table(times: dict[str, float]) -> Table:
    """The parts, their sum, and what was measured of the whole."""
    table = Table(title=f"An append of {USER_BYTES} + {REPLY_BYTES} B over HTTP")
    table.add_column("part")
    table.add_column("ms", justify="right")
    for name, took in parts(times).items():
        table.add_row(name, f"{took:.1f}")
    table.add_section()
    table.add_row("sum", f"{sum(parts(times).values()):.1f}")
    table.add_row(f"measured, alone, every {PAUSE_S} s", f"{times['alone']:.1f}")
    table.add_row("measured in a row, with lists and index kept up beside it", f"{times['in a row']:.1f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200, help="of each part (%(default)s)")
    arguments = parser.parse_args()
    with served() as server:
        make_bare_table(server.dynamodb_url)
        samples = arguments.samples
        times = over_http(server, samples) | in_process(server, samples) | in_database(server, samples)
    Console().print(to_table(times))


if __name__ == "__main__":
    main()
