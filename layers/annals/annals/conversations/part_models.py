"""What the API takes and gives of parts that are stored beside their messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypedDict

from annals.api.fields import Model, field_error
from annals.formats.references import MAX_PREFIX_CHARS, Encoding, NotAReference, Reference, read_reference
from annals.ledger.part_reading import PartUrl
from annals.ledger.part_storing import Upload
from annals.privacy.masking import is_enabled
from annals.times import to_rfc3339


def _lower(value: str) -> str:
    return value.lower()


class NewUpload(Model):
    """A part that is to be uploaded: the SHA-256 of its bytes, how many these are, and what.

    ``encoding`` says what value the part will be within a message: Base64 of the bytes, perhaps after a ``prefix`` such
    as ``data:image/png;base64,``, or the text or the JSON that they say.
    """

    sha256: Annotated[str, AfterValidator(_lower), Field(min_length=64, max_length=64, pattern="^[0-9a-fA-F]{64}$")]
    size: Annotated[int, Field(ge=0)]
    media_type: Annotated[str, Field(max_length=100)] = "application/octet-stream"
    encoding: Encoding = "base64"
    prefix: Annotated[str, Field(max_length=MAX_PREFIX_CHARS)] = ""

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        try:
            reference = read_reference(self.to_reference().to_json())
        except NotAReference as error:
            raise field_error("INVALID_FORMAT", str(error)) from None
        if is_enabled() and (reference.encoding != "base64" or reference.media_type.startswith("text/")):
            # Nobody could mask personal data in what goes past the API.
            raise field_error("INVALID_FORMAT", "must be base64 of no text: send texts within messages", ("encoding",))
        return self

    def to_reference(self) -> Reference:
        """The reference that will stand for the part."""
        return Reference(self.sha256, self.size, self.media_type, self.encoding, self.prefix)


class UploadTargetResponse(TypedDict):
    """Where the bytes go: a request that has this method, these headers and the bytes as its body, until then."""

    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expiresAt: str


class UploadResponse(TypedDict):
    """An upload that may begin, and the reference to be put into a message's parts once the bytes are there."""

    part: dict[str, Any]
    upload: UploadTargetResponse


class PartResponse(TypedDict):
    """A part of a message, and the URL that reads its bytes for a short time."""

    sha256: str
    size: int
    mediaType: str
    encoding: Encoding
    prefix: NotRequired[str]
    url: str
    expiresAt: str


def present_upload(upload: Upload) -> UploadResponse:
    """The API's upload."""
    return {
        "part": upload.reference.to_json(),
        "upload": {
            "method": "PUT",
            "url": upload.target.url,
            "headers": dict(upload.target.headers),
            "expiresAt": to_rfc3339(upload.expires_at),
        },
    }


def present_part(found: PartUrl) -> PartResponse:
    """The API's part."""
    reference = found.part.reference
    response = PartResponse(
        sha256=reference.sha256,
        size=reference.size,
        mediaType=reference.media_type,
        encoding=reference.encoding,
        url=found.url,
        expiresAt=to_rfc3339(found.expires_at),
    )
    if reference.prefix:
        response["prefix"] = reference.prefix
    return response
