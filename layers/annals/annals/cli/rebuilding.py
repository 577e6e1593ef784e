"""``annals rebuild``, ``drift`` and ``redrive``: what is derived from the tables, anew, compared, caught up."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from annals.cli.files import CommandFailed
from annals.cli.progress import item_bar
from annals.errors import AnnalsError, ConfigurationError
from annals.memory import adapters
from annals.memory.indexing.drift import LAG_S, DriftReport, find_drift
from annals.memory.indexing.indexer import IndexFailures
from annals.memory.indexing.table_scan import count_table_items
from annals.operations.rebuild import drop_heads_ahead, rebuild_heads, rebuild_index, rebuild_people
from annals.operations.redrive import redrive

WHERE = (
    "This command reads the tables themselves: set AWS_REGION and credentials for those of a stack, or DYNAMODB_URL "
    "and the other settings of the server for those of a laptop (docs/search-index.md tells them)."
)


def run_heads(*, drop_ahead: bool) -> int:
    """Rebuild the heads of all conversations."""
    with _answering(), item_bar("heads") as bar:
        if drop_ahead:
            sys.stdout.write(f"{drop_heads_ahead(bar.update)} heads dropped\n")
        rebuilt = rebuild_heads(bar.update)
    sys.stdout.write(f"{rebuilt.items} conversations\n")
    return 0


def run_people() -> int:
    """Write anew what leads to a person's things."""
    with _answering(), item_bar("items", count_table_items()) as bar:
        rebuilt = rebuild_people(bar.update)
    sys.stdout.write(f"{rebuilt.items} items\n")
    return 0


def run_index(*, beside: str, restart: bool) -> int:
    """Build the search index anew, put it in service, and compare it with the tables."""
    with _answering():
        index, embedder = adapters.index(), adapters.embedder()
        if restart:
            index.drop_next()
        with item_bar("indexed", count_table_items()) as bar:
            rebuilt = rebuild_index(index, embedder, bar.update, beside=beside)
        sys.stdout.write(f"{rebuilt.items} items indexed, and the new index is in service\n")
        _tell_failures(rebuilt.failed)
        with item_bar("compared", count_table_items()) as bar:
            drift = find_drift(index, embedder, bar.update, lag_s=LAG_S)
    return _tell(drift, as_json=False)


def run_drift(*, repair: bool, as_json: bool) -> int:
    """Compare the search index with the tables, and repair it with ``repair``."""
    with _answering(), item_bar("compared", count_table_items()) as bar:
        drift = find_drift(adapters.index(), adapters.embedder(), bar.update, repair=repair, lag_s=LAG_S)
    status = _tell(drift, as_json=as_json)
    return (1 if drift.failed.count else 0) if repair else status


def run_redrive(url: str) -> int:
    """Work off a queue of failures; 1 where a message failed or came too late."""
    with _answering():
        redriven = redrive(url)
    sys.stdout.write(f"{redriven.done} done, {redriven.failed} failed, {redriven.others} of another kind\n")
    if redriven.failed:
        sys.stdout.write(f"  the last one: {redriven.last_reason}\n")
    if redriven.expired:
        sys.stdout.write(
            f"{redriven.expired} are older than the stream: `annals drift --repair` finds what they meant\n"
        )
    return 1 if redriven.failed or redriven.expired else 0


def _tell(drift: DriftReport, *, as_json: bool) -> int:
    """Print a report; 0 where nothing is off."""
    if as_json:
        sys.stdout.write(
            json.dumps({"documents": drift.documents, **drift.counts, "failed": drift.failed.count}) + "\n"
        )
    else:
        sys.stdout.write(f"documents {drift.documents:>9}\n")
        for kind, count in drift.counts.items():
            sys.stdout.write(f"{kind:<9} {count:>9}  {' '.join(drift.first[kind])}".rstrip() + "\n")
        _tell_failures(drift.failed)
    return 1 if any(drift.counts.values()) else 0


def _tell_failures(failed: IndexFailures) -> None:
    if failed.count:
        sys.stdout.write(f"{failed.count} could not be indexed\n")
    for memory_id, reason in failed.first.items():
        sys.stdout.write(f"  {memory_id}: {reason}\n")


@contextmanager
def _answering() -> Iterator[None]:
    """What tables, index and model refuse, as the command says it."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except ConfigurationError as error:
        raise CommandFailed(str(error)) from error
    except (NoRegionError, NoCredentialsError) as error:
        raise CommandFailed(f"{error}. {WHERE}") from error
    except (AnnalsError, BotoCoreError, ClientError) as error:
        raise CommandFailed(f"{error} What was done is kept: the same command goes on.") from error
