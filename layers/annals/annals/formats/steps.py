"""A conversation step by step, as providers take it: each step is one speaker's, and results come right after calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, groupby
from operator import itemgetter
from typing import Any

from .blocks import Block, Call, Result, blocks_of
from .whole_exchanges import Exchange, Message, walk_whole_exchanges

MAX_ID_CHARS = 64


@dataclass(frozen=True)
class Step:
    """What a speaker says in one go: user, assistant or system; or one answer of a tool.

    ``message`` is the stored message, where the step is all of it; ``sender`` is the agent who says it to another one.
    """

    role: str
    blocks: Sequence[Block]
    message: Message | None = None
    sender: str | None = None


def steps_of(messages: Iterable[Message]) -> Iterator[Step]:
    """The steps of a conversation, read as it comes."""
    numbers = count(1)
    for exchange in walk_whole_exchanges(messages):
        answers = Answers(exchange, numbers)
        for message, blocks in answers.said:
            if message["role"] != "tool":
                yield from _of_message(message, blocks, answers)


def turns_of(
    messages: Iterable[Message], write: Callable[[Step], list[Any]], system: list[Any]
) -> Iterator[tuple[str, Iterator[list[Any]]]]:
    """The turns of user and assistant, which alternate and begin with the user's; each with what its steps became.

    The answers of tools belong to the user's turn, and are the first of it. What the assistant says before the user
    does is left out, and so are steps of which nothing can be written. Of two agents, the first one to speak is the
    user.

    Parameters
    ----------
    write : a step in the blocks of a format
    system : takes what the system says
    """

    def spoken() -> Iterator[tuple[str, list[Any]]]:
        is_begun = False
        for step in _with_user(steps_of(messages)):
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


def _with_user(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, of which those of the first agent who writes to another one are a user's."""
    first: str | None = None
    for step in steps:
        first = first or step.sender
        is_first = first is not None and step.sender == first and step.role == "assistant"
        has_calls = any(isinstance(block, Call) for block in step.blocks)
        yield replace(step, role="user") if is_first and not has_calls else step


class ToolIds:
    """Ids of calls as a provider takes them: of some characters only, and each once in a conversation."""

    def __init__(self, refused: str) -> None:
        self._refused = re.compile(refused)
        self._used: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}
        self._current: dict[str | None, str] = {}

    def of_call(self, call_id: str | None) -> str:
        """The id of a call that is written."""
        valid = self._refused.sub("_", call_id or "")[:MAX_ID_CHARS] or "call"
        numbered = (f"{valid[: MAX_ID_CHARS - 8]}-{number}" for number in self._numbers.setdefault(valid, count(2)))
        self._current[call_id] = unique = next(each for each in chain([valid], numbered) if each not in self._used)
        self._used.add(unique)
        return unique

    def of_result(self, call_id: str | None) -> str | None:
        """The id of a result's call; None where the call was not written."""
        return self._current.pop(call_id, None)


class Answers:
    """The calls and results of an exchange.

    Parameters
    ----------
    exchange : its messages
    numbers : for the ids of calls whose provider gives them none

    Attributes
    ----------
    said : its messages with their blocks, without calls that have no answer, unless they wait for it
    """

    def __init__(self, exchange: Exchange, numbers: Iterator[int]) -> None:
        said = [(message, _with_ids(blocks_of(message), numbers)) for message in exchange.messages]
        results = [
            (block, message if message["role"] == "tool" and len(blocks) == 1 else None)
            for message, blocks in said
            for block in blocks
            if isinstance(block, Result)
        ]
        calls = [block for _, blocks in said for block in blocks if isinstance(block, Call)]
        self._answers = {call.id: step for call in calls if (step := _take(results, call)) is not None}
        self._is_pending = exchange.is_pending and not self._answers
        self.said = [(message, [*filter(self._is_shown, blocks)]) for message, blocks in said]

    def find(self, call: Call) -> Step | None:
        """The answer to a call."""
        return self._answers.get(call.id)

    def _is_shown(self, block: Block) -> bool:
        return not isinstance(block, Call) or self._is_pending or block.id in self._answers


def _take(results: list[tuple[Result, Message | None]], call: Call) -> Step | None:
    """Take a call's answer out of results; where these have no ids, they follow in the order of the calls."""
    for call_id in (call.id, None):
        for position, (result, message) in enumerate(results):
            if result.call_id == call_id:
                del results[position]
                return Step("tool", [replace(result, call_id=call.id, name=result.name or call.name)], message)
    return None


def _with_ids(blocks: Iterable[Block], numbers: Iterator[int]) -> list[Block]:
    """The blocks, with a number as the id of each call that has none."""
    return [
        replace(block, id=f"call-{next(numbers)}") if isinstance(block, Call) and block.id is None else block
        for block in blocks
    ]


def _of_message(message: Message, blocks: Sequence[Block], answers: Answers) -> Iterator[Step]:
    """The steps of a message; it is several where the model went on after results that are in the message itself."""
    is_whole = not any(isinstance(block, Result) for block in blocks)
    for part in [list(blocks)] if is_whole else _between_results(blocks):
        yield Step(message["role"], part, message if is_whole else None, message.get("from"))
        found = [answers.find(block) for block in part if isinstance(block, Call)]
        yield from (step for step in found if step is not None)


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
