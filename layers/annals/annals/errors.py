"""The catalogue of errors: every way in which Annals refuses, with its stable code and HTTP status.

``api/problems.py`` turns them into problem details; nothing else decides a status.
"""

from __future__ import annotations


class AnnalsError(Exception):
    """A refusal that the caller can act on.

    Parameters
    ----------
    detail : what is wrong and what to do next, in a sentence
    field : the name of the offending field, as the caller wrote it
    """

    status = 500
    code = "INTERNAL_ERROR"
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidInput(AnnalsError):
    """422: the request is well-formed JSON but says something that cannot be; ``code`` says what."""

    status = 422
    title = "Invalid input"

    def __init__(self, code: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.code = code


class InvalidJson(AnnalsError):
    status, code, title = 400, "INVALID_JSON", "Not JSON"


class Unauthorized(AnnalsError):
    status, code, title = 401, "UNAUTHORIZED", "Unauthorized"


class Forbidden(AnnalsError):
    status, code, title = 403, "FORBIDDEN", "Forbidden"


class NotFound(AnnalsError):
    status, code, title = 404, "NOT_FOUND", "Not found"


class MethodNotAllowed(AnnalsError):
    status, code, title = 405, "METHOD_NOT_ALLOWED", "Method not allowed"


class ConversationNotFound(NotFound):
    code, title = "CONVERSATION_NOT_FOUND", "Conversation not found"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"There is no conversation {conversation_id!r}.")


class MessageNotFound(NotFound):
    code, title = "MESSAGE_NOT_FOUND", "Message not found"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message {message_id!r} in this conversation.")


class MemoryNotFound(NotFound):
    code, title = "MEMORY_NOT_FOUND", "Memory not found"

    def __init__(self, memory_id: str) -> None:
        super().__init__(f"There is no memory {memory_id!r}.")


class FactNotFound(NotFound):
    code, title = "FACT_NOT_FOUND", "Fact not found"

    def __init__(self, fact_id: str) -> None:
        super().__init__(f"There is no fact {fact_id!r}.")


class VersionNotFound(NotFound):
    code, title = "VERSION_NOT_FOUND", "Version not found"

    def __init__(self, memory_id: str, number: int) -> None:
        super().__init__(f"Memory {memory_id!r} has no version {number} that is kept, or had none at that time.")


class SpaceNotFound(NotFound):
    code, title = "SPACE_NOT_FOUND", "Memory space not found"

    def __init__(self, memory_space_id: str) -> None:
        super().__init__(f"There is no description of a memory space {memory_space_id!r}.")


class ReceiptNotFound(NotFound):
    code, title = "RECEIPT_NOT_FOUND", "Receipt not found"


class StreamNotFound(NotFound):
    code, title = "STREAM_NOT_FOUND", "Stream not found"

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"There is no stream {stream_id!r}; one can be followed for a while only.")


class KeyNotFound(NotFound):
    code, title = "KEY_NOT_FOUND", "Key not found"


class Conflict(AnnalsError):
    status, code, title = 409, "CONFLICT", "Conflict"


class ConversationAlreadyExists(Conflict):
    code, title = "CONVERSATION_ALREADY_EXISTS", "Conversation already exists"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"A conversation {conversation_id!r} exists already.", field="conversationId")


class ConversationDiffers(Conflict):
    """409: what an import brings is not what the conversation holds."""

    code, title = "CONVERSATION_DIFFERS", "Conversation differs"


class ConversationSealed(Conflict):
    code, title = "CONVERSATION_SEALED", "Conversation sealed"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation {conversation_id!r} is sealed: it takes no more messages.")


class MemorySpaceMismatch(Conflict):
    code, title = "MEMORY_SPACE_MISMATCH", "Memory space mismatch"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"Conversation {conversation_id!r} belongs to another memory space.",
            field="memorySpaceId",
        )


class ParticipantMismatch(Conflict):
    code, title = "PARTICIPANT_MISMATCH", "Participant mismatch"

    def __init__(self, conversation_id: str, field: str) -> None:
        who = "user" if field == "userId" else "agent"
        super().__init__(f"Conversation {conversation_id!r} is another {who}'s.", field=field)


class DeleteManyThresholdExceeded(Conflict):
    code, title = "DELETE_MANY_THRESHOLD_EXCEEDED", "More matches than the threshold"

    def __init__(self, count: int, threshold: int) -> None:
        super().__init__(
            f"{count} match, and without confirm at most {threshold} are deleted. Nothing was deleted.",
            field="confirm",
        )


class MemoryNotArchived(Conflict):
    code, title = "MEMORY_NOT_ARCHIVED", "Memory not archived"

    def __init__(self, memory_id: str) -> None:
        super().__init__(f"Memory {memory_id!r} is not archived.")


class NothingToSummarize(Conflict):
    code, title = "NOTHING_TO_SUMMARIZE", "Nothing to summarise"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Nothing was said in conversation {conversation_id!r} that could be summarised.")


class DamagedItem(Conflict):
    """409: what is stored under a key was changed behind Annals, and cannot be read any more."""

    code, title = "ITEM_DAMAGED", "Stored item damaged"

    def __init__(self, pk: str, sk: str, reason: str) -> None:
        super().__init__(f"What is stored here cannot be read: {reason}. Sending the request again does not help.")
        self.pk = pk
        self.sk = sk
        self.reason = reason


