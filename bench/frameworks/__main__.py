"""What a turn costs in DynamoDB, in a framework's own store and in ours, by one method.

A turn is what a user says, 200 bytes of English, and what a model answers, 800 bytes. It is taken by the framework
itself, with an agent that is made anew for each turn, as in a Lambda function. The database is dynoxide; a proxy before
it counts all requests and the capacity units that each answer reports, indexes included. For Annals that is all that
its functions do, the lists and figures that follow from a turn included; a second proxy counts the requests to Annals.

    python -m bench.frameworks strands --turns 10 50 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import trange

from bench.cost import REPLY_BYTES, USER_BYTES, listed
from bench.frameworks.counting import CountingProxy, Used
from bench.served import served
from bench.texts import passage
from local import dynoxide
from local.template import ROOT
from scripts.framework_environments import REQUIREMENTS, UV

PEERS: dict[str, tuple[str, ...]] = {
    "agent_framework": (),
    "agno": ("boto3==1.44.8", "sqlalchemy[asyncio]==2.1.9", "aiosqlite==0.22.1"),
    "google_adk": (),
    "langchain": ("langchain-core==1.8.3", "langchain-community==0.4.2", "boto3"),
    "llama_index": ("llama-index-storage-chat-store-dynamodb==0.6.0",),
    "langgraph": ("langgraph-checkpoint-aws==1.2.6",),
    "openai_agents": (),
    "pydantic_ai": (),
    "strands": ("strands-dynamodb-storage==0.1.0",),
    "vision_agents": (),
}
"""The frameworks that are measured, and what their own stores need beside the environment of our adapter's tests."""

OF_THE_CLIENT = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]["dependencies"]

TURNS = ROOT / "bench/frameworks/turns"
ENVIRONMENTS = Path(sys.prefix) / "bench"
QUIET_S = 1.0
"""After this long without a request, what follows from a turn is done."""

SETTLE_S = 60


@dataclass(frozen=True)
class Turn:
    """What a turn took: of the database, and how many requests to Annals."""

    number: int
    used: Used
    requests: int
    milliseconds: float


@dataclass(frozen=True)
class Measured:
    """The turns of a store that were looked at, all that was used, and how it failed, if it did."""

    store: str
    turns: list[Turn]
    total: Used
    failed_at: int | None = None
    failure: str = ""


def python_of(name: str) -> Path:
    """The Python of a framework's environment, with its own stores; installed where it is missing."""
    folder = ENVIRONMENTS / name
    # Not the pins: own stores need other versions of some packages.
    framework = REQUIREMENTS / f"{name}.in"
    wanted = "\n".join([*PEERS[name], framework.read_text() if framework.exists() else "", *OF_THE_CLIENT])
    ready = folder / ".ready"
    if not ready.exists() or ready.read_text() != wanted:
        install = [UV, "pip", "install", "--quiet", "--python", folder / "bin/python"]
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)  # noqa: S603
        subprocess.run([*install, "--requirement", "-"], input=wanted, text=True, check=True)  # noqa: S603
        ready.write_text(wanted)
    return folder / "bin/python"


