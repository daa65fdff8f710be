"""Request bodies in full: JSON schemas of the edge's shapes come in; rules that are code, not types, are added.

The edge checks these itself, in the contract's words and order; here they are for generated clients and for tests.
"""

from typing import Any

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.resources import NetworkMode
from chalicelib.domain import catalogue
from chalicelib.domain.identity import Scope
from chalicelib.domain.images import supported
from chalicelib.domain.names import PATTERN as NAME
from chalicelib.edge import payloads


def sharpened(schemas: dict[str, Any]) -> dict[str, Any]:
    """The same schemas with what their members may be."""
    for model, members in _rules().items():
        for name, rule in members.items():
            schemas[model]["properties"][name] |= rule
    for schema in schemas.values():
        required = schema.get("required", [])
        for name, member in schema.get("properties", {}).items():
            if name not in required and name != "image":
                schema["properties"][name] = _or_null(member)
    del schemas["CreateShape"]["properties"]["image"]["default"]
    schemas["CreateShape"]["required"] = ["image"]
    return schemas


def _or_null(member: dict[str, Any]) -> dict[str, Any]:
    """Null means absent."""
    described = {name: member[name] for name in ("title", "description", "default") if name in member}
    rule = {name: each for name, each in member.items() if name not in described}
    choices = rule.get("anyOf", [rule])
    return described | {"anyOf": [*(each for each in choices if each != {"type": "null"}), {"type": "null"}]}


def _rules() -> dict[str, dict[str, dict[str, Any]]]:
    aliases = [alias for image in catalogue.images().images for alias in image.aliases]
    return {
        "CreateShape": {
            "image": {"enum": sorted([*supported(), *aliases]), "description": "`custom` goes with `custom_image`."},
            "custom_image": {"maxLength": 255, "description": "Required when, and only when, `image` is `custom`."},
            "name": {"pattern": f"^({NAME})?$", "description": "Generated when absent."},
            "role": {"enum": ["", *sorted(catalogue.roles())]},
            "network_mode": {
                "enum": [mode.value for mode in NetworkMode],
                "description": "`default`: the public internet; `restricted`: `allowed_domains` alone; `none`: nothing.",
            },
            "environment": _map(payloads.VARIABLE),
            "labels": _map(payloads.LABEL),
            "allowed_domains": {
                "maxItems": payloads.DOMAINS,
                "description": "Names such as `example.org` or `*.example.org` (all names below it); only with `restricted`.",
            },
            **{amount: {"description": "0 or absent: the tier's default."} for amount in _AMOUNTS},
        },
        "ExecShape": {
            "command": {
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": payloads.WORDS},
                ],
                "description": f"A text for `{' '.join(payloads.SHELL)}`, or a list that is run as it is.",
            },
            "cmd": {"description": "The same as a list in `command`; one of the two is required."},
            "user": _AS,
            "workdir": {"pattern": "^(/.*)?$", "maxLength": payloads.PATH_BYTES},
            "env": _map(payloads.VARIABLE),
            "timeout_seconds": {"description": "Then it is killed. 0 or absent: the longest."},
        },
        "FileShape": {
            "path": {"pattern": "^/", "description": "Absolute; folders over it are made."},
            "content": {"contentEncoding": "base64", "description": "Of the whole file, at most 3 MB in this form."},
            "user": _AS,
        },
        "FolderShape": {"path": {"pattern": "^/", "description": "Absolute."}, "user": _AS},
        "TerminalShape": {"user": _AS},
        "ShellShape": {"theme": {"enum": list(payloads.THEMES)}},
        "TokenShape": {
            "scopes": {"anyOf": [{"type": "array", "minItems": 1, "items": {"enum": [s.value for s in Scope]}}]},
        },
    }


_AS = {"enum": ["", *ExecUser], "description": "Absent: `user` where the image has such a user, else `root`."}
_AMOUNTS = ("memory_mb", "cpu_shares", "disk_mb")


def _map(names: str) -> dict[str, Any]:
    words = f"At most {payloads.MAP_BYTES} bytes in all."
    return {"maxProperties": payloads.ENTRIES, "propertyNames": {"pattern": f"^({names})$"}, "description": words}
