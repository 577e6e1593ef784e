"""The adapters that this process works with, each made once and when it is first needed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from annals import providers, search
from annals.providers.chat import ChatModel
from annals.providers.embedding import Embedder
from annals.providers.reranking import Reranker
from annals.search.protocol import RebuildableIndex
from annals.settings import settings

if TYPE_CHECKING:
    from annals.memory.facts.extraction import Extractor
    from annals.memory.summarizers import Summarizer


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
def summarizer() -> Summarizer:
    """Who makes summaries: the chat model of the settings, or nobody's model where that is the offline one."""
    from annals.memory.summarizers import ModelSummarizer, OfflineSummarizer
    from annals.providers.structured import StructuredChat

    if settings().chat_url == providers.OFFLINE:
        return OfflineSummarizer()
    return ModelSummarizer(StructuredChat(chat(), settings().chat_stall_s))


@cache
def extractor() -> Extractor | None:
    """Who extracts facts: the chat model of the settings; nobody where that is the offline one."""
    from annals.memory.facts.extraction import ModelExtractor
    from annals.providers.structured import StructuredChat

    if settings().chat_url == providers.OFFLINE:
        return None
    return ModelExtractor(StructuredChat(chat(), settings().chat_stall_s))


@cache
def chat() -> ChatModel:
    """The chat model of the settings."""
    return providers.chat_from_settings(settings())
