"""The Annals that all environments share: who tests an adapter, or lends it to a suite, gets a tenant of its own."""

from __future__ import annotations

import os
from uuid import uuid4

from annals_client import Annals


def url() -> str:
    """Where it answers."""
    return os.environ["ANNALS_URL"]


def new_key() -> str:
    """A key of a tenant that holds nothing yet."""
    with Annals(url(), os.environ["ANNALS_KEY"]) as root:
        return root.keys.create(
            "framework tests", ["read", "write", "erase", "admin"], tenant=f"framework-{uuid4().hex}"
        ).key
