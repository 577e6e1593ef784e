"""A chat model without a model: it repeats what was recalled, so that all can be tried without network or key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence

from annals.providers.chat import ChatMessage, Finished, Pieces, Usage
from annals.providers.offline_embedding import STOP_WORDS

MODEL = "offline"
OPENING = "This is Annals' offline model: no language model is set (CHAT_URL), so these are only memories."
MAX_LINES = 3
LINE_CHARACTERS = 300

_WORD = re.compile(r"\w{3,}")
_PIECE = re.compile(r"\s*\S+")


class OfflineChat:
    """Replies with what shares words with the user's message: items of its instructions, lines of the conversation.

    It says plainly what it is. Its tokens, in ``usage``, are words.
    """

    model = MODEL

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        """Stream the answer word by word; see ChatModel.stream. Another ``model`` is this one, too."""
        items = [line for line in (instructions or "").splitlines() if line.startswith("- ")]
        lines = (line for text in _contents(messages[:-1]) for line in text.splitlines())
        earlier = items + [line for line in lines if not line.startswith("[")]  # which only says who speaks
        pieces = _PIECE.findall(_answer(messages[-1].content, earlier))
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)
        read = sum(len(text.split()) for text in (instructions or "", *_contents(messages)))
        yield Finished("stop", Usage(read, len(pieces)))


def _contents(messages: Sequence[ChatMessage]) -> Iterator[str]:
    return (message.content for message in messages)


def _answer(question: str, lines: Sequence[str]) -> str:
    closest = _closest(question, lines)
    if not closest:
        return f"{OPENING} Nothing remembered shares a word with your message; it is remembered now."
    listed = "\n".join(f"- {line[:LINE_CHARACTERS]}" for line in closest)
    return f"{OPENING} What is remembered of this:\n{listed}"


def _closest(question: str, lines: Sequence[str]) -> list[str]:
    """The lines with the most words in common with the question, best first; among equals the first."""
    question_words = _words(question)
    distinct = dict.fromkeys(line.strip().removeprefix("- ") for line in lines if OPENING not in line)
    shared = {line: len(question_words & _words(line)) for line in distinct}
    return sorted((line for line in shared if shared[line]), key=lambda line: -shared[line])[:MAX_LINES]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold())) - STOP_WORDS
