"""The API for reading: the two documents come in, one HTML page without scripts or foreign parts goes out."""

import html
import json
import re
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:var(--soft);padding:.7rem;overflow:auto;border-radius:6px}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;
text-align:left;vertical-align:top}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}
.m{display:inline-block;min-width:4.2rem;font-weight:600}.scope{float:right;opacity:.7}
"""


def of(described: dict[str, Any], frames: dict[str, Any]) -> str:
    """The page."""
    info = described["info"]
    parts = [
        f"<h1>{_text(info['title'])} {_text(info['version'])}</h1><p>{_prose(info['description'])}</p>",
        "<p>For programs: <a href='openapi.json'>openapi.json</a>, <a href='asyncapi.json'>asyncapi.json</a>. "
        "Send <code>Authorization: Bearer berth_…</code>; every answer has <code>X-Request-Id</code>.</p>",
    ]
    for tag in described["tags"]:
        parts.append(f"<h2>{_text(tag['description'])}</h2>")
        parts += [
            _operation(method, path, operation)
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"]
        ]
    parts.append("<h2>WebSocket</h2>" + _sockets(frames))
    parts.append("<h2>Objects</h2>" + "".join(_schemas(described["components"]["schemas"])))
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>{_text(info['title'])} API</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style>\n<body>{body}\n</body></html>\n"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    scope = _prose(operation.get("description", "Needs no token."))
    rows = [_row(each["name"], each["in"], each["description"]) for each in operation["parameters"]]
    parts = [_table(rows)] if rows else []
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        parts.append(f"<p>Body: {_reference(content['schema'])}</p>")
        if "example" in content:
            parts.append(f"<pre>{_text(json.dumps(content['example'], indent=2))}</pre>")
    parts.append(_table([_answer(status, answer) for status, answer in operation["responses"].items()]))
    head = (
        f"<span class='scope'>{scope}</span><span class='m'>{method.upper()}</span> <code>{_text(path)}</code> "
        f"{_text(operation['summary'])}"
    )
    return f"<details id='{operation['operationId']}'><summary>{head}</summary>{''.join(parts)}</details>"


def _answer(status: str, answer: dict[str, Any]) -> str:
    [content] = answer["content"].values()
    return f"<tr><td>{status}</td><td>{_reference(content['schema'])}</td><td>{_prose(answer['description'])}</td></tr>"


def _sockets(frames: dict[str, Any]) -> str:
    return "".join(_socket(name, channel, frames) for name, channel in frames["channels"].items())


def _socket(name: str, channel: dict[str, Any], frames: dict[str, Any]) -> str:
    rows = []
    for operation in frames["operations"].values():
        if operation["channel"]["$ref"] != f"#/channels/{name}":
            continue
        for message in operation["messages"]:
            frame = message["$ref"].rpartition("/")[2]
            summary = frames["components"]["messages"][frame]["summary"]
            who = "server" if operation["action"] == "send" else "client"
            kind = frames["components"]["schemas"][frame]["properties"]["type"]["const"]
            rows.append(_row(kind, who, summary))
    where = f"<h3>{_text(name)} <code>{_text(channel['address'])}</code></h3>"
    return f"{where}<p>{_prose(channel['description'])}</p>{_table(rows)}"


def _schemas(schemas: dict[str, Any]) -> list[str]:
    return [
        f"<details id='schema-{name}'><summary><b>{_text(name)}</b> {_prose(schema.get('description', ''))}</summary>"
        f"{_table(_members(schema))}</details>"
        for name, schema in sorted(schemas.items())
    ]


def _members(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required", [])
    return [
        f"<tr><td><code>{_text(name)}</code>{'' if name in required else ' ?'}</td><td>{_type(member)}</td>"
        f"<td>{_prose(member.get('description', ''))}</td></tr>"
        for name, member in schema.get("properties", {}).items()
    ]


def _type(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return _reference(member)
    if "const" in member or "enum" in member:
        return " · ".join(
            f"<code>{_text(json.dumps(each))}</code>" for each in member.get("enum", [member.get("const")])
        )
    if "anyOf" in member:
        return " or ".join(_type(each) for each in member["anyOf"])
    if member.get("type") == "array":
        return f"list of {_type(member.get('items', {}))}"
    return _text(str(member.get("format", member.get("type", "any"))))


def _reference(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"<a href='#schema-{name}'>{_text(name)}</a>" if name else ""


def _row(*cells: str) -> str:
    first, *rest = cells
    return f"<tr><td><code>{_text(first)}</code></td>{''.join(f'<td>{_prose(cell)}</td>' for cell in rest)}</tr>"


def _table(rows: list[str]) -> str:
    return f"<table>{''.join(rows)}</table>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(text, quote=True)
