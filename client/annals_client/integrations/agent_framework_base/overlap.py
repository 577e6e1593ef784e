"""Which messages of a transcript are stored already: callers hand on what is new, or all that was said so far."""

from __future__ import annotations

from collections.abc import Sequence

from annals_client.integrations.agent_framework_base.messages import is_of_role

Identity = tuple[str, ...]

Stored = Identity | None
"""A message that is stored; None for one that is redacted, which may have been any."""


def count_known(stored: Sequence[Stored], given: Sequence[Identity]) -> int:
    """How many messages, from the beginning, are stored already: the rest is what ``filter_new_messages`` gives.

    All that is stored stands somewhere in what is given, or its end is the beginning of that. A single message of a
    user without an id is taken for one that was said again, and not for a replay.
    """
    for start in range(len(given) - len(stored) + 1 if stored else 0):
        if _is_run(stored, given[start : start + len(stored)]):
            if start == 0 and len(stored) == 1 and _is_said_again(stored[-1]):
                break
            return start + len(stored)
    for length in range(min(len(stored), len(given)), 0, -1):
        if _is_run(stored[-length:], given[:length]) and not (length == 1 and _is_said_again(stored[-1])):
            return length
    return 0


def count_known_of_run(stored: Sequence[Stored], given: Sequence[Identity], made: Sequence[Identity]) -> int:
    """How many of a run's messages are stored already: of those that it was given, and those that it made after them.

    What a run made is new, also where it is what was said before; only a transcript that is run again whole, which no
    user says again, is known with what was made of it.
    """
    known = count_known(stored, given)
    if known or not is_transcript(given):
        return known
    for run in ([*given, *made], given):
        if any(_is_run(stored[start : start + len(run)], run) for start in range(len(stored) - len(run) + 1)):
            return len(run)
    return 0


def is_transcript(given: Sequence[Identity]) -> bool:
    """Whether messages are more than what a user says: others are among them, or some with ids of their own."""
    return not all(is_of_role(identity, "user") for identity in given)


def _is_run(stored: Sequence[Stored], given: Sequence[Identity]) -> bool:
    """Whether these are the same messages, as far as they are not redacted; one at least is not."""
    matches = (one in (None, other) for one, other in zip(stored, given, strict=True))
    return all(matches) and any(stored)


def _is_said_again(identity: Stored) -> bool:
    return identity is not None and is_of_role(identity, "user")
