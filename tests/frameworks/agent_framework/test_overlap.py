"""Which messages of a transcript are known: the same as the framework says."""

from __future__ import annotations

from itertools import product

from agent_framework import Message
from agent_framework._sessions import filter_new_messages, get_message_identity

from annals_client.integrations.agent_framework_base.messages import identity_of
from annals_client.integrations.agent_framework_base.overlap import count_known, count_known_of_run

KINDS = [
    Message("user", ["a"]),
    Message("assistant", ["a"]),
    Message("user", ["a"], message_id="1"),
]


def test_what_is_new_of_a_transcript_is_what_the_framework_says() -> None:
    transcripts = [[*run] for length in range(5) for run in product(KINDS, repeat=length)]
    shorter = [run for run in transcripts if len(run) <= 3]
    for stored, given in product(transcripts, shorter):
        known = count_known([*map(identity_of_message, stored)], [*map(identity_of_message, given)])
        assert given[known:] == filter_new_messages(stored, given)


def test_messages_are_the_same_where_the_framework_says_so() -> None:
    messages = [*KINDS, Message("user", ["a", "b"]), Message("user", ["ä"], author_name="x"), Message("tool", [])]
    for one, other in product(messages, repeat=2):
        is_same = get_message_identity(one) == get_message_identity(other)
        assert (identity_of_message(one) == identity_of_message(other)) == is_same


def test_what_a_run_made_is_new_though_it_was_said_before() -> None:
    question, answer = ("content", "user", "[]"), ("content", "assistant", "[]")
    assert count_known_of_run([question, answer], [question], [answer]) == 0
    assert count_known_of_run([question, answer], [question, answer, question], [answer]) == 2


def test_a_replay_is_known_though_a_message_of_it_was_redacted() -> None:
    question, answer, next_one = ("content", "user", "[]"), ("content", "assistant", "[]"), ("content", "user", "[1]")
    assert count_known([None, answer], [question, answer, next_one]) == 2
    assert count_known([None], [question]) == 0


def identity_of_message(message: Message) -> tuple[str, ...]:
    return identity_of(message.to_dict())
