"""Recall over HTTP: dialogues appended to a running Annals, questions asked as a client asks them.

Recall at k is the share of a question's evidence turns among its first k hits, nDCG that of their gains; a row is the
mean over its questions. Questions of category 5 (adversarial: nothing answers them) are left out. LOCOMO names the data
set; without ``--url`` the benchmark starts a development server of its own. With ``--embeddings minilm`` that one
embeds by MiniLM, served by the script that MINILM_SERVER names.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

import httpx
from rich.console import Console
from tqdm import tqdm

from bench import scores
from bench.served import minilm_served, served
from scripts import dialogues
from scripts.dialogues import Dialogue, client

SPACE = "recall"


@contextlib.contextmanager
def server(url: str, embeddings: str) -> Iterator[httpx.Client]:
    """A client of the server that ``url`` names, or of one of the benchmark's own."""
    with contextlib.ExitStack() as stack:
        if not url:
            env = {}
            if embeddings == "minilm":
                env = {"EMBEDDINGS_URL": stack.enter_context(minilm_served())}
                env |= {"EMBEDDINGS_MODEL": "all-minilm", "EMBEDDINGS_DIMENSIONS": "384", "EMBEDDINGS_TIMEOUT_S": "300"}
            url = stack.enter_context(served(**env)).url
        yield stack.enter_context(client(url))


def ask(http: httpx.Client, chosen: Sequence[Dialogue]) -> list[scores.Outcome]:
    """Ask every question that something answers, each within its dialogue."""
    questions = [(each, question) for each in chosen for question in each.questions if scores.counts(question)]
    outcomes = []
    for each, question in tqdm(questions, desc="ask", unit="question"):
        start = time.perf_counter()
        hits = dialogues.search(http, each, SPACE, question["q"], limit=max(scores.DEPTHS))
        took_ms = 1000 * (time.perf_counter() - start)
        ranked = dialogues.turns_of(each, hits)
        outcomes.append(scores.score(question["category"], ranked, dialogues.evidence_of(question), took_ms))
    return outcomes


def main() -> None:
    """Load, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="", help="a running Annals (one of its own); ANNALS_KEY is its key")
    parser.add_argument("--embeddings", choices=["offline", "minilm"], default="offline", help="(%(default)s)")
    parser.add_argument("--dialogues", type=int, default=0, help="only the first so many (all)")
    arguments = parser.parse_args()
    path = dialogues.named_file()
    if not path.exists():
        sys.stdout.write(f"Recall is left out: there is no {path}. Let LOCOMO name the data set.\n")
        return
    chosen = dialogues.read(path)[: arguments.dialogues or None]
    with server(arguments.url, arguments.embeddings) as http:
        start = time.perf_counter()
        dialogues.load(http, chosen, SPACE)
        took_s = time.perf_counter() - start
        outcomes = ask(http, chosen)
    turns = sum(len(each.turns) for each in chosen)
    Console().print(scores.table(outcomes, f"{turns} turns over HTTP, searchable after {took_s:.0f} s"))


if __name__ == "__main__":
    main()