class Program:
    """The program that takes turns with a framework."""

    def __init__(self, name: str, **variables: str) -> None:
        self._command = [str(python_of(name)), "-m", f"bench.frameworks.turns.{name}"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANNALS_"))}
        self._env = {**kept, **variables, "PYTHONPATH": os.pathsep.join((str(ROOT / "client"), str(ROOT)))}

    def stores(self) -> dict[str, bool]:
        """Its stores by name, and whether they are ours."""
        done = subprocess.run(self._command, env=self._env, cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603
        return dict(json.loads(done.stdout))

    @contextlib.contextmanager
    def taking_turns(self, store: str, log: Path) -> Iterator[subprocess.Popen[str]]:
        """The program with a store, which takes a turn for each line, until the block ends."""
        with log.open("w") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self._command, store],
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                yield process
            finally:
                process.communicate(timeout=SETTLE_S)


def measure(name: str, store: str, *, is_ours: bool, looked_at: list[int]) -> Measured:
    """Take turns with a store over a database of its own, and note those that are looked at."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="annals-bench-")))
        database = CountingProxy(stack.enter_context(dynoxide.in_memory(folder)).url)
        stack.enter_context(database.serving())
        variables, requests = {"BENCH_DYNAMODB_URL": database.url}, None
        if is_ours:
            server = stack.enter_context(served(DYNAMODB_URL=database.url, EMBEDDINGS_URL="offline"))
            requests = stack.enter_context(CountingProxy(server.url).serving())
            variables = {"ANNALS_URL": requests.url, "ANNALS_KEY": "local"}
        program = Program(name, **variables)
        process = stack.enter_context(program.taking_turns(store, folder / "turns.log"))
        try:
            return take_turns(store, process, database, requests, looked_at)
        except BrokenPipeError:
            raise RuntimeError(f"The program ended: {(folder / 'turns.log').read_text()}") from None


def take_turns(
    store: str,
    process: subprocess.Popen[str],
    database: CountingProxy,
    requests: CountingProxy | None,
    looked_at: list[int],
) -> Measured:
    """Have turns taken up to the last that is looked at, or to the one that fails."""
    rng, turns = random.Random(0), list[Turn]()
    started = settled(database)
    for number in trange(1, max(looked_at) + 1, desc=store, leave=False, disable=None):
        before = settled(database) if number in looked_at else database.used()
        asked = requests.used().requests.total() if requests else 0
        begun = time.perf_counter()
        failure = take_turn(process, number, passage(rng, USER_BYTES), passage(rng, REPLY_BYTES))
        took = 1000 * (time.perf_counter() - begun)
        if failure:
            return Measured(store, turns, database.used().minus(started), number, failure)
        if number in looked_at:
            asked = requests.used().requests.total() - asked if requests else 0
            turns.append(Turn(number, settled(database).minus(before), asked, took))
    return Measured(store, turns, settled(database).minus(started))


def take_turn(process: subprocess.Popen[str], number: int, user: str, reply: str) -> str | None:
    """Have a turn taken; how it failed, if it did."""
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - they are pipes
    process.stdin.write(json.dumps({"number": number, "user": user, "reply": reply}) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise BrokenPipeError
    failure: str | None = json.loads(answer)["failure"]
    return failure


def settled(database: CountingProxy) -> Used:
    """What was used, once nothing more follows."""
    deadline, seen, since = time.monotonic() + SETTLE_S, database.used(), time.monotonic()
    while time.monotonic() < min(deadline, since + QUIET_S):
        time.sleep(0.05)
        used = database.used()
        if used.written != seen.written:
            seen, since = used, time.monotonic()
    return database.used()


def to_table(name: str, results: list[Measured], looked_at: list[int]) -> Table:
    """The figures, a row for each store."""
    table = Table(title=f"{name}: a turn of {USER_BYTES} + {REPLY_BYTES} B, at turn {listed(looked_at)}")
    table.add_column("store")
    for column in ("WCU", "RCU", "requests to DynamoDB", "to Annals", "ms", "WCU of all turns", "RCU"):
        table.add_column(column, justify="right")
    table.add_column("fails")
    for result in results:
        table.add_row(
            result.store,
            listed(turn.used.written.total() for turn in result.turns),
            listed(turn.used.read for turn in result.turns),
            listed(turn.used.requests.total() for turn in result.turns),
            listed(turn.requests for turn in result.turns),
            listed(round(turn.milliseconds) for turn in result.turns),
            f"{result.total.written.total():,.0f}",
            f"{result.total.read:,.0f}",
            f"at turn {result.failed_at}: {result.failure[:160]}" if result.failed_at else "",
        )
    return table


def main() -> None:
    """Measure the frameworks that are named, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frameworks", nargs="*", default=[*PEERS], help=f"some of {', '.join(PEERS)} (all)")
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 50, 100], help="to look at (10 50 100)")
    parser.add_argument("--stores", nargs="+", help="only those whose name begins so")
    arguments = parser.parse_args()
    looked_at = sorted(arguments.turns)
    for name in arguments.frameworks:
        stores = Program(name).stores()
        chosen = [each for each in stores if each.startswith(tuple(arguments.stores or ("",)))]
        results = [measure(name, each, is_ours=stores[each], looked_at=looked_at) for each in chosen]
        Console(width=200).print(to_table(name, results, looked_at))


if __name__ == "__main__":
    main()
