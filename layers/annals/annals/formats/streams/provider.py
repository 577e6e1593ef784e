"""What the modules of the providers have in common: the protocol that each of their classes follows."""

from __future__ import annotations

from typing import Any, Protocol

from .growing import Json


class ProviderReply(Protocol):
    """A reply of one provider, as far as its chunks have said.

    Attributes
    ----------
    finish_reason : why the reply ended, in the provider's word; None where that was not said
    is_open : whether the provider still has to say that the reply is at its end
    """

    finish_reason: str | None
    is_open: bool

    def take(self, chunk: Json) -> str:
        """Note a chunk, and return the text that it adds. Raises SourceFailed, UnknownChunk."""
        ...

    def fields(self) -> dict[str, Any]:
        """The fields of the provider's message beside its role and its text, as its API has them.

        Its blocks are among them, under the provider's name for them, where there are others than plain text.
        """
        ...
