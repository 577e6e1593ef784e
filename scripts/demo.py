"""Load dialogues of several sessions into a running Annals, ask about them, and show what search finds.

``make demo`` takes the dialogue that ships with it; DIALOGUES or LOCOMO name a file of others, in the same form.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts import dialogues
from scripts.dialogues import Dialogue

SHIPPED = Path(__file__).with_name("demo_dialogue.json")
SPACE = "demo"


def answers(http: httpx.Client, chosen: list[Dialogue], questions: int, hits: int) -> Table:
    """The best hits for each dialogue's first questions; a tick marks a turn that answers."""
    table = Table(title="What search finds", expand=True)
    table.add_column("question", ratio=2)
    table.add_column("")
    table.add_column("hit", ratio=5, no_wrap=True, overflow="ellipsis")
    table.add_column("where", no_wrap=True)
    table.add_column("score", justify="right")
    for each in chosen:
        for question in each.questions[:questions]:
            results = dialogues.search(http, each, SPACE, question["q"], hits)
            evidence = dialogues.evidence_of(question)
            names = [question["q"], f"→ {question.get('answer', '')}"] + [""] * len(results)
            for name, hit, turn in zip(names, results, dialogues.turns_of(each, results), strict=False):
                where = hit["conversationRef"]["messageIds"][0]
                tick = "[green]✓[/]" if turn in evidence else ""
                table.add_row(escape(name), tick, in_one_line(hit), where, f"{hit['score']:.2f}")
            table.add_section()
    return table


def in_one_line(hit: dict[str, Any]) -> str:
    """A hit in one line."""
    return escape(" ".join(f"{hit.get('name', hit['role'])}: {hit['content']}".split()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running Annals (%(default)s)")
    parser.add_argument("--dialogues", default="", help="a file of dialogues (the one that ships with it)")
    parser.add_argument("--questions", type=int, default=8, help="asked of each dialogue (%(default)s)")
    parser.add_argument("--hits", type=int, default=3, help="shown of each question (%(default)s)")
    arguments = parser.parse_args()
    path = Path(arguments.dialogues or os.environ.get("LOCOMO") or SHIPPED)
    if not path.exists():
        sys.exit(f"There is no {path}.")
    chosen = dialogues.read(path)
    with dialogues.client(arguments.url) as http:
        try:
            dialogues.load(http, chosen, SPACE)
        except httpx.ConnectError:
            sys.exit(f"Nothing answers at {arguments.url}: start `make dev` in another terminal, or give URL=….")
        Console().print(answers(http, chosen, arguments.questions, arguments.hits))


if __name__ == "__main__":
    main()
