"""What the API gives of the erasure of a user. A conversation's receipt is in ``conversations.models``."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class RemovedOfUser(TypedDict):
    """What was taken away of a user: in all, with what went with their conversations.

    Every message in a conversation of theirs was a memory, so as many of these are gone. Spaces are those in which they
    took part, documents those that went by themselves, and not with a conversation.
    """

    conversations: int
    messages: int
    memories: int
    facts: int
    spaces: int
    documents: int


class ErasedConversation(TypedDict):
    """A conversation that went with a user: its own receipt's id, and the head of its chain, which still verifies."""

    receiptId: str
    messages: int
    headHash: str


class UserReceiptResponse(TypedDict):
    """How far the erasure of a user is. Once it is done, not even their id is kept.

    ``damaged`` is how many items were met that cannot be read, where any were: whatever of them may be the user's is
    gone, too. ``found`` says whether there was anything of them; ``conversations`` are a page of those of theirs.
    """

    receiptId: str
    userId: NotRequired[str]
    status: Literal["erasing", "erased"]
    begunAt: str
    erasedAt: NotRequired[str]
    found: NotRequired[bool]
    removed: RemovedOfUser
    damaged: NotRequired[int]
    conversations: list[ErasedConversation]
    nextCursor: NotRequired[str]