class DamagedEntry(DamagedItem):
    """409: an item of a conversation's ledger is not an entry as an append writes it."""

    code, title = "ENTRY_DAMAGED", "Entry damaged"

    def __init__(self, pk: str, sk: str, reason: str) -> None:
        super().__init__(pk, sk, reason)
        self.detail = f"An entry of this conversation cannot be read: {reason}. Its verify names the place."


class AppendConflict(Conflict):
    code, title = "APPEND_CONFLICT", "Append conflict"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"Other writers kept taking the next place in conversation {conversation_id!r}. Send the request again.",
            retry_after_s=1,
        )


class IdempotencyKeyReused(Conflict):
    code, title = "IDEMPOTENCY_KEY_REUSED", "Idempotency key reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key came with a different request before. Use a new key for a new request.",
            field="Idempotency-Key",
        )


class KeyAlreadyMade(Conflict):
    code, title = "KEY_ALREADY_MADE", "Key already made"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"An earlier request with this Idempotency-Key made {key_id}. Its text was in that one's answer alone: "
            "if it is lost, revoke that key and make another one under another Idempotency-Key.",
            field="Idempotency-Key",
        )


class RequestInProgress(Conflict):
    code, title = "REQUEST_IN_PROGRESS", "Request in progress"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still being worked on.", retry_after_s=1)


class ConversationErased(AnnalsError):
    status, code, title = 410, "CONVERSATION_ERASED", "Conversation erased"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation {conversation_id!r} was erased; its id is never used again.")


class MessageRedacted(AnnalsError):
    """410: what was to be made of a message's words cannot be: they are withdrawn."""

    status, code, title = 410, "MESSAGE_REDACTED", "Message redacted"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"Message {message_id!r} was redacted: nothing can be made of it any more.")


class PreconditionFailed(AnnalsError):
    status, code, title = 412, "PRECONDITION_FAILED", "Precondition failed"

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"If-Match names {expected}, but the current value is {current}.", field="If-Match")
        self.current = current


class EntryTooLarge(AnnalsError):
    status, code, title = 413, "ENTRY_TOO_LARGE", "Entry too large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The messages of one request take {size} bytes; an entry holds {limit}. Split them over several requests."
        )
        self.excess = size - limit


class RequestTooLarge(AnnalsError):
    status, code, title = 413, "REQUEST_TOO_LARGE", "Request too large"


class AnswerTooLarge(AnnalsError):
    """413: what was asked for takes more bytes than Lambda sends, and no part of it can be left out."""

    status, code, title = 413, "ANSWER_TOO_LARGE", "Answer too large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The answer takes {size} bytes, and {limit} can be sent. Ask for less of it at once.")


class UnsupportedMediaType(AnnalsError):
    status, code, title = 415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"


class Unavailable(AnnalsError):
    """503: something that Annals depends on does not answer; sending the request again is right."""

    status, code, title = 503, "UNAVAILABLE", "Unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after_s=1)


class ImportUnfinished(Unavailable):
    """503: an import is larger than one request has time for; sent again, it goes on where it came to."""

    code, title = "IMPORT_UNFINISHED", "Import not finished yet"

    def __init__(self, done: int, total: int) -> None:
        super().__init__(
            f"{done} of {total} conversations are stored, and the time of one request is over. Send the same request "
            "again: it goes on there."
        )
        self.progress = {"done": done, "total": total}


class SearchUnavailable(Unavailable):
    code, title = "SEARCH_UNAVAILABLE", "Search unavailable"


class SearchAsleep(SearchUnavailable):
    """503: a Serverless collection did not answer in the time that one may wait for it; most likely it wakes."""

    title = "Search index waking up"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"The search index does not answer ({said}). A Serverless collection sleeps after ten idle minutes, and "
            "takes up to 30 seconds to wake: send the request again."
        )
        self.retry_after_s = 10


class EmbeddingUnavailable(SearchUnavailable):
    title = "Embedding model unavailable"


class RerankUnavailable(Unavailable):
    """The reranking model does not answer. No request fails for it: a search keeps its own ranking."""

    title = "Reranking model unavailable"


class ChatUnavailable(Unavailable):
    code, title = "MODEL_UNAVAILABLE", "Chat model unavailable"


class PiiUnavailable(Unavailable):
    code, title = "PII_DETECTION_UNAVAILABLE", "Detection of personal data unavailable"

    def __init__(self) -> None:
        super().__init__("Personal data could not be looked for, so nothing was stored. Send the request again.")


class OutOfTime(Exception):
    """The time for indexing is over. What was indexed until then is kept, and not embedded again."""


class StreamEmpty(AnnalsError):
    """502: the chat model ended its reply without a word."""

    status, code, title = 502, "STREAM_EMPTY", "Empty reply"


class StreamFailed(AnnalsError):
    """502: the chat model gave no reply, or broke off in the middle of it."""

    status, code, title = 502, "STREAM_FAILED", "Reply failed"


class ReplyTooLarge(AnnalsError):
    """413: the chat model's reply is longer than an entry can be."""

    status, code, title = 413, "ENTRY_TOO_LARGE", "Reply too large"


class ConfigurationError(Exception):
    """A wrong or missing setting; stops the start with a sentence that names it."""
