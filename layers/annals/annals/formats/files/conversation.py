"""A conversation of another app as the lines that an import takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .tree import Branch
from .values import to_external_id, to_time, without_blanks

MAX_TITLE_CHARS = 60
"""How much of a title is said where a conversation is named."""

BRANCH_FIELDS = frozenset({"branches", "branchesOmitted"})
"""The fields of a message's metadata that hold other branches' words, and the number of those that had no room."""

MAX_BRANCH_CHARS = 32_000
"""How many characters of other branches a message keeps."""


class BrokenConversation(ValueError):
    """A conversation cannot be read; the message says why."""


class Place(NamedTuple):
    """Where in a file something is: in a line, or in a conversation with its title, perhaps in one of its messages."""

    name: str
    title: str = ""
    message: int = 0

    def __str__(self) -> str:
        """The place in words, which no terminal takes for anything else."""
        shown = "".join(filter(str.isprintable, self.title))[:MAX_TITLE_CHARS]
        title = f' ("{shown}")' if shown else ""
        return f"{self.name}{title}" + (f", message {self.message}" if self.message else "")

    def before(self, sentence: str) -> str:
        """A sentence about what is in this place."""
        words = str(self)
        return f"{words[0].upper()}{words[1:]}: {sentence}"


class Line(NamedTuple):
    """A line that an import takes: where in the file it comes from, what it says, and its text."""

    place: Place
    value: Any
    text: str


class Broken(NamedTuple):
    """Something in a file that cannot be read, and why.

    ``is_within`` where it may belong to the conversation before it, ``is_end`` where nothing behind it can be read.
    """

    place: Place
    reason: str
    is_within: bool = False
    is_end: bool = False


@dataclass(frozen=True)
class AppConversation:
    """A conversation of another app.

    Parameters
    ----------
    app : the name of the app
    id : the id that it has there, if it has one
    messages : in Annals' shape; ``timestamp`` is a time of any form
    created_at : when it was created there, in any form
    metadata : what else is kept of it
    session_id : the session that it is, where agents go on with it
    """

    app: str
    id: str
    messages: Sequence[Mapping[str, Any]]
    title: str = ""
    created_at: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    session_id: str | None = None

    @property
    def name(self) -> str:
        """What the conversation is called in its file's lines: the same whenever the file is read."""
        return f"{self.app}-{digest(self.id or self.messages)}"

    def lines(self, place: Place) -> Iterator[Line]:
        """The lines. Whose the conversation is, and its id, are the import's to say."""
        place = place._replace(title=self.title)
        created_at = to_time(self.created_at)
        name = self.name
        metadata = {"title": self.title, "source": without_blanks({"app": self.app, "id": self.id}), **self.metadata}
        own = {
            "type": "conversation",
            "conversationId": name,
            "source": self.app,
            "createdAt": created_at,
            "sessionId": self.session_id,
            "metadata": without_blanks(metadata),
        }
        yield to_line(place, without_blanks(own))
        messages = with_own_ids(with_times(self.messages, created_at))
        for number, message in enumerate(messages, start=1):
            yield to_line(place._replace(message=number), {"type": "message", "conversationId": name, **message})


def to_line(place: Place, value: Mapping[str, Any]) -> Line:
    """A line of a value."""
    return Line(place, value, dump(value))


def dump(value: Any) -> str:
    """JSON text, compact. Halves of surrogate pairs, which some apps cut emoji into, are replaced."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def with_times(messages: Sequence[Mapping[str, Any]], created_at: str | None) -> Iterator[dict[str, Any]]:
    """Messages with their times in RFC 3339.

    One without a time was said with the one before, and the first ones when the conversation was created. Where nothing
    in the conversation has a time, no message gets one.
    """
    times = [to_time(message.get("timestamp")) for message in messages]
    at = created_at or next((time for time in times if time is not None), None)
    for message, time in zip(messages, times, strict=True):
        at = time or at
        yield {**message, "timestamp": at} if at else {name: message[name] for name in message if name != "timestamp"}


def with_own_ids(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Messages with the ids that they had; one that is no id, or was there before, is left out."""
    seen: set[str | None] = {None}
    for message in messages:
        external_id = to_external_id(message.pop("externalId", None))
        if external_id not in seen:
            message["externalId"] = external_id
        seen.add(external_id)
        yield message


def messages_along(
    branch: Branch, shown: Mapping[str, Mapping[str, Any]], read: Callable[[Sequence[str]], Iterable[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The messages of a branch, each with the words of those that begin beside it in other branches.

    What begins beside a node that says nothing goes with the next message, or, at the end, with the last one.

    Parameters
    ----------
    shown : the messages of the branch's nodes that say something, by the nodes' ids
    read : the messages of other nodes, by their ids
    """
    messages: list[dict[str, Any]] = []
    beside: list[list[Mapping[str, Any]]] = [[]]
    for id_ in branch.ids:
        beside[-1] += read(branch.others.get(id_, ()))
        if id_ in shown:
            messages.append(dict(shown[id_]))
            beside.append([])
    if messages:
        beside[-2] += beside[-1]
    return [_with_branches(message, others) for message, others in zip(messages, beside[:-1], strict=True)]


def _with_branches(message: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A message with the words of the messages that stand beside it in other branches, as far as there is room."""
    branches, room = [], MAX_BRANCH_CHARS
    for other in others:
        words = {"role": other["role"], "content": other["content"], "timestamp": to_time(other.get("timestamp"))}
        room -= len(other["content"])
        if room >= 0 and other["content"]:
            branches.append(without_blanks(words))
    if not others:
        return message
    omitted = len(others) - len(branches)
    kept = without_blanks({"branches": branches, "branchesOmitted": omitted or None})
    return {**message, "metadata": {**message.get("metadata", {}), **kept}}


def digest(value: Any) -> str:
    """A name for an id, or for what a conversation says: the same whenever the file is read."""
    return hashlib.sha256(dump(value).encode()).hexdigest()[:32]
