"""The search index and the models that this process works with, each made once and when it is first needed."""

from __future__ import annotations

from functools import cache

from annals import providers, search
from annals.providers.chat import ChatModel
from annals.providers.embedding import Embedder
from annals.providers.reranking import Reranker
from annals.search.protocol import RebuildableIndex
from annals.settings import settings


@cache
def index() -> RebuildableIndex:
    """The search index of the settings."""
    return search.from_settings(settings())


@cache
def embedder() -> Embedder:
    """The embedding model of the settings."""
    return providers.embedder_from_settings(settings())


@cache
def reranker() -> Reranker | None:
    """The reranking model of the settings, if they name one."""
    return providers.reranker_from_settings(settings())


@cache
def chat() -> ChatModel:
    """The chat model of the settings."""
    return providers.chat_from_settings(settings())
