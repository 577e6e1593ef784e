"""A chat model that gives prepared replies, one after the other, and keeps its prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from annals.errors import ChatUnavailable
from annals.providers.chat import ChatMessage, Finished, Pieces


def summary_of(text: str, *topics: str) -> str:
    """The reply of a model that does as its instructions say."""
    return json.dumps({"summary": text, "topics": topics})


class Writer:
    """See the module. A reply of None is a model that does not answer."""

    model = "writer"

    def __init__(self, *replies: str | None) -> None:
        self.replies = list(replies)
        self.prompts: list[str] = []

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream the next reply; see ChatModel.stream."""
        self.prompts.append(messages[-1].content)
        reply = self.replies.pop(0)
        if reply is None:
            raise ChatUnavailable("The model does not answer.")
        yield reply[:5]
        yield reply[5:]
        yield Finished("stop")
