"""Settings: one frozen object, read from the environment once per process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from annals.errors import ConfigurationError


@dataclass(frozen=True)
class Settings:
    """What the environment says. An empty string means: not set.

    ``embeddings_url`` and ``chat_url`` are an OpenAI-compatible endpoint (``http://…/v1``), ``offline`` for the models
    that need no network, or empty for Amazon Bedrock. ``rerank_model`` is a reranking model on Bedrock, or with
    ``rerank_url`` a chat model at an OpenAI-compatible endpoint; empty for none. Either ``opensearch_url`` or ``embedded_index`` (a file) names
    the search index. Keys may be given as the ARN of a Secrets Manager secret. ``chat_stall_s`` is the longest silence
    of a chat model, ``chat_timeout_s`` the longest that one reply may take. ``draft_retention_s`` is how long a stream
    can be followed, at most a day; ``draft_lease_s`` how long one whose process is silent is held for alive.
    ``summarize_every`` is how many new messages bring a conversation a new summary, 0 for none. ``tenant_shards`` and
    ``list_shards`` are over how many keys the list of a tenant, and each list of a memory space or a participant, is
    spread; they may be raised, never lowered.
    """

    ledger_table: str = "annals-ledger"
    state_table: str = "annals-state"
    dynamodb_url: str = ""

    opensearch_url: str = ""
    opensearch_service: str = "es"
    opensearch_index: str = "annals"
    embedded_index: str = ""

    embeddings_url: str = ""
    embeddings_model: str = ""
    embeddings_dimensions: int = 0
    embeddings_api_key: str = ""
    embeddings_timeout_s: float = 30.0

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

    root_key: str = ""
    root_tenant: str = "default"

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
                values[name] = type(default)(raw)
            except ValueError:
                raise ConfigurationError(f"{name.upper()} must be a number, not {raw!r}.") from None
        settings = Settings(**values)  # type: ignore[arg-type]
        for name in ("dynamodb_url", "opensearch_url", "rerank_url"):
            _demand_url(name, getattr(settings, name))
        for name in ("embeddings_url", "chat_url"):
            if getattr(settings, name) != "offline":
                _demand_url(name, getattr(settings, name))
        return settings


def _demand_url(name: str, value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name.upper()} must be an http(s) URL, not {value!r}.")


@cache
def settings() -> Settings:
    """This process' settings."""
    return Settings.from_env(os.environ)
