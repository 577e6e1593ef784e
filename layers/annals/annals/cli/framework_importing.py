"""``annals import --from``: what an agents' framework keeps in its own database."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from annals.cli.files import CommandFailed
from annals.cli.service import connect


def run_agno(
    url: str, key: str, source: Path, memory_space_id: str | None, *, dry_run: bool = False, as_json: bool = False
) -> int:
    """Copy an agno database and report what was stored; 1 where sessions belong to others. Raises CommandFailed."""
    try:
        from annals_client.integrations.agno import AnnalsDb
        from annals_client.integrations.agno.copying import copy_database, open_database
        from annals_client.integrations.agno.directory import SPACE

        database = open_database(source)
    except ImportError as missing:
        raise CommandFailed(str(missing)) from missing
    except OSError as error:
        raise CommandFailed(f"{source} cannot be read: {error.strerror or error}") from None
    with connect(url, key) as annals:
        target = AnnalsDb(annals, memory_space_id=memory_space_id or SPACE)
        report = asdict(copy_database(database, target, dry_run=dry_run))
    sys.stdout.write(f"{json.dumps(report)}\n" if as_json else _table(report, is_dry_run=dry_run))
    return 1 if report["refused"] else 0


def _table(report: Mapping[str, Any], *, is_dry_run: bool) -> str:
    kinds = ("sessions", "runs", "memories")
    rows = [
        ("", kinds),
        ("would be imported" if is_dry_run else "imported", [report[kind] for kind in kinds]),
        ("there before", [report[f"{kind}_there"] for kind in kinds]),
    ]
    lines = [f"{name:<18}{''.join(f'{value:>10}' for value in values)}" for name, values in rows]
    lines += [f"  {session_id!r} is another user's in Annals" for session_id in report["refused"]]
    return "".join(f"{line}\n" for line in lines)
