"""Names that follow from what was said: the same one for the same words, and no way back to them.

They are keyed by a secret of the tenant's own that never leaves the tables and never changes, so that whoever sees a
name cannot try words against it, and what was said once is found again however much later it is said.
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


def derive_id(tenant: str, said: str) -> str:
    """Twenty hexadecimal digits for what was said in a tenant."""
    return hmac.new(_secret(tenant), said.encode(), sha256).hexdigest()[:20]


@lru_cache(maxsize=1_000)
def _secret(tenant: str) -> bytes:
    """The tenant's secret, made when it is first asked for."""
    key = to_item({"pk": partition_key(tenant, "N"), "sk": "N"})
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    if item is None:
        made = {**key, **to_item({"secret": secrets.token_bytes(SECRET_BYTES)})}
        item = put_if(made, "attribute_not_exists(pk)") or made
    secret: bytes = from_item(item)["secret"]
    return secret
