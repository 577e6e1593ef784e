"""The catalogue of errors: every way in which Annals refuses, with its stable code and HTTP status.

One tree, a branch for each status::

    AnnalsError
    ├── InvalidJson 400, UnsupportedMediaType 415, InvalidInput 422      the request cannot be understood
    ├── Unauthorized 401, Forbidden 403                                  the caller may not
    ├── NotFound 404, MethodNotAllowed 405, Gone 410                     it is not there, or no longer
    ├── Conflict 409, PreconditionFailed 412                             it does not fit what is stored
    ├── TooLarge 413                                                     there is no room for it
    ├── StreamEmpty, StreamFailed 502                                    the chat model gave no reply
    └── Unavailable 503                                                  the same request may succeed later

``api/problems.py`` turns them into problem details; nothing else decides a status. What stands at the end of this
module reaches no caller.
"""

from __future__ import annotations


class AnnalsError(Exception):
    """A refusal that the caller can act on.

    Parameters
    ----------
    detail : what is wrong and what to do next, in a sentence
    field : the name of the offending field, as the caller wrote it
    retry_after_s : after how many seconds the same request may succeed; None where that is not to be expected
    """

    status = 500
    code = "INTERNAL_ERROR"
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s


# 400, 415, 422: the request cannot be understood


class InvalidJson(AnnalsError):
    """400: the body is not JSON."""

    status, code, title = 400, "INVALID_JSON", "Not JSON"


class UnsupportedMediaType(AnnalsError):
    """415: the body says that it is no JSON, or none of the formats that the route takes."""

    status, code, title = 415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"


class InvalidInput(AnnalsError):
    """422: the request is well-formed JSON but says something that cannot be; ``code`` says what."""

    status = 422
    title = "Invalid input"

    def __init__(self, code: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.code = code


# 401, 403: the caller may not


class Unauthorized(AnnalsError):
    """401: the request came without a key or token that works."""

    status, code, title = 401, "UNAUTHORIZED", "Unauthorized"


class Forbidden(AnnalsError):
    """403: the caller's key or token does not open what the request is for."""

    status, code, title = 403, "FORBIDDEN", "Forbidden"


# 404, 405, 410: it is not there, or no longer


class NotFound(AnnalsError):
    """404: there is no such thing, or none that the caller may see."""

    status, code, title = 404, "NOT_FOUND", "Not found"


class ConversationNotFound(NotFound):
    code, title = "CONVERSATION_NOT_FOUND", "Conversation not found"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"There is no conversation {conversation_id!r}.")


class SessionNotFound(NotFound):
    """404: there is no such session of this user in this memory space."""

    code, title = "SESSION_NOT_FOUND", "Session not found"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"There is no session {session_id!r} of this user and memory space.")


class MessageNotFound(NotFound):
    code, title = "MESSAGE_NOT_FOUND", "Message not found"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message {message_id!r} in this conversation.")


class RunNotFound(NotFound):
    code, title = "RUN_NOT_FOUND", "Run not found"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id!r} in this conversation.")


class PartNotFound(NotFound):
    code, title = "PART_NOT_FOUND", "Part not found"

    def __init__(self, message_id: str, part_sha256: str) -> None:
        super().__init__(f"Message {message_id!r} has no part {part_sha256!r}, or no longer.")


class MemoryNotFound(NotFound):
    code, title = "MEMORY_NOT_FOUND", "Memory not found"

    def __init__(self, memory_id: str) -> None:
        super().__init__(f"There is no memory {memory_id!r}.")


class FactNotFound(NotFound):
    code, title = "FACT_NOT_FOUND", "Fact not found"

    def __init__(self, fact_id: str) -> None:
        super().__init__(f"There is no fact {fact_id!r}.")


class VersionNotFound(NotFound):
    """404: a memory has no such version, by its number or, without one, by a moment at which it was in force."""

    code, title = "VERSION_NOT_FOUND", "Version not found"

    def __init__(self, memory_id: str, number: int | None = None) -> None:
        version = "version of that time" if number is None else f"version {number}"
        super().__init__(f"Memory {memory_id!r} has no {version}, or it is no longer stored.")


class SpaceNotFound(NotFound):
    code, title = "SPACE_NOT_FOUND", "Memory space not found"

    def __init__(self, memory_space_id: str) -> None:
        super().__init__(f"There is no description of a memory space {memory_space_id!r}.")


class DocumentNotFound(NotFound):
    code, title = "DOCUMENT_NOT_FOUND", "Document not found"

    def __init__(self, key: str) -> None:
        super().__init__(f"There is no document {key!r} here.")


class ReceiptNotFound(NotFound):
    code, title = "RECEIPT_NOT_FOUND", "Receipt not found"


