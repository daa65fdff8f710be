"""REST requests: a Chalice request comes in, a view answers it or an error does, a Chalice response goes out."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote

import pydantic_core
from chalice.app import CaseInsensitiveMapping, Chalice, Request, Response

from chalicelib.contract.tracing import bound
from chalicelib.domain.errors import (
    BerthError,
    BodyTooLarge,
    InvalidRequest,
    Refused,
    Unauthorized,
    UnsupportedMediaType,
)
from chalicelib.edge.answers import Answer, broken, refusal
from chalicelib.edge.credentials import bearer

if TYPE_CHECKING:
    from chalicelib.domain.identity import Caller, Scope
    from chalicelib.services.rates import Rates
    from chalicelib.services.tokens import Tokens

log = logging.getLogger("berth.http")

BODY_LIMIT = 64 * 1024
"""Bytes of a request body (api-contract)."""

_EVERY_ANSWER = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=63072000",
}


class Rated(Protocol):
    """What views are given: whatever else they need, how often is too often."""

    @property
    def rates(self) -> Rates: ...


Services = TypeVar("Services", bound=Rated)


@dataclass(frozen=True, slots=True)
class Call:
    """One request in plain values; header names in lower case, path parameters decoded."""

    headers: Mapping[str, str]
    body: bytes
    path: Mapping[str, str]
    query: Mapping[str, str]
    address: str
    request_id: str
    rates: Rates
    base_path: str = ""
    """The first part of the path as it was called; the stage, where no other is before it."""

    def caller(self, tokens: Tokens, scope: Scope, *, counted: bool = True) -> Caller:
        """Who calls, with that scope; Unauthorized, RateLimited or InsufficientScope.

        Not `counted` is only what has a rate of its own.
        """
        try:
            caller = tokens.caller(bearer(self.headers.get("authorization")))
        except Unauthorized:
            self.anybody()
            raise
        if counted or not caller.may(scope):
            self.rates.request(caller)
        caller.require(scope)
        return caller

    def anybody(self) -> None:
        """A call that needs no token, or has no good one: RateLimited when its address makes too many of them."""
        self.rates.unauthenticated(self.address)

    @property
    def media_type(self) -> str:
        """What the body is said to be; JSON when nothing is said."""
        return self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()

    def document(self, limit: int = BODY_LIMIT) -> dict[str, object]:
        """The body as a JSON object; UnsupportedMediaType, BodyTooLarge or InvalidRequest."""
        if self.media_type != "application/json":
            raise UnsupportedMediaType
        if len(self.body) > limit:
            raise BodyTooLarge(limit)
        try:
            document = pydantic_core.from_json(self.body, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidRequest("request body is not valid JSON", message=_where(error)) from error
        if not isinstance(document, dict):
            raise InvalidRequest("request body must be a JSON object")
        return document

    def document_if_any(self) -> dict[str, object]:
        """The same where the body may be left out."""
        return self.document() if self.body else {}


def answer(app: Chalice, view: Callable[[Call, Services], Answer], services: Callable[[], Services]) -> Response:
    """The response to the app's current request: the view's answer, or that of the error it raised.

    Whoever names nothing that they accept (Go, for one) accepts everything; Chalice would refuse them all bytes.
    """
    request = app.current_request
    if request is None:
        raise RuntimeError("views answer requests only")
    request.headers = CaseInsensitiveMapping({"accept": "*/*", **request.headers})
    request_id = request.context.get("requestId", "")
    with bound(trace=request_id, route=f"{request.method} {request.context.get('resourcePath', '')}"):
        return _response(_answered(request, request_id, view, services), request_id)


def _answered(
    request: Request, request_id: str, view: Callable[[Call, Services], Answer], services: Callable[[], Services]
) -> Answer:
    try:
        given = services()
        return view(_call(request, request_id, given.rates), given)
    except BerthError as error:
        answered = refusal(error)
        if answered.status >= 500 and not isinstance(error, Refused):
            log.exception("request failed")
        return answered
    except Exception:
        log.exception("request broke")
        return broken()


def _call(request: Request, request_id: str, rates: Rates) -> Call:
    identity = request.context.get("identity") or {}
    return Call(
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.raw_body if isinstance(request.raw_body, bytes) else request.raw_body.encode(),
        path={name: unquote(value) for name, value in (request.uri_params or {}).items()},
        query=dict(request.query_params or {}),
        address=identity.get("sourceIp", ""),
        request_id=request_id,
        rates=rates,
        base_path=request.context.get("path", "").lstrip("/").partition("/")[0],
    )


def _response(answered: Answer, request_id: str) -> Response:
    headers: dict[str, str | list[str]] = {**_EVERY_ANSWER, "X-Request-Id": request_id, **answered.headers}
    if isinstance(answered.body, bytes):
        return BinaryResponse(body=answered.body, headers=headers, status_code=answered.status)
    body = answered.body if isinstance(answered.body, str) else json.dumps(answered.body, separators=(",", ":"))
    return TextResponse(body=body, headers=headers, status_code=answered.status)


class TextResponse(Response):
    """A response in text, which goes out as it is though the API takes every type for binary."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:  # noqa: ARG002 - that is the point
        return super().to_dict(None)


class BinaryResponse(Response):
    """A response in bytes, for API Gateway in base64."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:  # noqa: ARG002 - see above
        body = base64.b64encode(self.body).decode()
        plain = Response(body=body, headers=self.headers, status_code=self.status_code)
        return plain.to_dict(None) | {"isBase64Encoded": True}


def _where(error: ValueError) -> str:
    """Where the JSON breaks off, without repeating any of it."""
    text = str(error)
    return text if len(text) < 200 and text.isascii() else "check it with a JSON parser"
