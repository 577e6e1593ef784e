"""Cursors: they tell callers nothing, and are refused when damaged, or where anything else is asked for than before."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from annals.access.caller import Caller
from annals.api.sealing import seal, unseal
from annals.api.sealing_key import sealing_key
from annals.errors import InvalidInput

PAGING_PARAMS = ("limit", "cursor")
"""The query parameters that may be others on each page of a list."""


FORM = 1
"""The form of the places in cursors: one that is written in another form gets another number, and is not misread."""


@dataclass(frozen=True)
class Cursors:
    """The cursors of one list, as one caller may see it and asks for it: others' are refused.

    Parameters
    ----------
    tenant : whose list it is
    question : the list, what is asked of it, and the memory spaces that the caller may see
    """

    tenant: str
    question: bytes

    @staticmethod
    def of(caller: Caller, list_of: Collection[str], query: Mapping[str, str], page_params: Collection[str]) -> Cursors:
        """The cursors of a list.

        Parameters
        ----------
        list_of : what it is a list of, and the ids in its path
        query : the request's query parameters; all must be the same on every page,
        free : but for these
        """
        asked = sorted((name, value) for name, value in query.items() if name not in page_params)
        spaces = None if caller.spaces is None else sorted(caller.spaces)
        return Cursors(caller.tenant, json.dumps([FORM, [*list_of], asked, spaces]).encode())

    def next(self, *place: Any) -> dict[str, Any]:
        """What an answer says of the page that begins behind a place."""
        text = json.dumps(place, separators=(",", ":")).encode()
        return {"nextCursor": seal(sealing_key.of(self.tenant), text, self.question)}

    def read(self, cursor: str) -> list[Any]:
        """The place that a cursor names, as it was written. Raises InvalidInput INVALID_CURSOR."""
        text = self._opened(cursor)
        if text is None and sealing_key.renew():
            text = self._opened(cursor)
        if text is None:
            raise damaged()
        place: list[Any] = json.loads(text)
        return place

    def _opened(self, cursor: str) -> bytes | None:
        return unseal(sealing_key.of(self.tenant), cursor, self.question)


def damaged() -> InvalidInput:
    """The refusal of a cursor."""
    detail = "The cursor is damaged, too old, or was given for another list, filter, order or key."
    return InvalidInput("INVALID_CURSOR", detail, field="cursor")
