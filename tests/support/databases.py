"""The databases that tests need."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import dynoxide


def require_dynoxide() -> Path:
    """dynoxide's program; without it the test is skipped."""
    try:
        return dynoxide.find_or_install()
    except dynoxide.NotInstalled as reason:
        pytest.skip(f"dynoxide is not here: {reason}")
