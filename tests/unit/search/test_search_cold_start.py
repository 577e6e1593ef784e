"""What importing search costs a function."""

from __future__ import annotations

import subprocess
import sys


def _loads(module: str, *others: str) -> set[str]:
    """Which of the other modules a fresh Python has loaded once it has imported the module."""
    code = f"import sys, {module}; print(*(name for name in {others!r} if name in sys.modules))"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "layers/annals"}
    )
    return set(done.stdout.split())


def test_importing_search_loads_no_adapter() -> None:
    assert not _loads("annals.search", "apsw", "numpy", "opensearchpy", "requests", "httpx")


def test_the_opensearch_adapter_loads_no_grpc() -> None:
    assert not _loads("annals.search.opensearch.index", "grpc", "google.protobuf", "apsw")
