"""What a cold start costs in imports: each function's app.py in a fresh interpreter, beside a bare client.

Every round starts one interpreter per function and one that makes ``boto3.client("dynamodb")``, in turns, so that a
busy machine slows all of them alike. Functions that use DynamoDB make their client, too. Figures are medians over the
rounds; the ratio is what to look at.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from tqdm import trange

from local import template
from local.emulator import CREDENTIALS
from local.template import ROOT

LIMITS = {"append": 1.8}
BARE = "boto3.client('dynamodb')"
IMPORTED = (
    "import sys; sys.path.insert(0, {folder!r}); import app; "
    "used = sys.modules.get('annals.dynamodb'); used and used.client()"
)
TIMED = "import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"


def statements() -> dict[str, str]:
    """What to time, by name: the bare client, and every function as its runtime starts it."""
    functions = {
        name: IMPORTED.format(folder=str(folder))
        for name, folder in template.read().functions.items()
        if (folder / "app.py").exists()
    }
    return {BARE: "import boto3; boto3.client('dynamodb')", **functions}


def environment() -> dict[str, str]:
    """The functions' environment; modules are compiled already, as they are from the second start on."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'layers/annals'}:{ROOT}",
        "POWERTOOLS_TRACE_DISABLED": "true",
        **CREDENTIALS,
    }


def seconds(statement: str, env: Mapping[str, str]) -> float:
    """How long a statement takes in a fresh interpreter, the interpreter's own start left out."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)  # noqa: S603 - written above
    return float(done.stdout)


def measure(rounds: int) -> dict[str, float]:
    """Median seconds by name."""
    env, timed = environment(), statements()
    for statement in timed.values():
        seconds(statement, env)
    took: dict[str, list[float]] = {name: [] for name in timed}
    for _ in trange(rounds, desc="rounds", leave=False):
        for name, statement in timed.items():
            took[name].append(seconds(statement, env))
    return {name: statistics.median(values) for name, values in took.items()}


def shown(took: Mapping[str, float]) -> Table:
    """The table, the fastest first."""
    table = Table(title="Cold start: imports and a DynamoDB client")
    table.add_column("function")
    for column in ("ms", "ratio", "limit"):
        table.add_column(column, justify="right")
    for name, value in sorted(took.items(), key=lambda pair: pair[1]):
        limit = f"≤ {LIMITS[name]}" if name in LIMITS else ""
        table.add_row(name, f"{1000 * value:.0f}", f"{value / took[BARE]:.2f}", limit)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="starts of each function (%(default)s)")
    Console().print(shown(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