class StreamNotFound(NotFound):
    code, title = "STREAM_NOT_FOUND", "Stream not found"

    def __init__(self, stream_id: str) -> None:
        super().__init__(f"There is no stream {stream_id!r}; one can be followed for a while only.")


class KeyNotFound(NotFound):
    code, title = "KEY_NOT_FOUND", "Key not found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id!r}.")


class MethodNotAllowed(AnnalsError):
    """405: the path is a route, but not with this method."""

    status, code, title = 405, "METHOD_NOT_ALLOWED", "Method not allowed"


class Gone(AnnalsError):
    """410: it was there, and its words were taken away for good."""

    status = 410


class ConversationErased(Gone):
    code, title = "CONVERSATION_ERASED", "Conversation erased"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation {conversation_id!r} was erased; its id is never used again.")


class MessageRedacted(Gone):
    """410: something was to be made of a message's words, and they were redacted."""

    code, title = "MESSAGE_REDACTED", "Message redacted"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"Message {message_id!r} was redacted: nothing can be made of it any more.")


# 409, 412: it does not fit what is stored


class Conflict(AnnalsError):
    """409: what is stored stands against it."""

    status, code, title = 409, "CONFLICT", "Conflict"


class ConversationAlreadyExists(Conflict):
    code, title = "CONVERSATION_ALREADY_EXISTS", "Conversation already exists"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"A conversation {conversation_id!r} exists already.", field="conversationId")


class SessionAlreadyExists(Conflict):
    """409: another conversation is this session of this user."""

    code, title = "SESSION_ALREADY_EXISTS", "Session already exists"

    def __init__(self, session_id: str, conversation_id: str) -> None:
        super().__init__(f"The session {session_id!r} is conversation {conversation_id!r} already.", field="sessionId")


class ConversationDiffers(Conflict):
    """409: what an import contains is not what the conversation holds."""

    code, title = "CONVERSATION_DIFFERS", "Conversation differs"


class MissingParts(ConversationDiffers):
    """409: what an import contains comes after parts that the conversation does not hold."""


class ConversationSealed(Conflict):
    code, title = "CONVERSATION_SEALED", "Conversation sealed"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation {conversation_id!r} is sealed: it takes no more messages.")


class MessageCompleted(Conflict):
    """409: a message is stored whole, and nothing is added to it any more."""

    code, title = "MESSAGE_COMPLETED", "Message completed"

    def __init__(self, name: str) -> None:
        super().__init__(f"Message {name!r} is complete.")


class MessageSuperseded(Conflict):
    """409: an incomplete message has a newer version, which is incomplete, too, or the whole of it."""

    code, title = "MESSAGE_SUPERSEDED", "Message superseded"

    def __init__(self, name: str, by: str) -> None:
        super().__init__(f"Message {name!r} is superseded by {by!r}.", field="supersedes")


class TooManyDrafts(Conflict):
    code, title = "TOO_MANY_DRAFTS", "Too many drafts"

    def __init__(self, conversation_id: str, most: int) -> None:
        super().__init__(f"Conversation {conversation_id!r} has {most} drafts already: complete one of them.")


class MemorySpaceMismatch(Conflict):
    code, title = "MEMORY_SPACE_MISMATCH", "Memory space mismatch"

    def __init__(self, conversation_id: str, field: str = "memorySpaceId") -> None:
        super().__init__(f"Conversation {conversation_id!r} belongs to another memory space.", field=field)


class ParticipantMismatch(Conflict):
    code, title = "PARTICIPANT_MISMATCH", "Participant mismatch"

    def __init__(self, conversation_id: str, field: str) -> None:
        whose = {"userId": "another user's", "agentId": "another agent's"}.get(field.rpartition(".")[2], "of others")
        super().__init__(f"Conversation {conversation_id!r} is {whose}.", field=field)


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
        super().__init__(f"Conversation {conversation_id!r} has no messages that could be summarised.")


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


class WriteConflict(Conflict):
    """409: other writers were faster, again and again.

    Parameters
    ----------
    subject : what could not be written, with its id, such as ``memory 'mem-1'``
    """

    code, title = "APPEND_CONFLICT", "Append conflict"
    activity = "changing"

    def __init__(self, subject: str) -> None:
        super().__init__(f"Other writers kept {self.activity} {subject}. Send the request again.", retry_after_s=1)


class AppendConflict(WriteConflict):
    """409: other writers took the place at the end of a conversation's ledger, again and again."""

    activity = "appending to"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"conversation {conversation_id!r}")


class IdempotencyKeyReused(Conflict):
    code, title = "IDEMPOTENCY_KEY_REUSED", "Idempotency key reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key came with a different request before. Use a new key for a new request.",
            field="Idempotency-Key",
        )


