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
    """What the environment says, each field the variable of its name in capitals. An empty string means: not set."""

    # the tables

    ledger_table: str = "annals-ledger"
    """The table of the ledger."""
    state_table: str = "annals-state"
    """The table of all that may change beside it."""
    dynamodb_url: str = ""
    """DynamoDB's endpoint; empty for that of the region."""

    # blobs, which are too large for the tables: ``blobs_bucket`` or ``blobs_folder`` names their place

    blobs_bucket: str = ""
    """The bucket of parts of messages; empty for none, and then what an entry has no room for is refused."""
    blobs_folder: str = ""
    """The folder of the same on a machine without S3."""
    blobs_url_s: int = 300
    """For how many seconds a URL of a blob works."""
    s3_url: str = ""
    """S3's endpoint; empty for that of the region."""

    # the search index: ``opensearch_url`` or ``embedded_index`` names it

    opensearch_url: str = ""
    """OpenSearch's endpoint."""
    opensearch_service: str = "es"
    """The service for which requests to it are signed: ``es`` for a domain, ``aoss`` for a Serverless collection."""
    opensearch_index: str = "annals"
    """The name of the index there."""
    opensearch_wake_s: float = 20.0
    """How many seconds a request may wait for a Serverless collection, which takes up to 30 to wake when it is idle."""
    embedded_index: str = ""
    """The path of the file that the embedded index is."""

    # embeddings, and what is indexed

    embeddings_url: str = ""
    """An OpenAI-compatible endpoint (``http://…/v1``), ``offline`` for no network, or empty for Amazon Bedrock."""
    embeddings_model: str = ""
    """The embedding model."""
    embeddings_dimensions: int = 0
    """The length of its vectors; 0 for the model's own."""
    caller_dimensions: int = 0
    """The most numbers of the vectors that callers bring; 0 where none are taken. After a change, rebuild the index."""
    embeddings_api_key: str = ""
    """The endpoint's key, or the ARN of a Secrets Manager secret that holds it."""
    embeddings_timeout_s: float = 30.0
    """How many seconds the model may take for one request."""
    embeddings_max_characters: int = 8_000
    """How many characters go into one vector; a longer text goes in parts."""
    embed_windows: bool = True
    """Whether a turn gets a second vector, of itself with those before it."""
    index_budget_s: float = 60.0
    """How many seconds one batch of the stream may be worked on."""
    failures_queue_url: str = ""
    """The SQS queue of what cannot be indexed."""

    # reranking

    rerank_url: str = ""
    """An OpenAI-compatible endpoint of a chat model that reranks; empty for Amazon Bedrock."""
    rerank_model: str = ""
    """The reranking model there, or the chat model; empty for no reranking."""
    rerank_api_key: str = ""
    """The endpoint's key, or the ARN of a secret."""
    rerank_timeout_s: float = 5.0
    """How many seconds it may take; a search then keeps its own ranking."""

    # chat: streamed replies, summaries, facts

    chat_url: str = ""
    """An OpenAI-compatible endpoint (``http://…/v1``), ``offline`` for no network, or empty for Amazon Bedrock."""
    chat_model: str = ""
    """The chat model."""
    chat_api_key: str = ""
    """The endpoint's key, or the ARN of a secret."""
    chat_stall_s: float = 120.0
    """The longest silence of the model, in seconds."""
    chat_timeout_s: float = 840.0
    """The longest that one reply may take, in seconds."""
    chat_think_tags: bool = True
    """Whether what a model writes between ``<think>`` and ``</think>`` is thinking, which is no part of its text."""
    draft_retention_s: int = 3600
    """For how many seconds a stream can be followed, at most a day."""
    message_draft_s: int = 3600
    """For how many seconds a message that is being said waits for what comes next."""
    draft_lease_s: float = 20.0
    """For how many seconds a stream counts as alive whose process gives no sign of life."""
    summarize_every: int = 0
    """How many new messages bring a conversation a new summary; 0 for none."""

    # events in and out

    ingest_tenants: str = ""
    """A JSON object of tenants by the ARN of what their events come through."""
    ingest_bus: str = ""
    """The ARN of the bus from which events are taken."""
    ingest_failures: str = ""
    """The URL of the queue of events that cannot be stored."""
    events_bus: str = ""
    """The ARN of the bus that is notified of changes; empty for none."""

    # keys and tokens

    secret_max_age_s: float = 300.0
    """After how many seconds a secret that a setting names is read again."""
    root_key: str = ""
    """The first key, which has every scope, or the ARN of a secret."""
    root_tenant: str = "default"
    """Its tenant."""
    authorizer_cache_s: int = 60
    """For how many seconds the authorizer remembers a key."""
    jwt_issuer: str = ""
    """The OpenID Connect issuer whose tokens are taken beside keys; empty for none."""
    jwt_audience: str = ""
    """For whom its tokens must be made; several with commas between them."""
    jwt_jwks_url: str = ""
    """The URL of its keys; empty for the one that its discovery document names."""
    jwt_tenant_claim: str = "tenant"
    """The claim that names the tenant."""
    jwt_scopes_claim: str = "scope"
    """The claim that names the scopes."""
    jwt_scope_prefix: str = ""
    """What stands before each scope in it."""
    jwt_spaces_claim: str = ""
    """The claim that names the memory spaces; empty where tokens open all."""

    # personal data

    pii_redaction: str = "off"
    """What finds personal data, which then is not stored: ``off``, ``patterns`` or ``comprehend``."""
    pii_language: str = "en"
    """The language of the texts, for ``comprehend``."""

    # limits

    memory_versions: int = 10
    """How many former versions of a memory are kept."""
    append_patience_s: float = 10.0
    """For how many seconds a write is tried again when other writers are faster."""
    erase_budget_s: float = 20.0
    """For how many seconds a request erases before it leaves the rest to the stream's function."""
    max_page_bytes: int = 4_000_000
    """The bytes that the parts of one answer may take."""
    tenant_shards: int = 8
    """Over how many keys the list of a tenant is spread; may be raised, never lowered."""
    list_shards: int = 1
    """The same for each list of a memory space or a participant."""

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
        for name in ("dynamodb_url", "opensearch_url", "rerank_url", "s3_url"):
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
