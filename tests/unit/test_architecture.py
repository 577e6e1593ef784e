"""Which layer may know which: read from the imports, so that the folders stay true."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.template import ROOT

PACKAGE = ROOT / "layers/annals/annals"

UNKNOWN_TO = {
    "ledger": {"access", "conversations", "http", "memory", "models", "search"},
    "conversations": {"memory", "models", "search"},
    "search": {"access", "conversations", "http", "ledger", "memory"},
    "models": {"access", "conversations", "http", "ledger", "memory", "search"},
}
"""Of each layer, the layers of which it knows nothing."""


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("layer", UNKNOWN_TO)
def test_a_layer_knows_nothing_of_those_above_it(layer: str) -> None:
    forbidden = {f"annals.{name}" for name in UNKNOWN_TO[layer]}
    known = {
        f"{path.name}: {module}"
        for path in (PACKAGE / layer).glob("*.py")
        for module in imported(path)
        if ".".join(module.split(".")[:2]) in forbidden
    }
    assert not known


def test_nothing_imports_the_functions() -> None:
    files = [
        path for folder in ("layers/annals", "local", "scripts", "client") for path in (ROOT / folder).rglob("*.py")
    ]
    assert not [path for path in files if any(module.startswith("functions") for module in imported(path))]


def test_the_product_imports_nothing_of_its_tests() -> None:
    folders = ("layers/annals", "functions", "local", "scripts", "client")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert not [path for path in files if any(module.startswith("tests") for module in imported(path))]
