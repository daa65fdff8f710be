"""OpenAPI 3.1: the table of operations comes in, the document goes out."""

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chalicelib.domain import errors
from chalicelib.edge.answers import STATUS_OF
from chalicelib.version import VERSION
from infra.apidocs.answers import Problem
from infra.apidocs.operations import OPERATIONS, Operation
from infra.apidocs.requests import sharpened

_REF = "#/components/schemas/{model}"
_REQUEST_ID = {"X-Request-Id": {"schema": {"type": "string"}, "description": "Name it when you report a fault."}}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
_WORDS = {
    400: "A field is wrong; `field` names it.",
    401: "No, broken, unknown, expired or revoked token.",
    403: "Not with this token, or not in this tier.",
    404: "Not there, or not yours: the same answer.",
    409: "Not possible now.",
    413: "More than the limit: 64 KB, or 4 MB of a file.",
    415: "The body is not declared as JSON.",
    422: "The key came with another body.",
    429: "Too often: come back after `retry_after` seconds.",
    500: "A fault of ours; nothing about it leaves but the request id.",
    503: "Nothing was changed: send it again. With `host_silent` a command may have run: look first.",
    504: "It was killed when its time was over; what a command printed until then is here.",
}


def document() -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Berth",
            "version": VERSION,
            "description": "Sandboxed Linux containers as an API. Creating is answered 202 at once; every stage comes "
            "on the WebSocket (see `/asyncapi.json`) and can be asked for.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api", "description": "This deployment"}],
        "security": [{"token": []}],
        "tags": [
            {"name": name, "description": what}
            for name, what in (
                ("containers", "A user's containers"),
                ("tokens", "Who may call"),
                ("catalogue", "What can be asked for"),
                ("service", "The service itself"),
            )
        ],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token `berth_…` with the scope named."}
            },
            "schemas": schemas(_models(), "serialization") | sharpened(schemas(_bodies(), "validation")),
        },
    }


def schemas(models: list[type[BaseModel]], mode: Any) -> dict[str, Any]:
    """The models' JSON schemas by name; published answers may gain members, requests may not."""
    _, found = models_json_schema([(model, mode) for model in models], ref_template=_REF)
    definitions: dict[str, Any] = found.get("$defs", {})
    if mode == "serialization":
        definitions = {name: _without_seal(schema) for name, schema in definitions.items()}
    return definitions


def _without_seal(schema: Any) -> Any:
    """Clients must bear members that are added later; absent optionals are left out, never null."""
    if isinstance(schema, dict):
        return {
            name: _without_seal(_not_null(value))
            for name, value in schema.items()
            if not (name == "additionalProperties" and value is False) and not (name == "default" and value is None)
        }
    return [_without_seal(each) for each in schema] if isinstance(schema, list) else schema


def _not_null(value: Any) -> Any:
    choices = value.get("anyOf") if isinstance(value, dict) else None
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return value
    left = [each for each in choices if each != {"type": "null"}]
    rest = {name: each for name, each in value.items() if name != "anyOf"}
    return rest | left[0] if len(left) == 1 else rest | {"anyOf": left}


def _models() -> list[type[BaseModel]]:
    return [Problem, *dict.fromkeys(each.answer for each in OPERATIONS if each.answer is not None)]


def _bodies() -> list[type[BaseModel]]:
    return list(dict.fromkeys(each.body for each in OPERATIONS if each.body is not None))


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return paths


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _answer(operation) | _links(operation), **_refusals(operation)},
    }
    if operation.scope is None:
        described["security"] = []
    else:
        described["description"] = f"Needs the scope `{operation.scope}`."
    if operation.body is not None:
        content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=operation.body.__name__)}}
        if operation.example is not None:
            content["example"] = operation.example
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": content} | (_FILE_BODIES if operation.takes_file else {}),
        }
    return described


_FILE_BODIES: dict[str, Any] = {
    "application/octet-stream": {"schema": {}},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
        }
    },
}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": _PATH_WORDS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        {"name": each.name, "in": "query", "schema": each.schema, "description": each.description}
        for each in operation.query
    ]
    if operation.idempotent_by_key:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]{1,255}$"}
        what = "Makes a retry safe: the same key and body within 24 h give the first answer again."
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": schema, "description": what})
    return parameters


_PATH_WORDS = {
    "container_id": "The container's id, or the engine's id or its first 12 characters or more, once known.",
    "token_id": "The token's id, never its secret.",
}


def _answer(operation: Operation) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=operation.answer.__name__)} if operation.answer else {}
    headers: dict[str, Any] = dict(_REQUEST_ID)
    if operation.idempotent_by_key:
        headers["Location"] = {"schema": {"type": "string"}, "description": "Where the container is."}
        headers["Idempotent-Replayed"] = {"schema": {"type": "string"}, "description": "`true` on a repeated answer."}
    headers |= {name: {"schema": {"type": "string"}} for name in operation.headers}
    return {
        "description": operation.summary,
        "headers": headers,
        "content": {operation.media_type: {"schema": schema}},
    }


def _links(operation: Operation) -> dict[str, Any]:
    """What can be done with what was made: every operation on its id."""
    if operation.method != "POST" or operation.path not in _MADE:
        return {}
    parameter = _MADE[operation.path]
    return {
        "links": {
            each.id: {"operationId": each.id, "parameters": {parameter: "$response.body#/id"}}
            for each in OPERATIONS
            if f"{{{parameter}}}" in each.path
        }
    }


_MADE = {"/containers": "container_id", "/tokens": "token_id"}


def _refusals(operation: Operation) -> dict[str, Any]:
    """The refusals named, and those that any call may meet."""
    found = {STATUS_OF[each] for each in operation.refusals} | {429, 500, 503}
    if operation.scope is not None:
        found |= {STATUS_OF[errors.Unauthorized], STATUS_OF[errors.InsufficientScope]}
    return {str(status): _problem(status, operation) for status in sorted(found)}


def _problem(status: int, operation: Operation) -> dict[str, Any]:
    codes = sorted(
        {
            each.code
            for each, number in STATUS_OF.items()
            if number == status and issubclass(each, errors.Refused) and _may(each, operation)
        }
    )
    codes += {500: ["internal_error"], 503: ["busy"]}.get(status, [])
    headers = _REQUEST_ID | (_RETRY_AFTER if status in (429, 503) else {})
    return {
        "description": f"{_WORDS[status]} Codes: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": headers,
        "content": {
            "application/json": {
                "schema": {"$ref": _REF.format(model=Problem.__name__)},
                "example": {"error": _EXAMPLES.get(codes[0], codes[0].replace("_", " ")), "code": codes[0]},
            }
        },
    }


def _may(error: type[errors.Refused], operation: Operation) -> bool:
    always = (errors.RateLimited, *((errors.Unauthorized, errors.InsufficientScope) if operation.scope else ()))
    return error in (*operation.refusals, *always)


_EXAMPLES = {
    "invalid_request": "image is required",
    "container_limit_reached": "container limit reached",
    "name_taken": "container with this name already exists",
    "rate_limited": "rate limit exceeded",
    "busy": "service is busy",
}
