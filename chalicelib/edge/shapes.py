"""Shapes of request bodies: a JSON object and a model come in, the model or what is wrong by field goes out."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from chalicelib.domain.errors import InvalidRequest

_LONGEST_NAME = 100

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "greater_than_equal": "must not be less than {ge}",
    "less_than_equal": "must not be more than {le}",
    "too_long": "has too many entries: at most {max_length}",
    "string_too_long": "is too long: at most {max_length} characters",
    "string_too_short": "is too short: at least {min_length} characters",
}


class Shape(BaseModel):
    """A body that refuses unknown members and takes no type for another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


Model = TypeVar("Model", bound=Shape)


def without_nulls(model: type[Shape], document: dict[str, Any]) -> dict[str, Any]:
    """Null means absent for every member that the model knows; what it does not know is left to be refused."""
    known = model.model_fields
    return {
        name: _nested(known[name].annotation, value) if name in known else value
        for name, value in document.items()
        if value is not None or name not in known
    }


def _nested(annotation: Any, value: Any) -> Any:
    nests = isinstance(annotation, type) and issubclass(annotation, Shape) and isinstance(value, dict)
    return without_nulls(annotation, value) if nests else value


def faults(model: type[Shape], document: dict[str, Any]) -> dict[str, str]:
    """What is wrong by dotted field name, in the order of the model; empty when the shape is right."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        return {_name(detail): _words(detail) for detail in error.errors(include_url=False, include_input=False)}
    return {}


def refuse(found: dict[str, str], field: str) -> InvalidRequest:
    """The refusal for one of the faults, with all of them as details."""
    details = [{"field": name, "error": f"{name} {words}"} for name, words in found.items()]
    return InvalidRequest(f"{field} {found[field]}", field, details=details)


def shaped(model: type[Model], document: dict[str, Any]) -> Model:
    """The body as the model, or InvalidRequest for its first fault."""
    present = without_nulls(model, document)
    found = faults(model, present)
    if found:
        raise refuse(found, next(iter(found)))
    return model.model_validate(present)


def _name(detail: ErrorDetails) -> str:
    return ".".join(str(part) for part in detail["loc"])[:_LONGEST_NAME] or "body"


def _words(detail: ErrorDetails) -> str:
    words = _WORDS.get(detail["type"])
    return words.format(**detail.get("ctx", {})) if words else "is not valid"
