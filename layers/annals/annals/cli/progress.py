"""Progress bars, which show themselves on a terminal only."""

from __future__ import annotations

from typing import Any


def byte_bar(name: str, total: int | None = None) -> Any:
    """A bar that counts bytes, up to ``total`` where that is known."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    return tqdm(desc=name, total=total, unit="B", unit_scale=True, disable=None)


def item_bar(name: str, total: int | None = None) -> Any:
    """A bar that counts items, up to about ``total`` where that is known."""
    from tqdm import tqdm

    return tqdm(desc=name, total=total or None, unit=" items", disable=None)
