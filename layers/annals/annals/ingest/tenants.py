"""Whose an event is: that follows from where it came through, and from nothing that it says."""

from __future__ import annotations

import json

from annals.errors import ConfigurationError
from annals.settings import settings


def tenant_of(source: str) -> str:
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
