"""API Gateway's REST side: HTTP requests come in, Lambda proxy events go to the function, its answer goes out."""

import base64
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infra.local.functions import Functions, Outcome

BODY_LIMIT = 10 * 1024 * 1024
FUNCTION = "api_handler"
_PLAIN = '{"message":$context.error.messageString}'


@dataclass(frozen=True, slots=True)
class Route:
    """One resource path with its methods; static segments win over parameters."""

    resource: str
    methods: frozenset[str]
    cors: bool

    @property
    def rank(self) -> tuple[int, ...]:
        return tuple(1 if part.startswith("{") else 0 for part in self.resource.strip("/").split("/"))

    def match(self, path: str) -> dict[str, str] | None:
        """The path's parameters as sent (percent-encoded), or None when it is another resource."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.resource.rstrip("/") or "/")
        found = re.fullmatch(pattern, path.rstrip("/") or "/")
        return found.groupdict() if found else None


@dataclass(frozen=True, slots=True)
class GatewayResponses:
    """What API Gateway itself answers, from the mapping that the CloudFormation template carries too."""

    mapping: Mapping[str, Any]

    def answer(self, kind: str, status: int, request_id: str, message: str) -> Response:
        """The response of this kind, by its own entry or the default of its class."""
        entry = self.mapping.get(kind) or self.mapping.get(f"DEFAULT_{status // 100}XX") or {}
        template = entry.get("ResponseTemplates", {}).get(
            "application/json", '{"message":$context.error.messageString}'
        )
        body = template.replace("$context.error.messageString", json.dumps(message))
        body = body.replace("$context.requestId", request_id)
        headers = {"content-type": "application/json", "x-amzn-RequestId": request_id}
        for name, value in entry.get("ResponseParameters", {}).items():
            headers[name.rpartition(".")[2]] = value.strip("'").replace("context.requestId", request_id)
        return Response(body, int(entry.get("StatusCode", status)), headers)


@dataclass(frozen=True, slots=True)
class Found:
    """The resource that a path below the stage belongs to."""

    route: Route
    path: str
    parameters: dict[str, str]
    base: str
    """What was before the path: the stage, or a base path that is mapped to it."""


@dataclass(frozen=True, slots=True)
class BinaryTypes:
    """The media types that an API takes for binary: by name, or `*/*` for all."""

    types: frozenset[str]

    def body(self, content_type: str | None, body: bytes) -> tuple[str | None, bool]:
        """A body as the event has it, and whether that is base64: else it is what API Gateway takes for UTF-8."""
        if not body:
            return None, False
        media_type = (content_type or "application/json").partition(";")[0].strip().lower()
        if self.types & {"*/*", media_type}:
            return base64.b64encode(body).decode(), True
        return body.decode(errors="replace"), False


class RestGateway:
    """One REST API on its stage."""

    def __init__(
        self, functions: Functions, responses: GatewayResponses, stage: str, base_paths: tuple[str, ...] = ()
    ) -> None:
        """`base_paths` are those that a domain of one's own maps to the stage, beside the stage's own path."""
        self._functions = functions
        self._responses = responses
        self._stage = stage
        self._base_paths = base_paths
        self._routes: list[Route] = []
        self._binary = BinaryTypes(frozenset())
        self.throttled = False

    def learn(self, description: Mapping[str, Any]) -> None:
        """Take the routes of an app (again)."""
        routes = [
            Route(path, frozenset(methods), path in description["cors"])
            for path, methods in description["routes"].items()
        ]
        self._routes = sorted(routes, key=lambda route: route.rank)
        self._binary = BinaryTypes(frozenset(description["binary"]))

    async def handle(self, request: Request) -> Response:
        """Answer one request below the stage."""
        request_id = str(uuid.uuid4())
        if self.throttled:
            return self._responses.answer("THROTTLED", 429, request_id, "Too Many Requests")
        base, path = self._below(request.scope["raw_path"].decode().partition("?")[0])
        route, parameters = self._find(path, request.method)
        if route is None:
            message = "Missing Authentication Token"
            return self._responses.answer("MISSING_AUTHENTICATION_TOKEN", 403, request_id, message)
        if request.method == "OPTIONS" and route.cors and "OPTIONS" not in route.methods:
            return _preflight(route)
        body = await request.body()
        if len(body) > BODY_LIMIT:
            return self._responses.answer("REQUEST_TOO_LARGE", 413, request_id, "Request Too Long")
        event = proxy_event(request, Found(route, path, parameters, base), self._stage, request_id)
        event["body"], event["isBase64Encoded"] = self._binary.body(request.headers.get("content-type"), body)
        return self._answer(await self._functions.invoke(FUNCTION, event), request_id)

    def _below(self, path: str) -> tuple[str, str]:
        """What the path is below, and the rest of it."""
        bases = [f"{base}/{self._stage}" for base in self._base_paths]
        base = next((each for each in bases if path.startswith(f"/{each}/")), self._stage)
        return base, path.removeprefix(f"/{base}") or "/"

    def _find(self, path: str, method: str) -> tuple[Route | None, dict[str, str]]:
        for route in self._routes:
            parameters = route.match(path)
            if parameters is not None:
                known = method in route.methods or (method == "OPTIONS" and route.cors)
                return (route if known else None), parameters
        return None, {}

    def _answer(self, outcome: Outcome, request_id: str) -> Response:
        if outcome.timed_out:
            return self._responses.answer("INTEGRATION_TIMEOUT", 504, request_id, "Endpoint request timed out")
        result = outcome.result
        if not outcome.ok or not isinstance(result, dict) or not isinstance(result.get("statusCode"), int):
            return self._responses.answer("INTEGRATION_FAILURE", 502, request_id, "Internal server error")
        return _response(result, request_id)


def _response(result: Mapping[str, Any], request_id: str) -> Response:
    body = result.get("body") or ""
    content = base64.b64decode(body) if result.get("isBase64Encoded") else str(body).encode()
    response = Response(content, result["statusCode"])
    response.headers["content-type"] = "application/json"
    response.headers["x-amzn-RequestId"] = request_id
    for name, value in (result.get("headers") or {}).items():
        response.headers[name] = str(value)
    for name, values in (result.get("multiValueHeaders") or {}).items():
        for value in values:
            response.headers.append(name, str(value))
    return response


def _preflight(route: Route) -> Response:
    methods = ",".join(sorted([*route.methods, "OPTIONS"]))
    headers = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": methods,
        "access-control-allow-headers": "Authorization,Content-Type,X-Amz-Date,X-Amz-Security-Token,X-Api-Key",
    }
    return Response("", 200, headers)


def proxy_event(request: Request, found: Found, stage: str, request_id: str) -> dict[str, Any]:
    """The Lambda proxy event, version 1, as API Gateway builds it for a request without a body."""
    headers, multi = header_maps(request.headers.items())
    query, multi_query = query_maps(request.query_params.multi_items())
    return {
        "resource": found.route.resource,
        "path": found.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": multi,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": multi_query,
        "pathParameters": found.parameters or None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "local",
            "resourcePath": found.route.resource,
            "httpMethod": request.method,
            "path": f"/{found.base}{found.path}",
            "accountId": "123456789012",
            "apiId": "local",
            "protocol": "HTTP/1.1",
            "stage": stage,
            "requestId": request_id,
            "extendedRequestId": request_id,
            "requestTimeEpoch": int(time.time() * 1000),
            "domainName": headers.get("host", "localhost"),
            "identity": {
                "sourceIp": request.client.host if request.client else "127.0.0.1",
                "userAgent": headers.get("user-agent"),
            },
        },
        "body": None,
        "isBase64Encoded": False,
    }


def header_maps(pairs: Any) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Headers with the last value of each, and with all."""
    multi: dict[str, list[str]] = {}
    for name, value in pairs:
        multi.setdefault(name, []).append(value)
    return {name: values[-1] for name, values in multi.items()}, multi


def query_maps(pairs: Any) -> tuple[dict[str, str] | None, dict[str, list[str]] | None]:
    """The query with the last value of each, and with all; None when there is none."""
    single, multi = header_maps(pairs)
    return (single, multi) if multi else (None, None)
