"""Settings: one frozen object, read from the environment once per process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from annals.errors import ConfigurationError

MOST_PAGE_BYTES = 4_500_000
"""The most room that an answer may give to its parts: with one more message it still is less than Lambda sends."""

_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True)
class Settings:
    """What the environment says. An empty string means: not set.

    ``embeddings_url`` and ``chat_url`` are an OpenAI-compatible endpoint (``http://…/v1``), ``offline`` for the models
    that need no network, or empty for Amazon Bedrock. ``rerank_model`` is a reranking model on Bedrock, or with
    ``rerank_url`` a chat model at an OpenAI-compatible endpoint; empty for none. Either ``opensearch_url`` or
    ``embedded_index`` (a file) names the search index. ``opensearch_wake_s`` is how long a request may wait for a
    Serverless collection, which sleeps when it is idle and takes up to 30 seconds to wake. Keys may be given as the ARN
    of a Secrets Manager secret, which is read again after ``secret_max_age_s``.
    ``chat_stall_s`` is the longest silence of a chat model, ``chat_timeout_s`` the longest that one reply may take.
    ``draft_retention_s`` is how long a stream can be followed, at most a day; ``draft_lease_s`` how long one whose
    process is silent is held for alive. ``summarize_every`` is how many new messages bring a conversation a new
    summary, 0 for none. ``tenant_shards`` and ``list_shards`` are over how many keys the list of a tenant, and each
    list of a memory space or a participant, is spread; they may be raised, never lowered.
    ``jwt_issuer`` is whose tokens are taken beside keys, ``jwt_audience`` for whom they must be made (several with
    commas between them); of their claims, ``jwt_tenant_claim`` names the tenant, ``jwt_scopes_claim`` the scopes, each
    behind ``jwt_scope_prefix``, and ``jwt_spaces_claim`` the memory spaces.
    ``pii_redaction`` is ``off``, or what finds personal data, which then is not stored: ``patterns`` or, for texts in
    ``pii_language``, ``comprehend``.
    ``ingest_tenants`` is a JSON object of tenants by the ARN of what their events come through, ``ingest_bus`` the ARN
    of the bus, ``ingest_failures`` the URL of the queue of what cannot be stored. ``events_bus`` is the ARN of the bus
    that is told of changes, empty for none.
    ``embeddings_max_characters`` is how long a text may be that goes into one vector; longer ones go in parts.
    ``embed_windows`` is whether a turn gets a second vector, of itself with those before it. ``index_budget_s`` is how
    long one batch of the stream may be worked on, ``failures_queue_url`` the SQS queue of what cannot be indexed.
    """

    ledger_table: str = "annals-ledger"
    state_table: str = "annals-state"
    dynamodb_url: str = ""

    opensearch_url: str = ""
    opensearch_service: str = "es"
    opensearch_index: str = "annals"
    opensearch_wake_s: float = 20.0
    embedded_index: str = ""

    embeddings_url: str = ""
    embeddings_model: str = ""
    embeddings_dimensions: int = 0
    embeddings_api_key: str = ""
    embeddings_timeout_s: float = 30.0
    embeddings_max_characters: int = 8_000
    embed_windows: bool = True
    index_budget_s: float = 60.0
    failures_queue_url: str = ""

    rerank_url: str = ""
    rerank_model: str = ""
    rerank_api_key: str = ""
    rerank_timeout_s: float = 5.0

    chat_url: str = ""
    chat_model: str = ""
    chat_api_key: str = ""
    chat_stall_s: float = 120.0
    chat_timeout_s: float = 840.0

    draft_retention_s: int = 3600
    draft_lease_s: float = 20.0

    summarize_every: int = 0

    ingest_tenants: str = ""
    ingest_bus: str = ""
    ingest_failures: str = ""
    events_bus: str = ""

    secret_max_age_s: float = 300.0

    root_key: str = ""
    root_tenant: str = "default"

    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_jwks_url: str = ""
    jwt_tenant_claim: str = "tenant"
    jwt_scopes_claim: str = "scope"
    jwt_scope_prefix: str = ""
    jwt_spaces_claim: str = ""

    pii_redaction: str = "off"
    pii_language: str = "en"

    memory_versions: int = 10
    append_patience_s: float = 10.0
    erase_budget_s: float = 20.0
    authorizer_cache_s: int = 60
    max_page_bytes: int = 4_000_000

    tenant_shards: int = 8
    list_shards: int = 1

    @staticmethod
    def from_env(env: Mapping[str, str]) -> Settings:
        """Read the settings, each from the variable of its name in capitals. Raises ConfigurationError by name."""
        values: dict[str, str | int | float] = {}
        for name, default in vars(Settings()).items():
            raw = env.get(name.upper())
            if raw is None:
                continue
            try:
                values[name] = _SWITCH[raw] if isinstance(default, bool) else type(default)(raw)
            except KeyError:
                raise ConfigurationError(f"{name.upper()} must be true or false, not {raw!r}.") from None
            except ValueError:
                raise ConfigurationError(f"{name.upper()} must be a number, not {raw!r}.") from None
        settings = Settings(**values)  # type: ignore[arg-type]
        for name in ("dynamodb_url", "opensearch_url", "rerank_url"):
            _require_url(name, getattr(settings, name))
        for name in ("embeddings_url", "chat_url"):
            if getattr(settings, name) != "offline":
                _require_url(name, getattr(settings, name))
        if not 0 < settings.max_page_bytes <= MOST_PAGE_BYTES:
            raise ConfigurationError(f"MAX_PAGE_BYTES is from 1 to {MOST_PAGE_BYTES}, not {settings.max_page_bytes}.")
        if settings.pii_redaction not in ("off", "patterns", "comprehend"):
            raise ConfigurationError(f"PII_REDACTION is off, patterns or comprehend, not {settings.pii_redaction!r}.")
        for name in ("jwt_issuer", "jwt_jwks_url"):
            _require_safe_url(name, getattr(settings, name))
        if settings.jwt_issuer and not settings.jwt_audience:
            raise ConfigurationError("JWT_ISSUER needs JWT_AUDIENCE: without it, tokens for others would do here, too.")
        return settings


def _require_url(name: str, value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name.upper()} must be an http(s) URL, not {value!r}.")


def _require_safe_url(name: str, value: str) -> None:
    if value and not value.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ConfigurationError(f"{name.upper()} must be an https URL, not {value!r}.")


@cache
def settings() -> Settings:
    """This process' settings."""
    return Settings.from_env(os.environ)
