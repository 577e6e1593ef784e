"""Conditions: what filters say of the things that are meant, in bodies and in query strings alike.

A condition that is left out asks for nothing. One that is there and says nothing (null, "", [] or {}) is refused: it
would quietly mean everything where little was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from annals.api.fields import Json, Model, field_error
from annals.errors import InvalidInput
from annals.json_text import field_name

MAX_CONDITIONS = 100
"""How many conditions a filter may have."""

MAX_VALUES = 100
"""How many values one condition may name."""

MAX_DEPTH = 20
"""How deep conditions on metadata may nest: as deep as the search index looks."""

MAX_CHARS = 1_000
"""How long a text in a filter may be."""

T = TypeVar("T")

FieldPath = tuple[str | int, ...]


class Fault(NamedTuple):
    """What is wrong with a filter, and where in it."""

    code: str
    place: FieldPath
    text: str


def require_conditions(said: Any) -> Any:
    """A filter as it is. Raises a refusal, which names the condition, where one says nothing or is out of bounds."""
    if fault := _find_fault(said):
        raise field_error(fault.code, fault.text, fault.place)
    return said


def require_query_conditions(said: Mapping[str, str]) -> None:
    """The same for the filter that query parameters make. Raises InvalidInput, which names the parameter."""
    if fault := _find_fault(said):
        field = field_name(fault.place) or None
        raise InvalidInput(fault.code, f"{field or 'The filter'} {fault.text}.", field=field)


def _require_not_null(said: Any) -> Any:
    if said is None:
        raise field_error("INVALID_FILTER", NOTHING)
    return said


NOTHING = "says nothing; a condition that is not meant is left out"


def _find_fault(said: Any) -> Fault | None:
    if not isinstance(said, Mapping):
        return None
    for count, (place, value) in enumerate(_conditions(said, ()), start=1):
        if count > MAX_CONDITIONS:
            return Fault("INVALID_RANGE", (), f"must have at most {MAX_CONDITIONS} conditions")
        if fault := _fault_of(value, place):
            return fault
    return None


def _conditions(said: Mapping[str, Any], place: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    """What a filter asks for, each with its place: what is no object, or an empty one. Operators are no places."""
    for name, value in said.items():
        inner = place if name.startswith("$") else (*place, name)
        if isinstance(value, Mapping) and value and len(place) < MAX_DEPTH:
            yield from _conditions(value, inner)
        else:
            yield inner, value


def _fault_of(value: Any, place: FieldPath) -> Fault | None:
    if _is_empty(value):
        return Fault("INVALID_FILTER", place, NOTHING)
    if len(place) > MAX_DEPTH:
        return Fault("INVALID_RANGE", place, f"must nest at most {MAX_DEPTH} levels deep")
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return Fault("INVALID_FILTER", place, f"must have at most {MAX_CHARS} characters")
    if not isinstance(value, list | tuple):
        return None
    if len(value) > MAX_VALUES:
        return Fault("INVALID_RANGE", place, f"must have at most {MAX_VALUES} values")
    parts = (_fault_of(part, (*place, number)) for number, part in enumerate(value))
    return next((fault for fault in parts if fault), None)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {}, ())


class _Without:
    """Shows a type in the API's description without null, which it does not take from a caller."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _without_null(handler(core))


def _without_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return {**kinds[0], **rest} if len(kinds) == 1 else {**rest, **({"anyOf": kinds} if kinds else {})}


def _show_conditions(schema: JsonSchemaValue) -> None:
    schema["properties"] = {name: _without_null(field) for name, field in schema["properties"].items()}


class Filter(Model):
    """What something has to be, all of it at once; each condition that is there says something.

    A field's default of None means that it is left out, and is no value of it.
    """

    model_config = ConfigDict(json_schema_extra=_show_conditions)

    @model_validator(mode="before")
    @classmethod
    def _require_conditions(cls, said: Any) -> Any:
        return require_conditions(said)


Omittable = Annotated[T | None, BeforeValidator(_require_not_null), _Without()]
"""A field beside a filter that narrows what is meant, unless it is left out; null would look alike, and is refused."""

JsonFilter = Annotated[Json, Field(max_length=MAX_CONDITIONS), AfterValidator(require_conditions)]
"""A filter whose conditions nest."""
