"""Memories as text for a prompt, within a budget of tokens.

The text is laid out so; a part without lines is left out, and lines are in the order in which they were said::

    What is known:
    - [2025-06-15] Ada lives in Paris.

    What is remembered from earlier, oldest first:
    - [2025-06-14] user (Ada): I have found a flat in Paris.

What was said stands on its one line, whatever it holds; see ``annals.quoting``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from annals.formats.media import BYTES_PER_TOKEN
from annals.memory.memories.models import Memory
from annals.quoting import FACTS_HEADING, MEMORIES_HEADING, speaker_name, to_one_line
from annals.times import day_of

M = TypeVar("M", bound=Memory)


def fit_to_budget(memories: Sequence[M], max_tokens: int) -> tuple[list[M], str]:
    """The memories whose lines fit a budget, and those lines as a text that never takes more.

    Facts come first, then the others, each in the order given; one that does not fit is passed over.
    """
    left = max_tokens * BYTES_PER_TOKEN
    chosen: list[M] = []
    headings: set[str] = set()
    for memory in sorted(memories, key=lambda memory: _heading(memory) != FACTS_HEADING):
        heading = _heading(memory)
        new_heading = "" if heading in headings else heading + ("\n\n" if headings else "")
        size = len(f"{new_heading}\n- {memory_line(memory)}".encode())
        if size <= left:
            left -= size
            headings.add(heading)
            chosen.append(memory)
    return chosen, _text(chosen)


def memory_line(memory: Memory) -> str:
    """A memory's line: on which day it was said, by the clock there, and, but for facts, who said it."""
    text = to_one_line(memory["content"])
    if _heading(memory) != FACTS_HEADING:
        role, name = memory.get("role") or "memory", speaker_name(memory)
        text = f"{role} ({name}): {text}" if name else f"{role}: {text}"
    return f"[{day_of(memory['createdAt'], memory.get('localTime'))}] {text}"


def _heading(memory: Memory) -> str:
    return FACTS_HEADING if memory["contentType"] == "fact" else MEMORIES_HEADING


def _text(memories: Sequence[Memory]) -> str:
    ordered = sorted(memories, key=lambda memory: memory["createdAt"])
    parts = []
    for heading in (FACTS_HEADING, MEMORIES_HEADING):
        lines = [f"- {memory_line(memory)}" for memory in ordered if _heading(memory) == heading]
        if lines:
            parts.append("\n".join([heading, *lines]))
    return "\n\n".join(parts)
