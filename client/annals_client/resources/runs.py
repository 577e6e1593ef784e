"""Runs of agents, in their conversations."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal

from annals_client import wire
from annals_client.calls import RequestSpec
from annals_client.listing import ListSpec
from annals_client.methods import Resource, S, call, listing
from annals_client.models import Run
from annals_client.wire import NOT_GIVEN, NotGiven

RUNS = "/v1/conversations/{conversationId}/runs"


class Runs(Resource[S]):
    """Store, read, list and delete runs of agents: their status and whatever else there is of them."""

    @call(f"PUT {RUNS}/{{runId}}", Run)
    def put(
        self,
        conversation_id: str,
        run_id: str,
        status: str,
        *,
        parent_run_id: str | None = None,
        agent_id: str | None = None,
        error: str | None = None,
        data: Any = NOT_GIVEN,
        if_match: int | None = None,
    ) -> RequestSpec:
        """Store a run, or replace all that is stored of it; what is returned has no data.

        ``data`` is any JSON of up to 4 MB; None is null, and is told from none. ``if_match`` is the version that is to
        be replaced, 0 for a new run. A new run gets the conversation's next ``number``.

        Raises
        ------
        NotFound, Erased : there is no such conversation
        PreconditionFailed : another version is stored than ``if_match``
        """
        given = wire.body(status=status, parent_run_id=parent_run_id, agent_id=agent_id, error=error)
        body = given if isinstance(data, NotGiven) else {**given, "data": data}
        return RequestSpec(_of(conversation_id, run_id), body=body, if_match=if_match)

    @call(f"GET {RUNS}/{{runId}}", Run)
    def get(self, conversation_id: str, run_id: str) -> RequestSpec:
        """A run with its data. Raises NotFound, with the code RUN_NOT_FOUND where the conversation is there."""
        return RequestSpec(_of(conversation_id, run_id))

    @listing(f"GET {RUNS}", Run)
    def list(
        self,
        conversation_id: str,
        *,
        limit: int | None = None,
        page_size: int = 100,
        order: Literal["asc", "desc"] | None = None,
        status: str | NotGiven = NOT_GIVEN,
        parent_run_id: str | NotGiven = NOT_GIVEN,
        agent_id: str | NotGiven = NOT_GIVEN,
        include_data: bool | None = None,
    ) -> ListSpec:
        """The runs of a conversation, the newest first unless ``order`` says otherwise, without data unless asked for.

        ``limit`` is how many at most; without it, all.
        """
        conditions = wire.conditions(status=status, parent_run_id=parent_run_id, agent_id=agent_id)
        query = wire.query(**conditions, order=order, include_data=include_data)
        return ListSpec(RequestSpec({"conversation_id": conversation_id}, query=query), limit, page_size)

    @call(f"DELETE {RUNS}/{{runId}}", NoneType)
    def delete(self, conversation_id: str, run_id: str) -> RequestSpec:
        """Delete a run; its messages stay, and its number is not given again. Raises NotFound."""
        return RequestSpec(_of(conversation_id, run_id))


def _of(conversation_id: str, run_id: str) -> dict[str, str]:
    return {"conversation_id": conversation_id, "run_id": run_id}
