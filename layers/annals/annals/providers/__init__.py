"""Embedding, chat and reranking models: their protocols, and the one place that chooses their adapters.

Adapters are imported when they are chosen, so that importing this package loads neither httpx nor a Bedrock client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annals.settings import Settings

if TYPE_CHECKING:
    from annals.providers.chat import ChatModel
    from annals.providers.embedding import Embedder
    from annals.providers.reranking import Reranker

OFFLINE = "offline"
ANY_MODEL = "default"
"""The model that is named where no setting names one; a server with a single model takes any name."""


def embedder_from_settings(settings: Settings) -> Embedder:
    """The embedder that the settings name: Bedrock without a URL, the offline one, or an OpenAI-compatible one.

    Where callers bring vectors, too, there is room for these in every vector.

    Raises
    ------
    ConfigurationError : a setting that the adapter cannot work with
    """
    embedder = _model_embedder(settings)
    if not settings.caller_dimensions:
        return embedder
    from annals.providers.joint_embedding import JointEmbedder

    return JointEmbedder(embedder, settings.caller_dimensions)


def _model_embedder(settings: Settings) -> Embedder:
    if not settings.embeddings_url:
        return _bedrock_embedder(settings)
    if settings.embeddings_url == OFFLINE:
        from annals.providers.offline_embedding import OfflineEmbedder

        return OfflineEmbedder()
    from annals.providers.openai_embedding import OpenAIEmbedder
    from annals.secret import ApiKey

    return OpenAIEmbedder(
        settings.embeddings_url,
        settings.embeddings_model or ANY_MODEL,
        dimensions=settings.embeddings_dimensions,
        key=ApiKey(settings.embeddings_api_key, settings.secret_max_age_s),
        timeout_s=settings.embeddings_timeout_s,
    )


def chat_from_settings(settings: Settings) -> ChatModel:
    """The chat model that the settings name: Bedrock without a URL, the offline one, or an OpenAI-compatible one.

    Raises
    ------
    ConfigurationError : a setting that the adapter cannot work with
    """
    if not settings.chat_url:
        from annals.providers import bedrock, bedrock_chat

        client = bedrock.runtime_client(read_timeout_s=settings.chat_stall_s)
        model = settings.chat_model or bedrock_chat.DEFAULT_MODEL
        return bedrock_chat.BedrockChat(client, model, think_tags=settings.chat_think_tags)
    if settings.chat_url == OFFLINE:
        from annals.providers.offline_chat import OfflineChat

        return OfflineChat()
    from annals.providers.openai_chat import OpenAIChat
    from annals.secret import ApiKey

    return OpenAIChat(
        settings.chat_url,
        settings.chat_model or ANY_MODEL,
        key=ApiKey(settings.chat_api_key, settings.secret_max_age_s),
        silence_s=settings.chat_stall_s,
        think_tags=settings.chat_think_tags,
    )


def reranker_from_settings(settings: Settings) -> Reranker | None:
    """The reranker that the settings name: a chat model behind a URL, a reranking model on Bedrock, or none.

    Raises
    ------
    ConfigurationError : a setting that the adapter cannot work with
    """
    if settings.rerank_url:
        return _chat_reranker(settings)
    if not settings.rerank_model:
        return None
    from annals.providers import bedrock
    from annals.providers.bedrock_reranking import BedrockReranker

    client = bedrock.runtime_client(
        service="bedrock-agent-runtime", read_timeout_s=settings.rerank_timeout_s, attempts=2
    )
    return BedrockReranker(client, settings.rerank_model)


def _chat_reranker(settings: Settings) -> Reranker:
    from annals.providers.chat_reranking import ChatReranker
    from annals.providers.openai_chat import OpenAIChat
    from annals.providers.structured import StructuredChat
    from annals.secret import ApiKey

    within_s = settings.rerank_timeout_s
    key = ApiKey(settings.rerank_api_key, settings.secret_max_age_s)
    model = settings.rerank_model or ANY_MODEL
    chat = OpenAIChat(settings.rerank_url, model, key=key, silence_s=within_s, settings="RERANK")
    return ChatReranker(StructuredChat(chat, within_s), within_s=within_s)


def _bedrock_embedder(settings: Settings) -> Embedder:
    from annals.providers import bedrock
    from annals.providers.bedrock_embedding import DEFAULT_DIMENSIONS, DEFAULT_MODEL, BedrockEmbedder

    return BedrockEmbedder(
        bedrock.runtime_client(read_timeout_s=settings.embeddings_timeout_s),
        settings.embeddings_model or DEFAULT_MODEL,
        dimensions=settings.embeddings_dimensions or DEFAULT_DIMENSIONS,
    )
