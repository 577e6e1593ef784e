"""Ids that are derived from a text: the same text gives the same id, and no way leads from the id to the text.

They are keyed by a secret of the tenant's own that never leaves the tables and never changes. So whoever sees an id
cannot try texts against it, and the same text gets the same id however much later it comes again.
"""

from __future__ import annotations

import hmac
import secrets
from functools import lru_cache
from hashlib import sha256

from annals.database.dynamodb import client, from_item, to_item
from annals.database.keys import partition_key
from annals.database.state import put_if
from annals.settings import settings

SECRET_BYTES = 32


def derive_id(tenant: str, text: str) -> str:
    """Twenty hexadecimal digits for a text, in a tenant."""
    return hmac.new(_secret(tenant), text.encode(), sha256).hexdigest()[:20]


@lru_cache(maxsize=1_000)
def _secret(tenant: str) -> bytes:
    """The tenant's secret, which is made when it is first needed."""
    key = to_item({"pk": partition_key(tenant, "N"), "sk": "N"})
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        new_item = {**key, **to_item({"secret": secrets.token_bytes(SECRET_BYTES)})}
        item = put_if(new_item, "attribute_not_exists(pk)") or new_item
    secret: bytes = from_item(item)["secret"]
    return secret
