"""Cursors: opaque to callers, and refused when damaged, or when anything but the page differs from before."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from annals.api.sealing import seal, unseal
from annals.api.sealing_key import sealing_key
from annals.errors import InvalidInput

PAGING_PARAMS = ("limit", "cursor")
"""The query parameters that may differ from page to page of a list."""

FORMAT = 1
"""The format of the positions in cursors: another one gets another number, and is not misread."""


@dataclass(frozen=True)
class Cursors:
    """The cursors of one list, as one caller may see it and asks for it: others' are refused.

    Parameters
    ----------
    tenant : whose list it is
    bound_to : the list, its query parameters, and the memory spaces that the caller may see
    """

    tenant: str
    bound_to: bytes

    @staticmethod
    def of(
        tenant: str,
        spaces: Collection[str] | None,
        list_name: Collection[str],
        query_params: Mapping[str, str],
        page_params: Collection[str],
    ) -> Cursors:
        """The cursors of a list.

        Parameters
        ----------
        spaces : the memory spaces that the caller may see; None stands for all
        list_name : what it is a list of, and the ids in its path
        query_params : the request's query parameters; all must be the same on every page,
        page_params : but for these
        """
        same = sorted((name, value) for name, value in query_params.items() if name not in page_params)
        visible = None if spaces is None else sorted(spaces)
        return Cursors(tenant, json.dumps([FORMAT, [*list_name], same, visible]).encode())

    def next(self, *position: Any) -> dict[str, Any]:
        """The field of a response that leads to the page after a position."""
        text = json.dumps(position, separators=(",", ":")).encode()
        return {"nextCursor": seal(sealing_key.of(self.tenant), text, self.bound_to)}

    def read(self, cursor: str) -> list[Any]:
        """The position that a cursor names, as it was written. Raises InvalidInput INVALID_CURSOR."""
        text = self._unseal(cursor)
        if text is None and sealing_key.renew():
            text = self._unseal(cursor)
        if text is None:
            raise invalid_cursor()
        position: list[Any] = json.loads(text)
        return position

    def _unseal(self, cursor: str) -> bytes | None:
        return unseal(sealing_key.of(self.tenant), cursor, self.bound_to)


def invalid_cursor() -> InvalidInput:
    """The error for a cursor that is none, or none of this list."""
    detail = "The cursor is damaged, too old, or was given for another list, filter, order or key."
    return InvalidInput("INVALID_CURSOR", detail, field="cursor")
