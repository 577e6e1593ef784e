"""The page that leads from a route to its function and on to the domain."""

from __future__ import annotations

from local import template
from scripts.functions_table import PAGE, page

TABLE = PAGE.read_text()


def test_the_page_is_as_the_template_and_the_functions_are() -> None:
    assert page() == TABLE, "run python -m scripts.functions_table"


def test_every_function_has_what_calls_it() -> None:
    rows = [row.split(" | ") for row in TABLE.splitlines() if row.startswith("| [")]
    assert len(rows) == len(template.read().functions)
    assert all(called_by for _, _, called_by, *_ in rows)


def test_every_route_stands_in_the_row_of_its_function() -> None:
    for route in template.read().routes:
        (row,) = (row for row in TABLE.splitlines() if row.startswith(f"| [{route.function}]"))
        assert f"`{route.method} {route.resource}`" in row
