"""The key that seals cursors: one item of StateTable, made by whoever needs it first and cached for a while.

It protects cursors from those who carry them. Whoever may read the table sees there what a cursor holds, and more; so
the table is the right place for it, and no list waits for another service.
"""

from __future__ import annotations

import hmac
import math
import secrets
import time
from threading import Lock

from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.state import put_if
from annals.settings import settings

PK = "CURSORS"
"""The one partition key that begins with no tenant; MessagesFunction may put an item under this one alone."""

MAX_AGE_S = 300.0
"""After this time the key is read again, so that one that was deleted is used no longer."""

REFRESH_EVERY_S = 10.0
"""However many forged cursors come, the key is read no more often for their sake."""


class SealingKey:
    """The installation's key, kept in this process. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key = b""
        self._read_at = -math.inf

    def of(self, tenant: str) -> bytes:
        """The key of a tenant: what it seals, no other tenant's opens."""
        with self._lock:
            if time.monotonic() - self._read_at >= MAX_AGE_S:
                self._read()
            return hmac.digest(self._key, tenant.encode(errors="surrogatepass"), "sha256")

    def renew(self) -> bool:
        """Read the key again, unless that was done a moment ago. Whether it is another one now."""
        with self._lock:
            before = self._key
            if time.monotonic() - self._read_at >= REFRESH_EVERY_S:
                self._read()
            return self._key != before

    def forget(self) -> None:
        """Forget the key, as a fresh process."""
        with self._lock:
            self._key, self._read_at = b"", -math.inf

    def _read(self) -> None:
        self._key, self._read_at = _find() or _create(), time.monotonic()


sealing_key = SealingKey()


def _find() -> bytes | None:
    address = to_item({"pk": PK, "sk": "KEY"})
    return _key_in(client().get_item(TableName=settings().state_table, Key=address, ConsistentRead=True).get("Item"))


def _create() -> bytes:
    """A new key; where another process was faster, its key."""
    key = secrets.token_bytes(32)
    existing = put_if(to_item({"pk": PK, "sk": "KEY", "key": key}), "attribute_not_exists(pk)")
    return _key_in(existing) or key


def _key_in(item: Item | None) -> bytes | None:
    key: bytes | None = from_item(item)["key"] if item else None
    return key
