"""What the API takes and gives of runs."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, cast

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from annals.api.fields import ExternalId, Id, MaskedText, Model, Word
from annals.conversations.run_items import NewRun, StoredRun, to_data_text
from annals.privacy.masking import mask_all
from annals.times import to_rfc3339

MAX_ERROR_CHARS = 10_000

RunError = Annotated[MaskedText, Field(max_length=MAX_ERROR_CHARS)]
"""Why a run failed."""

RunData = Annotated[Any, AfterValidator(mask_all)]
"""What else there is of a run: any JSON, given back exactly."""


class PutRun(Model):
    """A run as it is now; what is left out is not stored of it any more."""

    status: Word
    parent_run_id: ExternalId | None = None
    agent_id: Id | None = None
    error: RunError | None = None
    data: RunData = None

    def to_new_run(self, run_id: str, created_at: int | None = None) -> NewRun:
        """The run of this id as the domain takes it. Raises RequestTooLarge."""
        data = to_data_text(self.data) if "data" in self.model_fields_set else None
        return NewRun(run_id, self.status, self.parent_run_id, self.agent_id, self.error, data, created_at)


class Run(TypedDict):
    """A run of an agent. ``number`` is its place among the conversation's runs, ``version`` its ETag.

    ``data`` is there where the run has some and they were asked for.
    """

    runId: str
    number: int
    status: str
    parentRunId: NotRequired[str]
    agentId: NotRequired[str]
    error: NotRequired[str]
    data: NotRequired[Any]
    version: int
    createdAt: str
    updatedAt: str


class RunList(TypedDict):
    """A page of a conversation's runs."""

    items: list[Run]
    nextCursor: NotRequired[str]


def present_run(run: StoredRun, data: dict[str, Any]) -> Run:
    """The API's run, with its field of data, if that is shown."""
    values = {
        "runId": run.run_id,
        "number": run.number,
        "status": run.status,
        "parentRunId": run.parent_run_id,
        "agentId": run.agent_id,
        "error": run.error,
    }
    shown = {name: value for name, value in values.items() if value is not None}
    times = {"createdAt": to_rfc3339(run.created_at), "updatedAt": to_rfc3339(run.updated_at)}
    return cast("Run", {**shown, **data, "version": run.version, **times})
