"""Sealing: short texts that are opaque to those who carry them, and that nobody can change or forge.

Encrypt-then-MAC of the standard library's primitives: SHAKE-256 of key and nonce as the stream of bytes that hides the
text, HMAC-SHA-256 over nonce, hidden text and what the text is bound to. The nonce is random, so that the same text is
never sealed the same way twice; texts are padded, so that their lengths give nothing away either.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import shake_256

NONCE_BYTES = 16
TAG_BYTES = 16
BLOCK_BYTES = 64
MAX_CHARS = 4096
"""No sealed text is longer; what is longer is not decoded."""


def seal(key: bytes, text: bytes, bound_to: bytes) -> str:
    """A text that only the same key opens, with the same ``bound_to``; letters, digits, ``-`` and ``_``."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    padded = text + b" " * (-len(text) % BLOCK_BYTES)
    hidden = nonce + _xor_stream(padded, key, nonce)
    return urlsafe_b64encode(hidden + _tag(key, hidden, bound_to)).decode().rstrip("=")


def unseal(key: bytes, sealed: str, bound_to: bytes) -> bytes | None:
    """The text, padded with blanks; None for anything that ``seal`` did not make with this key and ``bound_to``."""
    raw = _decoded(sealed)
    hidden, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
    if len(hidden) < NONCE_BYTES or not hmac.compare_digest(tag, _tag(key, hidden, bound_to)):
        return None
    return _xor_stream(hidden[NONCE_BYTES:], key, hidden[:NONCE_BYTES])


def _decoded(sealed: str) -> bytes:
    """The bytes of a sealed text; none of one that is not exactly as it was written."""
    if len(sealed) > MAX_CHARS or not sealed.isascii():
        return b""
    try:
        raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    except ValueError:
        return b""
    return raw if urlsafe_b64encode(raw).decode().rstrip("=") == sealed else b""


def _xor_stream(text: bytes, key: bytes, nonce: bytes) -> bytes:
    """A text encrypted, or decrypted: each byte with one of the stream that key and nonce make."""
    stream = shake_256(_derive_key(key, b"hide") + nonce).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))


def _tag(key: bytes, hidden: bytes, bound_to: bytes) -> bytes:
    signed = len(bound_to).to_bytes(8, "big") + bound_to + hidden
    return hmac.digest(_derive_key(key, b"sign"), signed, "sha256")[:TAG_BYTES]


def _derive_key(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"annals sealing: " + purpose, "sha256")
