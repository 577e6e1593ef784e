"""What the OpenAI-compatible adapters share: URLs, and the text of refusals."""

from __future__ import annotations

import json

ERROR_CHARACTERS = 300


def endpoint(url: str, path: str) -> str:
    """``http://host/v1`` or ``http://host/v1/`` → ``http://host/v1/<path>``."""
    return f"{url.rstrip('/')}/{path}"


def refusal_detail(model: str, status: int, body: bytes, key_setting: str) -> str:
    """A sentence for a refused request. What the server says of a key is left out, because it may quote the key."""
    if status in (401, 403):
        return f"{model} refuses the API key (HTTP {status}); see {key_setting}."
    message = error_text(body)
    return f"{model} answered HTTP {status}" + (f": {message}" if message else ".")


def error_text(body: bytes) -> str:
    """The message of an OpenAI-shaped error body, cut to a readable length; empty if there is none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    message = error.get("message", "") if isinstance(error, dict) else error
    return message[:ERROR_CHARACTERS] if isinstance(message, str) else ""
