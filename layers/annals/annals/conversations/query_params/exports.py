"""The query parameters of exports."""

from __future__ import annotations

from collections.abc import Mapping

from annals.api.query import read_choice, read_flag
from annals.conversations.export import ExportOptions
from annals.conversations.formats import CSV, FORMATS, FORMULAS, LEDGER, UNGUARDED_CSV
from annals.errors import InvalidInput

EXPORT_PARAMS = ("format", "includeMetadata", "formulas")
"""The query parameters that are no filter."""


def read_conversation_export_options(query_params: Mapping[str, str]) -> ExportOptions:
    """The options of an export of conversations. Raises InvalidInput INVALID_FORMAT."""
    name = read_choice(query_params, "format", FORMATS, "json")
    with_metadata = read_flag(query_params, "includeMetadata", default=True)
    if name == LEDGER and not with_metadata:
        detail = "A ledger is exported as it is hashed, with its metadata."
        raise InvalidInput("INVALID_FORMAT", detail, field="includeMetadata")
    keep_formulas = read_choice(query_params, "formulas", FORMULAS, "guard") == "keep"
    return ExportOptions(UNGUARDED_CSV if keep_formulas and name == CSV else FORMATS[name], with_metadata)
