"""The query parameters of exports."""

from __future__ import annotations

from collections.abc import Mapping

from annals.api.query import read_choice, read_flag
from annals.conversations.export import ExportOptions
from annals.conversations.formats import CSV, FORMATS, FORMULAS, INLINE, LEDGER, REFERENCES, UNGUARDED_CSV
from annals.errors import InvalidInput
from annals.formats.lines import LINE_FORMATS

EXPORT_PARAMS = ("format", "includeMetadata", "formulas", "parts")
"""The query parameters that are no filter."""


def read_conversation_export_options(query_params: Mapping[str, str]) -> ExportOptions:
    """The options of an export of conversations. Raises InvalidInput INVALID_FORMAT."""
    name = read_choice(query_params, "format", FORMATS, "json")
    with_metadata = read_flag(query_params, "includeMetadata", default=True)
    if name == LEDGER and not with_metadata:
        detail = "A ledger is exported as it is hashed, with its metadata."
        raise InvalidInput("INVALID_FORMAT", detail, field="includeMetadata")
    # Other programs know no references.
    parts = read_choice(query_params, "parts", (INLINE, REFERENCES), INLINE if name in LINE_FORMATS else REFERENCES)
    if name == LEDGER and parts == INLINE:
        raise InvalidInput("INVALID_FORMAT", "A ledger is exported as it is hashed, with references.", field="parts")
    keep_formulas = read_choice(query_params, "formulas", FORMULAS, "guard") == "keep"
    export_format = UNGUARDED_CSV if keep_formulas and name == CSV else FORMATS[name]
    return ExportOptions(export_format, with_metadata, with_parts=parts == INLINE)
