"""Ids that are derived from a text: the same text gives the same id, and no way leads from the id to the text.

They are keyed by a secret of the tenant's own that never leaves the tables and never changes. So whoever sees an id
cannot try texts against it, and the same text gets the same id however much later it comes again.
"""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

from annals.database.dynamodb import Item, from_item, to_item
from annals.database.keys import item_key, partition_key
from annals.database.state import find_item, put_if

SECRET_BYTES = 32


def derive_id(tenant: str, text: str) -> str:
    """Twenty hexadecimal digits for a text, in a tenant."""
    return _derive(_get_or_make_secret(tenant), text)


def find_derived_id(tenant: str, text: str) -> str | None:
    """The same for whoever only reads: None where no id was derived in this tenant yet, of any text."""
    with suppress(LookupError):
        return _derive(_get_secret(tenant), text)
    return None


def _derive(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), sha256).hexdigest()[:20]


def _get_or_make_secret(tenant: str) -> bytes:
    with suppress(LookupError):
        return _get_secret(tenant)
    put_if(
        {**_secret_key(tenant), **to_item({"secret": secrets.token_bytes(SECRET_BYTES)})}, "attribute_not_exists(pk)"
    )
    return _get_secret(tenant)


@lru_cache(maxsize=1_000)
def _get_secret(tenant: str) -> bytes:
    """The tenant's secret, which this process reads once. Raises LookupError where none was made yet."""
    item = find_item(_secret_key(tenant))
    if item is None:
        raise LookupError(tenant)
    secret: bytes = from_item(item)["secret"]
    return secret


def _secret_key(tenant: str) -> Item:
    return item_key(partition_key(tenant, "N"), "N")
