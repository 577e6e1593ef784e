"""Serialised values as JSON: ``["msgpack", …]``, a serialiser's type and what its bytes say.

MessagePack is written as the JSON that it means wherever that gives the same bytes back: so that what is stored can be
read, masked and exported as everything else is, and deflates well. Other bytes are Base64.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any, Protocol

import ormsgpack
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from annals_client.integrations.langgraph.recent import Recent

MSGPACK = "msgpack"

MAX_DEPTH = 24
"""How deep a MessagePack value may nest that is written as JSON."""

MEMO_BYTES = 16_000_000
"""What is remembered of values that were packed: a list that grows is packed anew with each of its entries."""

Packed = list[Any]


class Serde(Protocol):
    """What makes bytes of values, and values of bytes."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """A value as bytes, and their type."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value that bytes of a type are."""


class Packing:
    """Makes JSON of values, always the same of the same value, and back again.

    An encrypting serialiser gives other bytes each time. Those that it gave, or that were read, are used again, so
    that what was stored once is known.
    """

    def __init__(self, serde: Serde) -> None:
        self._serde = serde
        self._packed: Recent[bytes, Packed] = Recent(MEMO_BYTES)
        self._sealed: Recent[bytes, tuple[str, bytes]] = Recent(MEMO_BYTES)

    def dump(self, value: Any) -> tuple[str, bytes]:
        """A value as bytes, and their type."""
        if not isinstance(self._serde, EncryptedSerializer):
            return self._serde.dumps_typed(value)
        kind, plain = self._serde.serde.dumps_typed(value)
        name = _fingerprint(kind, plain)
        sealed = self._sealed.find(name)
        if sealed is None:
            cipher, content = self._serde.cipher.encrypt(plain)
            sealed = f"{kind}+{cipher}", content
            self._sealed.keep(name, sealed, len(content))
        return sealed

    def load(self, kind: str, content: bytes) -> Any:
        """The value that bytes of a type are."""
        if not isinstance(self._serde, EncryptedSerializer) or "+" not in kind:
            return self._serde.loads_typed((kind, content))
        plain_kind, cipher = kind.split("+", 1)
        plain = self._serde.cipher.decrypt(cipher, content)
        self._sealed.keep(_fingerprint(plain_kind, plain), (kind, content), len(content))
        return self._serde.serde.loads_typed((plain_kind, plain))

    def pack(self, kind: str, content: bytes) -> Packed:
        """Bytes of a type as JSON."""
        if kind != MSGPACK:
            return [kind, _to_raw(content)]
        name = _fingerprint(kind, content)
        packed = self._packed.find(name)
        if packed is None:
            packed = [kind, _to_json(content)]
            self._packed.keep(name, packed, 2 * len(content))
        return packed


def unpack(packed: Packed) -> tuple[str, bytes]:
    """The type and the bytes that JSON says."""
    kind, content = packed
    return kind, _to_bytes(content)


def _to_json(content: bytes, depth: int = 0) -> Any:
    """MessagePack as JSON that says the same bytes."""
    try:
        value = _from_value(_unpackb(content), depth)
        if _to_msgpack(value) == content:
            return value
    except (ValueError, TypeError):  # it is none, or nested too deep, or has a key that JSON cannot name
        pass
    return _to_raw(content)


def _to_msgpack(value: Any) -> bytes:
    packed: bytes = ormsgpack.packb(_to_value(value), option=ormsgpack.OPT_NON_STR_KEYS)
    return packed


class _Extension:
    """A value of a type of the serialiser's own."""

    def __init__(self, code: int, content: bytes) -> None:
        self.code = code
        self.content = content


def _unpackb(content: bytes) -> Any:
    return ormsgpack.unpackb(content, ext_hook=_Extension, option=ormsgpack.OPT_NON_STR_KEYS)


def _from_value(value: Any, depth: int) -> Any:
    """What MessagePack says, as JSON. What JSON has no word for is an object with a name that begins with ``$``."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, _Extension):
        return {"$ext": [value.code, _to_json(value.content, depth + 2)]}
    if isinstance(value, bytes):
        return _to_base64(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, list):
        return [_from_value(part, depth + 1) for part in value]
    if isinstance(value, dict):
        if all(isinstance(name, str) and not name.startswith("$") for name in value):
            return {name: _from_value(part, depth + 1) for name, part in value.items()}
        return {"$map": [[_from_value(key, depth + 3), _from_value(of, depth + 3)] for key, of in value.items()]}
    return value


def _to_value(value: Any) -> Any:
    """The value whose JSON this is, as it is packed."""
    if isinstance(value, list):
        return [_to_value(part) for part in value]
    if not isinstance(value, dict):
        return value
    match next(iter(value.items()), None):
        case ("$ext", [code, content]):
            return ormsgpack.Ext(code, _to_bytes(content))
        case ("$base64", text):
            return b64decode(text)
        case ("$float", text):
            return float(text)
        case ("$map", pairs):
            return {_to_value(key): _to_value(of) for key, of in pairs}
    return {name: _to_value(part) for name, part in value.items()}


def _to_bytes(content: Any) -> bytes:
    """The bytes that JSON says: of MessagePack, or of what is none."""
    return b64decode(content["$raw"]) if isinstance(content, dict) and "$raw" in content else _to_msgpack(content)


def _to_raw(content: bytes) -> dict[str, str]:
    return {"$raw": b64encode(content).decode()}


def _to_base64(content: bytes) -> dict[str, str]:
    return {"$base64": b64encode(content).decode()}


def _fingerprint(kind: str, content: bytes) -> bytes:
    return sha256(kind.encode() + b"\0" + content).digest()
