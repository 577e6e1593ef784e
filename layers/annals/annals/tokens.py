"""How many tokens a text takes, estimated without a model's tokenizer.

Four bytes of UTF-8 a token and four tokens around each message: English comes out within about a fifth of what common
byte-pair encodings count; scripts of three-byte characters are counted rather too high than too low.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BYTES_PER_TOKEN = 4
TOKENS_AROUND_MESSAGE = 4


def estimate(text: str) -> int:
    """The tokens of a text; never fewer than one for a text that is not empty."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def estimate_message(message: Mapping[str, Any]) -> int:
    """The tokens of a message in a prompt. A count that the caller sent with it, ``metadata.tokens``, is believed."""
    counted = (message.get("metadata") or {}).get("tokens")
    if isinstance(counted, int) and not isinstance(counted, bool) and counted >= 0:
        return counted
    return estimate(message.get("content") or "") + TOKENS_AROUND_MESSAGE
