"""What lists and histories cost: read units and milliseconds, by how much there is.

Lists are read from indexes that hold keys only, 0.5 read units per 4 KB, and the heads by BatchGetItem; histories are
strongly consistent. Read units are worked out from the sizes of what is read, since emulators' figures differ. The
functions run in this process, over a MiniStack of their own.

    python -m bench.lists                                         # 100 and 10,000 conversations and messages
    python -m bench.lists --sizes 100 1000 --samples 5            # less, and faster
"""

from __future__ import annotations

import argparse
import random
import statistics
from functools import partial
from itertools import islice

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from annals.conversations.genesis import Genesis, genesis_entry
from annals.conversations.heads import initial_head, to_head_item
from annals.database import dynamodb
from annals.database.dynamodb import Item
from annals.ledger.entry import Tail
from annals.times import now_ms
from bench.cost import Conversation, Meter, milliseconds
from bench.emulated import TENANT, Functions, emulated

BATCH = 25
"""How many items one request writes, as BatchWriteItem takes them."""

LISTS = {
    "by activity": "",
    "by activity, of a user": "&participants.userId=ada",
    "by activity, of an agent": "&participants.agentId=bot",
    "by activity, of a space": "&participants.memorySpaceId=bench",
    "by creation": "&sortBy=createdAt",
    "by activity, one in ten matches": "&metadata.tenth=0",
    "by number of messages": "&sortBy=messageCount",
}
COUNTS = {"all": "", "of a space": "participants.memorySpaceId=bench", "of a user": "participants.userId=ada"}


def head_item(number: int) -> Item:
    """The head of a made-up conversation."""
    genesis = Genesis(
        tenant=TENANT,
        conversation_id=f"listed-{number}",
        type="user-agent",
        participants={"userId": "ada", "agentId": "bot", "memorySpaceId": "bench"},
        metadata={"tenth": number % 10, "title": f"Conversation number {number}"},
        created_by="bench",
        created_at=now_ms() - 1000 * number,
        stored_at=now_ms(),
    )
    return to_head_item(initial_head(genesis, Tail.of(genesis_entry(genesis, "0" * 16))))


def make_heads(first: int, last: int) -> None:
    """Store the heads of made-up conversations."""
    puts = ({"PutRequest": {"Item": head_item(number)}} for number in range(first, last))
    with tqdm(total=last - first, desc="conversations", leave=False) as progress:
        while batch := list(islice(puts, BATCH)):
            dynamodb.client().batch_write_item(RequestItems={"StateTable": batch})
            progress.update(len(batch))


def measure_lists(meter: Meter, functions: Functions, sizes: list[int], samples: int) -> Table:
    """Read units and milliseconds of a page of 50 conversations, and of counts."""
    table = new_table("Conversations: a page of 50, and counts", "read", sizes)
    cells: dict[str, list[str]] = {}
    count = 0
    for size in sizes:
        make_heads(count, size)
        count = size
        for name, query in LISTS.items():
            read = partial(functions.request, "GET", "/v1/conversations", query=f"limit=50{query}")
            cells.setdefault(name, []).extend(measured(meter, read, samples))
        for name, query in COUNTS.items():
            read = partial(functions.request, "GET", "/v1/conversations/count", query=query)
            cells.setdefault(f"count, {name}", []).extend(measured(meter, read, samples))
    for name, figures in cells.items():
        table.add_row(name, *figures)
    return table


def measure_histories(meter: Meter, functions: Functions, sizes: list[int], samples: int) -> Table:
    """Read units and milliseconds of pages of a history."""
    table = new_table("Messages: a page of 50", "read", sizes)
    grown = [Conversation(functions, f"history-{size}", random.Random(size)) for size in sizes]
    for conversation, size in zip(grown, sizes, strict=True):
        conversation.make("user")
        conversation.grow(size)
    for name, query in {
        "the last 50": "",
        "the first 50": "&order=asc",
        "50 in the middle": "&order=asc&offset={half}",
        "one run": "&lastRuns=1",
    }.items():
        figures: list[str] = []
        for conversation, size in zip(grown, sizes, strict=True):
            parameters = f"limit=50{query.format(half=size // 2)}"
            read = partial(functions.request, "GET", f"{conversation.path}/messages", query=parameters)
            figures += measured(meter, read, samples)
        table.add_row(name, *figures)
    return table


def new_table(title: str, first: str, sizes: list[int]) -> Table:
    """A table with two columns of figures per size."""
    table = Table(title=title)
    table.add_column(first)
    for size in sizes:
        for unit in ("RCU", "ms"):
            table.add_column(f"{unit} of {size:,}", justify="right")
    return table


def measured(meter: Meter, read: partial[object], samples: int) -> tuple[str, str]:
    """Read units, and the median of some times."""
    with meter.metered() as used:
        read()
    return f"{used.read:,g}", f"{statistics.median(milliseconds(read) for _ in range(samples)):,.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000], help="of each (100 10000)")
    parser.add_argument("--samples", type=int, default=9, help="of each time (%(default)s)")
    arguments = parser.parse_args()
    console, sizes = Console(), sorted(arguments.sizes)
    with emulated():
        functions, meter = Functions(), Meter()
        console.print(measure_lists(meter, functions, sizes, arguments.samples))
        console.print(measure_histories(meter, functions, sizes, arguments.samples))


if __name__ == "__main__":
    main()