class ExternalIdTaken(Conflict):
    code, title = "EXTERNAL_ID_TAKEN", "External id taken"

    def __init__(self, external_id: str, why: str = "something else is stored with it.") -> None:
        super().__init__(f"The externalId {external_id!r} is taken: {why}", field="externalId")


class SpaceEmbeddingsFixed(Conflict):
    code, title = "SPACE_EMBEDDINGS_FIXED", "Embeddings of the memory space are fixed"

    def __init__(self, memory_space_id: str) -> None:
        super().__init__(
            f"The memory space {memory_space_id!r} has vectors of a model, which others cannot be compared with: say "
            "its embeddings as they are, or use another space.",
            field="embeddings",
        )


class DocumentOfAnother(Conflict):
    code, title = "DOCUMENT_OF_ANOTHER", "Document of another user"

    def __init__(self, key: str) -> None:
        super().__init__(f"Document {key!r} is another user's.", field="userId")


class KeyAlreadyMade(Conflict):
    code, title = "KEY_ALREADY_MADE", "Key already made"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"An earlier request with this Idempotency-Key made {key_id}. Its text was in that one's answer alone: "
            "if it is lost, revoke that key and make another one under another Idempotency-Key.",
            field="Idempotency-Key",
        )


class PreconditionFailed(AnnalsError):
    """412: what ``If-Match`` names is not the current version or seq."""

    status, code, title = 412, "PRECONDITION_FAILED", "Precondition failed"

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"If-Match names {expected}, but the current value is {current}.", field="If-Match")
        self.current = current


class DocumentChanged(PreconditionFailed):
    """412: another version of a document is there than ``ifVersion`` names; 0 where there is none."""

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(expected, current)
        self.detail = f"ifVersion names {expected}, but the document's version is {current}."
        self.field = "ifVersion"


# 413: there is no room for it


class TooLarge(AnnalsError):
    """413: something is larger than what has to hold it."""

    status = 413


class EntryTooLarge(TooLarge):
    """413: the messages of a request do not fit into one entry; ``excess`` is by how many bytes."""

    code, title = "ENTRY_TOO_LARGE", "Entry too large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The messages of one request take {size} bytes; an entry holds {limit}. Split them over several requests, "
            "and send a long document as a text part."
        )
        self.excess = size - limit


class ReplyTooLarge(TooLarge):
    """413: the chat model's reply is longer than an entry can be."""

    code, title = "ENTRY_TOO_LARGE", "Reply too large"


class RequestTooLarge(TooLarge):
    """413: what a request wants stored, or its body, is too large."""

    code, title = "REQUEST_TOO_LARGE", "Request too large"


class AnswerTooLarge(TooLarge):
    """413: the answer takes more bytes than Lambda sends, and no part of it can be left out."""

    code, title = "ANSWER_TOO_LARGE", "Answer too large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The answer takes {size} bytes, and {limit} can be sent. Ask for less of it at once.")


# 502: the chat model gave no reply


class StreamEmpty(AnnalsError):
    """502: the chat model ended its reply without a word."""

    status, code, title = 502, "STREAM_EMPTY", "Empty reply"


class StreamFailed(AnnalsError):
    """502: the chat model gave no reply, or broke off in the middle of it."""

    status, code, title = 502, "STREAM_FAILED", "Reply failed"


# 503: the same request may succeed later


class Unavailable(AnnalsError):
    """503: something that Annals depends on does not answer; sending the request again is right."""

    status, code, title = 503, "UNAVAILABLE", "Unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after_s=1)


class ImportUnfinished(Unavailable):
    """503: an import is larger than one request has time for; the same request continues where it stopped."""

    code, title = "IMPORT_UNFINISHED", "Import not finished yet"

    def __init__(self, done: int, total: int) -> None:
        super().__init__(
            f"{done} of {total} conversations are stored, and the time of one request is over. Send the same request "
            "again: it continues there."
        )
        self.progress = {"done": done, "total": total}


class SearchUnavailable(Unavailable):
    code, title = "SEARCH_UNAVAILABLE", "Search unavailable"


class SearchAsleep(SearchUnavailable):
    """503: a Serverless collection did not answer in the time that a request may wait for it; most likely it wakes."""

    title = "Search index waking up"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The search index does not answer ({reason}). A Serverless collection sleeps after ten idle minutes, and "
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
    """503: personal data could not be looked for, and a text is not stored without that."""

    code, title = "PII_DETECTION_UNAVAILABLE", "Detection of personal data unavailable"

    def __init__(self) -> None:
        super().__init__("Personal data could not be looked for, so nothing was stored. Send the request again.")


# No refusals: these reach no caller


class OutOfTime(Exception):
    """The time of an indexing batch is over. What was indexed until then is kept, and not embedded again."""


class ConfigurationError(Exception):
    """A wrong or missing setting; stops the start with a sentence that names it."""
