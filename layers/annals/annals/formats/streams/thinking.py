"""Thinking that a model writes into its text, between ``<think>`` and ``</think>``."""

from __future__ import annotations

import re

OPENING = re.compile(r"(?<!`)<think(?:ing)?>", re.IGNORECASE)
CLOSING = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
LONGEST = len("</thinking>")

_TAGS = ("<think>", "<thinking>", "</think>", "</thinking>")


class ThinkTags:
    """Takes the thinking out of a text that comes in pieces, cut anywhere.

    A tag directly behind a backtick is a word about a tag. Thinking that is not closed goes on to the end.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._before = ""
        self._thoughts: list[list[str]] = []
        self._is_thinking = False
        self._says_nothing_yet = True

    @property
    def thinking(self) -> str:
        """What was thought so far, each thought on lines of its own."""
        return "\n".join(filter(None, ("".join(thought).strip() for thought in self._thoughts)))

    def take(self, piece: str) -> str:
        """The text of a piece that is no thinking; what may be the beginning of a tag waits for its rest."""
        text, self._rest = self._rest + piece, ""
        spoken: list[str] = []
        while text:
            text = self._step(text, spoken)
        return "".join(spoken)

    def end(self) -> str:
        """What waited, as it was no tag."""
        rest, self._rest = self._rest, ""
        spoken: list[str] = []
        self._keep(rest, spoken)
        return "".join(spoken)

    def _step(self, text: str, spoken: list[str]) -> str:
        """Take the text up to a tag, or to what may become one; what is left of it."""
        before = len(self._before)
        tag = (CLOSING if self._is_thinking else OPENING).search(self._before + text, before)
        if tag:
            self._keep(text[: tag.start() - before], spoken)
            self._is_thinking = not self._is_thinking
            if self._is_thinking:
                self._thoughts.append([])
            self._before = ""
            return text[tag.end() - before :]
        begin = _tag_begin(text)
        self._keep(text[:begin], spoken)
        self._rest = text[begin:]
        return ""

    def _keep(self, text: str, spoken: list[str]) -> None:
        if not text:
            return
        self._before = text[-1]
        if self._is_thinking:
            self._thoughts[-1].append(text)
            return
        if self._says_nothing_yet and self._thoughts:
            text = text.lstrip()
        self._says_nothing_yet = self._says_nothing_yet and not text.strip()
        spoken.append(text)


def without_thinking(text: str) -> str:
    """A text without the thinking in it."""
    tags = ThinkTags()
    return tags.take(text) + tags.end()


def _tag_begin(text: str) -> int:
    """Where what may be the beginning of a tag begins, at the end of a text; the text's length where nothing is."""
    begin = text.rfind("<", -LONGEST)
    is_begin = begin >= 0 and any(tag.startswith(text[begin:].lower()) for tag in _TAGS)
    return begin if is_begin else len(text)
