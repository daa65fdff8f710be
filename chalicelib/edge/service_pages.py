"""Catalogue and service pages: a call comes in, what this deployment offers goes out."""

from importlib import resources
from typing import Any

from chalicelib.domain import catalogue
from chalicelib.domain.identity import Scope
from chalicelib.domain.images import CUSTOM
from chalicelib.edge.answers import Answer
from chalicelib.edge.containers import Api
from chalicelib.edge.http import Call
from chalicelib.version import VERSION


def images(call: Call, api: Api) -> Answer:
    """`GET /images`."""
    call.caller(api.tokens, Scope.READ)
    known = catalogue.images()
    rows: list[dict[str, Any]] = [
        {"name": image.name, "aliases": image.aliases, "display_name": image.title, "family": image.family}
        for image in known.images
    ]
    rows.append({"name": CUSTOM, "aliases": [], "display_name": "Your own image", "registries": known.registries})
    return Answer(200, {"images": rows, "count": len(rows)})


def roles(call: Call, api: Api) -> Answer:
    """`GET /roles`."""
    call.caller(api.tokens, Scope.READ)
    rows = [role.model_dump() for role in catalogue.roles().values()]
    return Answer(200, {"roles": rows, "count": len(rows)})


def tiers(call: Call, api: Api) -> Answer:
    """`GET /tiers`."""
    call.caller(api.tokens, Scope.READ)
    rows = [{"id": name} | tier.model_dump(exclude_none=True) for name, tier in catalogue.tiers().items()]
    return Answer(200, {"tiers": rows, "count": len(rows)})


def health(call: Call, _api: Api) -> Answer:
    """`GET /health`: this function runs; needs no token."""
    call.anybody()
    return Answer(200, {"status": "ok"})


def version(call: Call, _api: Api) -> Answer:
    """`GET /version`: needs no token."""
    call.anybody()
    return Answer(200, {"name": "berth", "version": VERSION})


def openapi(call: Call, _api: Api) -> Answer:
    """`GET /openapi.json`: needs no token."""
    call.anybody()
    return Answer(200, _published("openapi.json"))


def asyncapi(call: Call, _api: Api) -> Answer:
    """`GET /asyncapi.json`: needs no token."""
    call.anybody()
    return Answer(200, _published("asyncapi.json"))


def docs(call: Call, _api: Api) -> Answer:
    """`GET /docs`: the API for reading; needs no token."""
    call.anybody()
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
    return Answer(200, _published("docs.html"), headers)


def _published(name: str) -> str:
    """A document that `make apidocs` wrote from the code."""
    return resources.files("chalicelib.edge.published").joinpath(name).read_text()
