"""Write the table of functions/README.md: each function, what calls it, and the modules of the domain that it calls."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from local import template
from local.template import ROOT, Template

PAGE = ROOT / "functions/README.md"
PACKAGES = ROOT / "layers/annals"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"

DRIFT = "check_drift"

ROOMS = ("access", "conversations", "documents", "ingest", "ledger", "memory", "publishing", "search")
"""The rooms whose modules are the domain; what the wire holds, and who may call, is in the others."""


def table(described: Template) -> str:
    """The table, a row for each function in the order of their names."""
    head = "| function | what it does | called by | domain |\n|---|---|---|---|\n"
    return head + "".join(
        _row(described, name, folder / "app.py") for name, folder in sorted(described.functions.items())
    )


def _row(described: Template, name: str, app: Path) -> str:
    tree = ast.parse(app.read_text())
    summary = (ast.get_docstring(tree) or "").split("\n")[0].split(". ")[0].rstrip(".")
    cells = (f"[{name}]({name}/app.py)", summary, "<br>".join(_callers(described, name)), "<br>".join(_modules(tree)))
    return f"| {' | '.join(cells)} |\n"


def _callers(described: Template, name: str) -> Iterator[str]:
    yield from (f"`{route.method} {route.resource}`" for route in described.routes if route.function == name)
    yield from (f"{each.table}'s stream" for each in described.mappings if each.function == name)
    if name == described.authorizer:
        yield "API Gateway, before every other function"
    if name == described.queue_reader:
        yield "a queue, a bus, a bucket"
    if name == DRIFT:
        yield "a schedule"


def _modules(tree: ast.Module) -> list[str]:
    """The modules of the domain that a function imports, but for those that hold what the API takes and gives."""
    imported = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module)
    named = {_module(node.module or "", alias.name) for node in imported for alias in node.names}
    rooms = (name.removeprefix("annals.") for name in named if name.startswith("annals."))
    return sorted(f"`{name}`" for name in rooms if name.split(".")[0] in ROOMS and not name.endswith("models"))


def _module(module: str, name: str) -> str:
    """The module that an import is of: the one that is imported, or the one that holds what is."""
    inner = f"{module}.{name}"
    return inner if (PACKAGES / f"{inner.replace('.', '/')}.py").is_file() else module


def page() -> str:
    """The page with its table as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + table(template.read()) + END + rest.partition(END)[2]


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where it is not up to date")
    if not parser.parse_args().check:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("functions/README.md is not up to date: run python -m scripts.functions_table")


if __name__ == "__main__":
    main()
