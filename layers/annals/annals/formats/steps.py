"""A conversation step by step, as providers take it: each step is one speaker's, and results come right after calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, groupby
from operator import itemgetter
from typing import Any

from .blocks import Block, Call, Result, blocks_of
from .whole_exchanges import Message, walk_whole_exchanges

MAX_ID_CHARS = 64


@dataclass(frozen=True)
class Step:
    """What a speaker says in one go: user, assistant or system; or one answer of a tool.

    ``message`` is the stored message, where the step is all of it.
    """

    role: str
    blocks: Sequence[Block]
    message: Message | None = None


def steps_of(messages: Iterable[Message]) -> Iterator[Step]:
    """The steps of a conversation, read as it comes."""
    numbers = count(1)
    for exchange in walk_whole_exchanges(messages):
        said = [(message, with_ids(blocks_of(message), numbers)) for message in exchange]
        answers = Answers(said)
        for message, blocks in said:
            if message["role"] != "tool":
                yield from _of_message(message, blocks, answers)


def turns_of(
    messages: Iterable[Message], write: Callable[[Step], list[Any]], system: list[Any]
) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    """The turns of user and assistant, which alternate and begin with the user's; each with what its steps became.

    The answers of tools belong to the user's turn, and are the first of it. What the assistant says before the user
    does is left out, and so are steps of which nothing can be written.

    Parameters
    ----------
    write : a step in the blocks of a format
    system : takes what the system says
    """

    def spoken() -> Iterator[tuple[str, list[Any]]]:
        is_begun = False
        for step in steps_of(messages):
            if not is_begun and step.role not in ("system", "user"):
                continue
            if not (blocks := write(step)):
                continue
            if step.role == "system":
                system.append(blocks)
            else:
                is_begun = True
                yield ("assistant" if step.role == "assistant" else "user"), blocks

    for role, group in groupby(spoken(), key=itemgetter(0)):
        yield role, (blocks for _, blocks in group)


class ToolIds:
    """Ids of calls as a provider takes them: of some characters only, and each once in a conversation."""

    def __init__(self, refused: str) -> None:
        self._refused = re.compile(refused)
        self._used: set[str] = set()
        self._current: dict[str | None, str] = {}

    def of_call(self, call_id: str | None) -> str:
        """The id of a call that is written."""
        valid = self._refused.sub("_", call_id or "")[:MAX_ID_CHARS] or "call"
        numbered = (f"{valid[: MAX_ID_CHARS - 8]}-{number}" for number in count(2))
        self._current[call_id] = unique = next(each for each in chain([valid], numbered) if each not in self._used)
        self._used.add(unique)
        return unique

    def of_result(self, call_id: str | None) -> str | None:
        """The id of a result's call; None where the call was not written."""
        return self._current.pop(call_id, None)


class Answers:
    """The results of an exchange, each with the message that it is all of, if there is one."""

    def __init__(self, said: Iterable[tuple[Message, Sequence[Block]]]) -> None:
        self._waiting: list[tuple[Result, Message | None]] = []
        for message, blocks in said:
            is_whole = message["role"] == "tool" and len(blocks) == 1
            results = (block for block in blocks if isinstance(block, Result))
            self._waiting += [(result, message if is_whole else None) for result in results]

    def take(self, call: Call) -> Iterator[Step]:
        """The answer to a call, once; where results have no ids, they follow in the order of the calls."""
        for is_answer in (lambda result: result.call_id == call.id, lambda result: result.call_id is None):
            for position, (result, message) in enumerate(self._waiting):
                if is_answer(result):
                    del self._waiting[position]
                    yield Step("tool", [replace(result, call_id=call.id)], message if result.call_id else None)
                    return


def with_ids(blocks: Iterable[Block], numbers: Iterator[int]) -> list[Block]:
    """The blocks, with a number as the id of each call whose provider gives it none."""
    return [
        replace(block, id=f"call-{next(numbers)}") if isinstance(block, Call) and block.id is None else block
        for block in blocks
    ]


def _of_message(message: Message, blocks: Sequence[Block], answers: Answers) -> Iterator[Step]:
    """The steps of a message; it is several where the model went on after results that are in the message itself."""
    is_whole = not any(isinstance(block, Result) for block in blocks)
    for part in [list(blocks)] if is_whole else _between_results(blocks):
        yield Step(message["role"], part, message if is_whole else None)
        for block in part:
            if isinstance(block, Call):
                yield from answers.take(block)


def _between_results(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """The blocks before, between and behind results; calls right behind a result were made with those before it."""
    part: list[Block] = []
    is_answered = False
    for block in blocks:
        if isinstance(block, Result):
            is_answered = True
            continue
        if is_answered and not isinstance(block, Call) and part:
            yield part
            part = []
        is_answered = is_answered and isinstance(block, Call)
        part.append(block)
    if part:
        yield part
