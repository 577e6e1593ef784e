"""Which messages of its sessions a process knows to be in the ledger, so that it sends none of them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from annals_client.integrations.agno.message_mapping import SplitMessage

CONVERSATIONS = 200
"""How many conversations are remembered, and how many messages of each."""
MESSAGES = 5_000


@dataclass(frozen=True)
class KnownMessage:
    """A message of the ledger, and a digest of what it says."""

    message_id: str
    digest: str


class KnownMessages:
    """The messages that were read or stored, by agno's ids. What is not remembered is asked for."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, OrderedDict[str, KnownMessage]] = OrderedDict()
        self._lock = Lock()

    def find(self, conversation_id: str, message: SplitMessage) -> KnownMessage | None:
        """What is known under the message's id; it may say something else."""
        with self._lock:
            return self._known.get(conversation_id, OrderedDict()).get(message.own_id or "")

    def add(self, conversation_id: str, messages: Iterable[tuple[str, SplitMessage]]) -> None:
        """Remember messages under their ids in the ledger."""
        digests = [(message.own_id, KnownMessage(message_id, message.digest)) for message_id, message in messages]
        with self._lock:
            of_conversation = self._known.setdefault(conversation_id, OrderedDict())
            self._known.move_to_end(conversation_id)
            of_conversation.update((own_id, known) for own_id, known in digests if own_id)
            while len(of_conversation) > MESSAGES:
                of_conversation.popitem(last=False)
            while len(self._known) > CONVERSATIONS:
                self._known.popitem(last=False)


class KnownRuns:
    """The runs of which this process stored where they are."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, place: object) -> bool:
        with self._lock:
            return place in self._known

    def add(self, conversation_id: str, run_id: str) -> None:
        """Remember a run."""
        with self._lock:
            self._known[conversation_id, run_id] = None
            while len(self._known) > MESSAGES:
                self._known.popitem(last=False)

    def discard(self, conversation_id: str, run_id: str) -> None:
        """Forget a run."""
        with self._lock:
            self._known.pop((conversation_id, run_id), None)
