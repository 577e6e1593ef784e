"""What streaming costs beside the model: until the first delta, for each delta, and for keeping what came.

All figures are taken in one run, each beside what it is compared with, so that a busy machine slows both; look at the
ratios. Buffering is what a reply costs the turn itself: taking in every piece, cutting them into batches for the draft,
and the whole text at the end, beside appending the same pieces to a list and joining it. Deltas and first deltas are
measured at a follower of the turn, beside the bare model's own; turns and drafts are kept in memory for that.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from annals.http import sse
from annals.memory.streaming.draft_recorder import GrowingReply
from annals.memory.streaming.streamed_turns import StreamedTurns
from annals.providers.chat import ChatMessage, Finished, Pieces, Usage
from tests.fakes.turns import MemoryDrafts, MemoryTurnStore, request

PIECE = 4
"""Characters of a delta."""
TICK = 625
"""Deltas between two writes of the draft: a quarter of a second of a model that says 10,000 characters a second."""
GOAL = 2.0
"""What buffering may take beside joining a list."""
ASKED = [ChatMessage("user", "Where?")]


class Metronome:
    """A model that says the same piece over and over, at once or after a pause each."""

    model = "metronome"

    def __init__(self, pieces: int, pause_s: float = 0.0) -> None:
        self._pieces = pieces
        self._pause_s = pause_s

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream it."""
        for _ in range(self._pieces):
            await asyncio.sleep(self._pause_s)
            yield "word"
        yield Finished("stop", Usage(1, self._pieces))


def split_text(characters: int) -> list[str]:
    """Different strings, as a model's pieces are."""
    return [f"{number % 10_000:04d}" for number in range(characters // PIECE)]


def join(pieces: Sequence[str]) -> int:
    """Append every piece to a list and join it."""
    joined: list[str] = []
    for piece in pieces:
        joined.append(piece)
    return len("".join(joined))


def buffer(pieces: Sequence[str]) -> int:
    """Take in every piece, cut batches as often as a turn does, and give the whole text."""
    reply, batches = GrowingReply(), []
    for start in range(0, len(pieces), TICK):
        for piece in pieces[start : start + TICK]:
            reply.pieces.append(piece)
        batches.extend(reply.drain())
    return len(reply.text)


def seconds(work: Callable[[Sequence[str]], int], pieces: Sequence[str]) -> float:
    """How long it takes once; the collector is kept out, because what it finds depends on what ran before."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        work(pieces)
        return time.perf_counter() - started
    finally:
        gc.enable()


def measure_buffering(sizes: Sequence[int], rounds: int) -> Table:
    """Buffering beside joining, by the reply's length; the best of the rounds, taken in turns."""
    table = Table(title=f"Buffering a reply in pieces of {PIECE} characters", caption="linear: ns per piece stay alike")
    for column in ("characters", "join, ms", "buffer, ms", "ratio", "goal", "buffer, ns per piece"):
        table.add_column(column, justify="right")
    for size in tqdm(sizes, desc="buffering", leave=False):
        pieces = split_text(size)
        times = [(seconds(join, pieces), seconds(buffer, pieces)) for _ in range(rounds)]
        joined, buffered = (min(column) for column in zip(*times, strict=True))
        per_piece = f"{1e9 * buffered / len(pieces):.0f}"
        cells = [f"{1000 * joined:.2f}", f"{1000 * buffered:.2f}", f"{buffered / joined:.2f}", f"≤ {GOAL:g}", per_piece]
        table.add_row(f"{size:,}", *cells)
    return table


async def listen(pieces: AsyncIterator[str | Finished]) -> tuple[float, float]:
    """Seconds until a model's first piece and until its end."""
    started, first = time.perf_counter(), 0.0
    async for _ in pieces:
        first = first or time.perf_counter() - started
    return first, time.perf_counter() - started


async def follow(model: Metronome) -> tuple[float, float]:
    """Seconds from the request to the first delta and to the last event, as the frames of a turn's follower."""
    started, first = time.perf_counter(), 0.0
    reply_stream = await StreamedTurns(MemoryTurnStore(), MemoryDrafts(), model).begin(request())
    async for event in reply_stream.events(idle_s=60):
        if event:
            sse.frame(event.name, event.data, event.number)
            first = first or (time.perf_counter() - started if event.name == "delta" else 0.0)
            if event.name == "result":
                return first, time.perf_counter() - started
    raise RuntimeError("the turn ended without a result")


async def measure_turns(deltas: int, pause_ms: Sequence[float], rounds: int) -> Table:
    """First delta, and time per delta beyond the model's own; medians of the rounds, taken in turns."""
    table = Table(title="A turn beside its bare model", caption="ratio: the turn's whole time to the model's own")
    columns = ("pause, ms", "deltas", "model's first, ms", "first delta, ms", "+ ms", "+ µs a delta", "ratio")
    for column in columns:
        table.add_column(column, justify="right")
    for pause in pause_ms:
        count = deltas if not pause else min(deltas, 100)
        model = Metronome(count, pause / 1000)
        times = [(*await listen(model.stream(ASKED)), *await follow(model)) for _ in range(rounds)]
        own_first, own, first, whole = (statistics.median(column) for column in zip(*times, strict=True))
        firsts = [f"{1000 * value:.2f}" for value in (own_first, first, first - own_first)]
        more = (whole - first) - (own - own_first)
        table.add_row(f"{pause:g}", f"{count:,}", *firsts, f"{1e6 * more / count:.1f}", f"{whole / own:.2f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="characters")
    parser.add_argument("--deltas", type=int, default=10_000, help="deltas of a turn without pauses (%(default)s)")
    parser.add_argument("--pauses", type=float, nargs="+", default=[0, 5, 20], help="ms before each delta")
    parser.add_argument("--rounds", type=int, default=9, help="repetitions of each (%(default)s)")
    options = parser.parse_args()
    console = Console()
    console.print(measure_buffering(options.sizes, options.rounds))
    console.print(asyncio.run(measure_turns(options.deltas, options.pauses, max(3, options.rounds // 3))))


if __name__ == "__main__":
    main()
