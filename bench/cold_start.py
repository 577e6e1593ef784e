"""What a cold start costs in imports: each function's app.py in a fresh interpreter, beside a bare client.

Each start of a function follows one that makes ``boto3.client("dynamodb")`` and nothing else, so that a busy machine
slows both alike. Functions that use DynamoDB make their client, too. Figures are medians; the ratio is what to look at.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

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
    "used = sys.modules.get('annals.database.dynamodb'); used and used.client()"
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
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "POWERTOOLS_TRACE_DISABLED": "true",
        **CREDENTIALS,
    }


def seconds(statement: str, env: Mapping[str, str]) -> float:
    """How long a statement takes in a fresh interpreter, the interpreter's own start left out."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)  # noqa: S603 - written above
    return float(done.stdout)


def measure(names: Sequence[str], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and median ratio by name; each start is compared with a bare one just before it."""
    env, timed = environment(), statements()
    chosen = {name: timed[name] for name in names or timed if name != BARE}
    took: dict[str, list[float]] = {name: [] for name in [BARE, *chosen]}
    ratios: dict[str, list[float]] = {name: [] for name in chosen}
    for statement in timed.values():
        seconds(statement, env)
    for _ in trange(rounds, desc="rounds", leave=False):
        for name, statement in chosen.items():
            bare, value = seconds(timed[BARE], env), seconds(statement, env)
            took[BARE].append(bare)
            took[name].append(value)
            ratios[name].append(value / bare)
    return {name: (statistics.median(took[name]), statistics.median(ratios.get(name, [1.0]))) for name in took}


def to_table(measured: Mapping[str, tuple[float, float]]) -> Table:
    """The table, the fastest first."""
    table = Table(title="Cold start: imports and a DynamoDB client")
    table.add_column("function")
    for column in ("ms", "ratio", "limit"):
        table.add_column(column, justify="right")
    for name, (took_s, ratio) in sorted(measured.items(), key=lambda pair: pair[1][1]):
        limit = f"≤ {LIMITS[name]}" if name in LIMITS else ""
        table.add_row(name, f"{1000 * took_s:.0f}", f"{ratio:.2f}", limit)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*", help="names (all)")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each function (%(default)s)")
    arguments = parser.parse_args()
    Console().print(to_table(measure(arguments.functions, arguments.rounds)))


if __name__ == "__main__":
    main()
