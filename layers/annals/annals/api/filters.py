"""Filters and their conditions, in bodies and in query strings alike.

A condition that is left out matches everything. An empty one (null, "", [] or {}) is refused: it would match everything
too, against its sender's intent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from annals.api.fields import Json, Model, field_error
from annals.errors import InvalidInput
from annals.json_text import FieldPath, field_name

MAX_CONDITIONS = 100
"""How many conditions a filter may have."""

MAX_VALUES = 100
"""How many values one condition may name."""

MAX_DEPTH = 20
"""How deep conditions on metadata may nest: as deep as the search index looks."""

MAX_CHARS = 1_000
"""How long a text in a filter may be."""

T = TypeVar("T")

EMPTY = "is empty; leave out a condition that is not meant"


class Fault(NamedTuple):
    """What is wrong with a filter, and where in it."""

    code: str
    path: FieldPath
    text: str


def require_conditions(conditions: Any) -> Any:
    """The filter, if none of its conditions is empty or out of bounds. Raises a field error, which names it."""
    if fault := _find_fault(conditions):
        raise field_error(fault.code, fault.text, fault.path)
    return conditions


def require_query_conditions(query_params: Mapping[str, str]) -> None:
    """The same for the filter that query parameters make. Raises InvalidInput, which names the parameter."""
    if fault := _find_fault(query_params):
        field = field_name(fault.path) or None
        raise InvalidInput(fault.code, f"{field or 'The filter'} {fault.text}.", field=field)


def _require_not_null(value: Any) -> Any:
    if value is None:
        raise field_error("INVALID_FILTER", EMPTY)
    return value


def _find_fault(conditions: Any) -> Fault | None:
    if not isinstance(conditions, Mapping):
        return None
    for count, (path, value) in enumerate(_walk_conditions(conditions, ()), start=1):
        if count > MAX_CONDITIONS:
            return Fault("INVALID_RANGE", (), f"must have at most {MAX_CONDITIONS} conditions")
        if fault := _find_value_fault(value, path):
            return fault
    return None


def _walk_conditions(conditions: Mapping[str, Any], path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    """The values of a filter, each with its path: what is no object, or an empty one. Operators are not in the path."""
    for name, value in conditions.items():
        inner = path if name.startswith("$") else (*path, name)
        if isinstance(value, Mapping) and value and len(path) < MAX_DEPTH:
            yield from _walk_conditions(value, inner)
        else:
            yield inner, value


def _find_value_fault(value: Any, path: FieldPath) -> Fault | None:
    if _is_empty(value):
        return Fault("INVALID_FILTER", path, EMPTY)
    if len(path) > MAX_DEPTH:
        return Fault("INVALID_RANGE", path, f"must nest at most {MAX_DEPTH} levels deep")
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return Fault("INVALID_FILTER", path, f"must have at most {MAX_CHARS} characters")
    if not isinstance(value, list | tuple):
        return None
    if len(value) > MAX_VALUES:
        return Fault("INVALID_RANGE", path, f"must have at most {MAX_VALUES} values")
    faults = (_find_value_fault(part, (*path, number)) for number, part in enumerate(value))
    return next((fault for fault in faults if fault), None)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {}, ())


class _WithoutNull:
    """Describes a type in the API's document without null, which it does not take from a caller."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _without_null(handler(core))


def _without_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return {**kinds[0], **rest} if len(kinds) == 1 else {**rest, **({"anyOf": kinds} if kinds else {})}


def _describe_conditions(schema: JsonSchemaValue) -> None:
    schema["properties"] = {name: _without_null(field) for name, field in schema["properties"].items()}


class Filter(Model):
    """Conditions that a match meets, all of them; none of them is empty.

    A field's default of None means that it is left out, and is no value of it.
    """

    model_config = ConfigDict(json_schema_extra=_describe_conditions)

    @model_validator(mode="before")
    @classmethod
    def _require_conditions(cls, conditions: Any) -> Any:
        return require_conditions(conditions)


Omittable = Annotated[T | None, BeforeValidator(_require_not_null), _WithoutNull()]
"""A field that narrows a filter unless it is left out; null would look alike, and is refused."""

JsonFilter = Annotated[Json, Field(max_length=MAX_CONDITIONS), AfterValidator(require_conditions)]
"""A filter whose conditions nest."""
