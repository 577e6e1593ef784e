"""``annals cost``: what a turn, a search, a gigabyte and an idle month cost, from measured units and list prices."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import get_type_hints

from annals.cli.files import CommandFailed

HOURS = 730
"""Hours of a month, as AWS counts them."""


@dataclass(frozen=True)
class Prices:
    """List prices in USD, us-east-1 and arm64 (the services' pricing pages, November 2026; yours may differ).

    ``million_…`` is the price of a million of them; ``gb_…`` of a gigabyte, stored for a month where it is stored.
    """

    million_wcu: float = 0.625
    million_rcu: float = 0.125
    gb_table: float = 0.25
    gb_recovery: float = 0.20
    million_api_requests: float = 3.50
    million_invocations: float = 0.20
    gb_second: float = 0.0000133334
    million_embed_tokens: float = 0.02
    ocu_hour: float = 0.24
    gb_index: float = 0.024
    gb_logs: float = 0.50
    secret: float = 0.40
    alarm: float = 0.10
    dashboard: float = 3.00


@dataclass(frozen=True)
class Units:
    """What operations take.

    Capacity units are measured (``python -m bench.cost``, ``python -m bench.lists``; a test holds the first five to
    it). Times are those of a warm function beside DynamoDB, an embedding model and an index that answer in 5, 100 and
    40 ms; put in your own from the functions' REPORT lines. ``wake_ocus`` and ``wake_minutes`` are what a Serverless
    collection runs with, and for how long, each time that it is woken: one OCU to index and one to search, until ten
    idle minutes are over. They are AWS' words, not measured.
    """

    ledger_wcu_per_kb: float = 1
    project_wcu: float = 9
    key_wcu: float = 3
    append_rcu: float = 1
    project_rcu: float = 1
    index_rcu: float = 4
    search_rcu: float = 1
    authorizer_ms: float = 5
    append_ms: float = 25
    project_ms: float = 15
    index_ms: float = 150
    search_ms: float = 180
    function_gb: float = 0.5
    tokens_per_kb: float = 250
    embedded_times: float = 4
    question_tokens: float = 15
    index_gb_per_gb: float = 12
    wake_ocus: float = 2
    wake_minutes: float = 11
    log_kb: float = 2.0


@dataclass(frozen=True)
class Month:
    """A month's use; ``stored_gb`` is what the ledger holds.

    The index is paid for by its average capacity, ``ocus``, or by how often it is woken from its sleep, ``wakes``.
    """

    turns: float = 1_000_000
    turn_kb: float = 1.0
    with_keys: float = 0.0
    searches: float = 100_000
    stored_gb: float = 10.0
    ocus: float = 0.0
    wakes: float = 0.0
    alarms: float = 26


Lines = dict[str, float]
"""USD by what they are paid for."""


def turn_cost(prices: Prices, units: Units, month: Month) -> Lines:
    """A turn of so many KB: stored, listed, and found."""
    tokens = month.turn_kb * units.tokens_per_kb * units.embedded_times
    written = units.ledger_wcu_per_kb * month.turn_kb
    read = units.append_rcu + units.project_rcu + units.index_rcu
    return {
        "API Gateway": prices.million_api_requests / 1e6,
        "ledger, written": written * prices.million_wcu / 1e6,
        "heads and lists, written": units.project_wcu * prices.million_wcu / 1e6,
        "idempotency keys": month.with_keys * units.key_wcu * prices.million_wcu / 1e6,
        "read on the way": read * prices.million_rcu / 1e6,
        "append": _run(prices, units, units.append_ms) + _run(prices, units, units.authorizer_ms),
        "project and index": _time(prices, units, units.project_ms + units.index_ms),
        "embeddings": tokens * prices.million_embed_tokens / 1e6,
        "logs": units.log_kb * prices.gb_logs / 1e6,
    }


def search_cost(prices: Prices, units: Units) -> Lines:
    """A search, without the index' hours."""
    return {
        "API Gateway": prices.million_api_requests / 1e6,
        "read": units.search_rcu * prices.million_rcu / 1e6,
        "search": _run(prices, units, units.search_ms) + _run(prices, units, units.authorizer_ms),
        "embeddings": units.question_tokens * prices.million_embed_tokens / 1e6,
        "logs": units.log_kb * prices.gb_logs / 1e6,
    }


def gigabyte_cost(prices: Prices, units: Units) -> Lines:
    """A gigabyte of entries for a month, with its backups and its vectors."""
    return {
        "table": prices.gb_table,
        "point-in-time recovery": prices.gb_recovery,
        "index": units.index_gb_per_gb * prices.gb_index,
    }


def idle_cost(prices: Prices, units: Units, month: Month) -> Lines:
    """A month in which nothing happens and nothing is stored."""
    return {
        "root key's secret": prices.secret,
        "alarms": month.alarms * prices.alarm,
        "dashboard": prices.dashboard,
        "index, running": month.ocus * HOURS * prices.ocu_hour,
        "index, woken": month.wakes * units.wake_ocus * units.wake_minutes / 60 * prices.ocu_hour,
    }


def monthly_cost(prices: Prices, units: Units, month: Month) -> Lines:
    """The month, by what it is paid for."""
    return {
        "turns": month.turns * sum(turn_cost(prices, units, month).values()),
        "searches": month.searches * sum(search_cost(prices, units).values()),
        "stored": month.stored_gb * sum(gigabyte_cost(prices, units).values()),
        "idle": sum(idle_cost(prices, units, month).values()),
    }


def run(month: Month, settings: Iterable[str], *, as_json: bool) -> int:
    """Print what things cost. Raises CommandFailed for a setting that there is not."""
    prices, units = _with(settings)
    tables = {
        f"A turn of {month.turn_kb:g} KB, a million times": _times(turn_cost(prices, units, month), 1e6),
        "A search, a million times": _times(search_cost(prices, units), 1e6),
        "A gigabyte for a month": gigabyte_cost(prices, units),
        "An idle month": idle_cost(prices, units, month),
        "This month": monthly_cost(prices, units, month),
    }
    sys.stdout.write(json.dumps(tables, indent=2) + "\n" if as_json else "\n".join(map(_shown, tables.items())))
    return 0


def _run(prices: Prices, units: Units, milliseconds: float) -> float:
    """One invocation of a function."""
    return prices.million_invocations / 1e6 + _time(prices, units, milliseconds)


def _time(prices: Prices, units: Units, milliseconds: float) -> float:
    return milliseconds / 1000 * units.function_gb * prices.gb_second


def _times(lines: Lines, factor: float) -> Lines:
    return {name: factor * value for name, value in lines.items()}


def _with(settings: Iterable[str]) -> tuple[Prices, Units]:
    """Prices and units with the caller's own figures."""
    prices, units = Prices(), Units()
    for setting in settings:
        name, _, text = setting.partition("=")
        value = _number(name, text)
        if name in get_type_hints(Prices):
            prices = replace(prices, **{name: value})
        elif name in get_type_hints(Units):
            units = replace(units, **{name: value})
        else:
            known = ", ".join([*get_type_hints(Prices), *get_type_hints(Units)])
            raise CommandFailed(f"--set knows no {name!r}; it knows {known}")
    return prices, units


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CommandFailed(f"--set takes NAME=NUMBER, not {name}={text}") from None


def _shown(table: tuple[str, Mapping[str, float]]) -> str:
    title, lines = table
    rows = [f"  {name:<26}{value:>12,.2f}\n" for name, value in lines.items() if value]
    return f"{title}, USD\n{''.join(rows)}  {'in all':<26}{sum(lines.values()):>12,.2f}\n"
