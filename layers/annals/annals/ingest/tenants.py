"""The tenant of an event: it follows from what the event came through, and from nothing in the event."""

from __future__ import annotations

import json

from annals.errors import ConfigurationError
from annals.settings import settings


def get_tenant(source: str) -> str:
    """The tenant whose events come through a queue, bus or bucket. Raises ConfigurationError.

    Parameters
    ----------
    source : its ARN
    """
    if not settings().ingest_tenants:
        return settings().root_tenant
    try:
        tenant = json.loads(settings().ingest_tenants)[source]
    except (ValueError, TypeError, KeyError):
        tenant = None
    if not isinstance(tenant, str) or not tenant:
        raise ConfigurationError(f"INGEST_TENANTS must be a JSON object that names the tenant of {source}.")
    return tenant
