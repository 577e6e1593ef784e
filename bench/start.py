"""What an Annals in memory costs a test run: its start, a test's own client, a turn until it is found, its stop.

Each run starts a sandbox of its own, as ``annals_client.testing`` does. Figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from tqdm import trange

from annals_client.testing import Sandbox

TURN = {"memory_space_id": "demo", "user_id": "ada", "user_message": "I like tea.", "agent_response": "Noted."}
TESTS = 20
"""How many tests' worth of turns each sandbox sees."""


class Watch:
    """How long each step took, by its name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        yield
        self.seconds[step].append(time.perf_counter() - started)


def run(watch: Watch) -> None:
    """Start a sandbox, use it as tests do, and stop it."""
    sandbox = Sandbox()
    with watch.time("start"):
        sandbox.start()
    for _ in range(TESTS):
        with watch.time("a test's client"):
            annals = sandbox.client()
        with watch.time("remember"):
            annals.memory.remember(**TURN)
        with watch.time("settle"):
            annals.settle()
        with watch.time("search"):
            results = annals.memory.search("tea", memory_space_id="demo")
        assert len(results) == 2
    with watch.time("stop"):
        sandbox.stop()


def to_table(watch: Watch) -> Table:
    """The table, in the order of a run."""
    table = Table(title="An Annals in memory")
    table.add_column("step")
    for column in ("median, ms", "slowest, ms"):
        table.add_column(column, justify="right")
    for step, seconds in watch.seconds.items():
        table.add_row(step, f"{1000 * statistics.median(seconds):.0f}", f"{1000 * max(seconds):.0f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="sandboxes, one after the other (%(default)s)")
    arguments = parser.parse_args()
    watch = Watch()
    for _ in trange(arguments.runs, desc="sandboxes", leave=False):
        run(watch)
    Console().print(to_table(watch))


if __name__ == "__main__":
    main()
