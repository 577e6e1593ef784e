"""How a reply ended, by the provider's word for it."""

from __future__ import annotations

from typing import Literal

Ending = Literal["whole", "limit", "filtered", "failed"]

LIMITS = frozenset(
    # OpenAI, Mistral, Ollama, the AI SDK; Anthropic, Bedrock; Cohere, Gemini
    {"length", "max_tokens", "max_output_tokens", "model_length", "incomplete"}
    | {"model_context_window_exceeded", "pause_turn", "max_tool_calls", "too_many_tool_calls", "continuation"}
)
"""The model stopped at a limit, so that there would be more to say."""

FILTERS = frozenset(
    {"content_filter", "content_filtered", "content-filter", "guardrail_intervened", "refusal", "safety", "recitation"}
    | {"language", "blocklist", "prohibited_content", "spii", "model_armor", "escalation", "image_safety"}
    | {"image_prohibited_content", "image_recitation", "jailbreak", "pup_limited_disabled"}
)
"""A filter held back the rest."""

FAILURES = frozenset(
    {
        "error",
        "timeout",
        "abort",
        "aborted",
        "interrupted",
        "cancelled",
        "canceled",
        "failed",
        "insufficient_system_resource",
    }
    | {"malformed_function_call", "malformed_response", "malformed_model_output", "malformed_tool_use"}
    | {"unexpected_tool_call", "missing_thought_signature", "user_cancelled", "error_toxic", "error_limit"}
)
"""Something went wrong."""


def ending_of(reason: str | None) -> Ending:
    """Whether a reply is whole, and why it is not, by the reason that its provider gives.

    A reason that is not known says nothing against the reply.
    """
    word = (reason or "").lower()
    if word in LIMITS:
        return "limit"
    if word in FILTERS:
        return "filtered"
    return "failed" if word in FAILURES or reason == "OTHER" else "whole"
