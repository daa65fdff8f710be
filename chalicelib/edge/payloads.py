"""Bodies of requests: a JSON object comes in, a request of the domain or InvalidRequest goes out.

Faults are told in the contract's order: the image, then the name, then the rest.
"""

import re
from typing import Any

from pydantic import Field

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.resources import NetworkMode
from chalicelib.contract.resources import Shell as ShellChoice
from chalicelib.domain import catalogue
from chalicelib.domain.changes import Changes
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.identity import Scope
from chalicelib.domain.images import choose_image
from chalicelib.domain.names import clean_name
from chalicelib.domain.request import ContainerRequest
from chalicelib.edge.shapes import Shape, faults, refuse, shaped, without_nulls
from chalicelib.services.execution import CommandRequest
from chalicelib.services.tokens import LONGEST_DAYS, parse_scopes

THEMES = ("berth", "minimal", "powerline")
ENTRIES = 64
MAP_BYTES = 32 * 1024
DOMAINS = 50
WORDS = 256
PATH_BYTES = 4096
COMMAND_BYTES = 32 * 1024
LONGEST_COMMAND = 25
"""Seconds; an answer of API Gateway has to be there after 29."""
SHELL = ("/bin/sh", "-c")
"""What runs a command that is given as one text."""

VARIABLE = "[A-Za-z_][A-Za-z0-9_]{0,254}"
LABEL = "[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
_VARIABLE, _LABEL = re.compile(VARIABLE), re.compile(LABEL)
_OWN_LABELS = "berth."
_DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_USERNAME = re.compile(r"[A-Za-z0-9_-]{2,30}")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class ShellShape(Shape):
    """Members of `shell`; absent ones take the contract's defaults."""

    enhanced: bool = True
    theme: str = "berth"
    autosuggestions: bool = True
    syntax_highlight: bool = True
    history_search: bool = True
    git_aliases: bool = True
    system_stats: bool = False
    use_tmux: bool = False


class CreateShape(Shape):
    """Members of the body of `POST /containers`."""

    image: str = ""
    custom_image: str = ""
    name: str = ""
    role: str = ""
    shell: ShellShape = ShellShape()
    memory_mb: int = Field(default=0, ge=0)
    cpu_shares: int = Field(default=0, ge=0)
    disk_mb: int = Field(default=0, ge=0)
    environment: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    network_mode: str = NetworkMode.DEFAULT.value
    allowed_domains: list[str] = Field(default_factory=list)


class ChangesShape(Shape):
    """Members of the body of `PATCH /containers/{id}/settings`."""

    name: str = ""
    memory_mb: int = Field(default=0, ge=0)
    cpu_shares: int = Field(default=0, ge=0)


class ExecShape(Shape):
    """Members of the body of `POST /containers/{id}/exec`; `cmd` is another word for a list in `command`."""

    command: Any = None
    cmd: list[str] | None = None
    user: str = ""
    workdir: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: int = Field(default=LONGEST_COMMAND, ge=0, le=LONGEST_COMMAND)


class TokenShape(Shape):
    """Members of the body of `POST /tokens`."""

    name: str = Field(min_length=1, max_length=64)
    scopes: list[str] | None = None
    expires_in: int | None = Field(default=None, ge=1, le=LONGEST_DAYS)


class GuestShape(Shape):
    """Members of the body of `POST /auth/guest`."""

    username: str | None = None
    email: str | None = Field(default=None, max_length=254)


class TicketShape(Shape):
    """Members of the body of `POST /tickets`: none."""


def container_request(document: dict[str, Any]) -> ContainerRequest:
    """The request of `POST /containers`, or InvalidRequest naming the first field at fault."""
    present = without_nulls(CreateShape, document)
    found = faults(CreateShape, present)
    for field in ("image", "custom_image"):
        if field in found:
            raise refuse(found, field)
    image = choose_image(present.get("image"), present.get("custom_image"))
    if "name" in found:
        raise refuse(found, "name")
    name = clean_name(present.get("name"))
    body = shaped(CreateShape, present)
    return ContainerRequest(
        image=image,
        name=name,
        role=_role(body.role),
        shell=_shell(body.shell),
        memory_mb=body.memory_mb,
        cpu_shares=body.cpu_shares,
        disk_mb=body.disk_mb,
        environment=_entries("environment", body.environment, _VARIABLE),
        labels=_labels(body.labels),
        network_mode=_network_mode(body.network_mode),
        allowed_domains=_domains(body.network_mode, body.allowed_domains),
    )


def changes_request(document: dict[str, Any]) -> Changes:
    """The changes of `PATCH /containers/{id}/settings`; null, 0 and an empty name leave things as they are."""
    body = shaped(ChangesShape, document)
    changes = Changes(clean_name(body.name), body.memory_mb or None, body.cpu_shares or None)
    if changes == Changes():
        fields = list(ChangesShape.model_fields)
        raise InvalidRequest("nothing to change", message=f"give one of {', '.join(fields)}", supported_fields=fields)
    return changes


def inside_user(user: str | None) -> ExecUser | None:
    """As whom something is done inside; None where nobody is named."""
    if user and user not in list(ExecUser):
        raise InvalidRequest("unsupported user", "user", supported_users=[each.value for each in ExecUser])
    return ExecUser(user) if user else None


def command_request(document: dict[str, Any]) -> CommandRequest:
    """The command of `POST /containers/{id}/exec`; a text is for the shell, a list is run as it is."""
    body = shaped(ExecShape, document)
    user = inside_user(body.user)
    if body.workdir and not (body.workdir.startswith("/") and len(body.workdir) <= PATH_BYTES and sound(body.workdir)):
        raise InvalidRequest("workdir must be an absolute path", "workdir")
    return CommandRequest(
        command=_command(body),
        user=user,
        workdir=body.workdir or None,
        environment=_entries("env", body.env, _VARIABLE),
        timeout_seconds=body.timeout_seconds or LONGEST_COMMAND,
    )


def _command(body: ExecShape) -> tuple[str, ...]:
    field, given = ("cmd", body.cmd) if body.command is None else ("command", body.command)
    if given is None:
        raise InvalidRequest("command is required", "command")
    if body.command is not None and body.cmd is not None:
        raise InvalidRequest("give command or cmd, not both", "cmd")
    words = (*SHELL, given) if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest(f"{field} must be a string or a list of strings", field)
    if not words or not words[0] or not given or len(words) > WORDS:
        raise InvalidRequest(f"{field} must have 1 to {WORDS} words, the first not empty", field)
    if not all(map(sound, words)) or sum(len(word.encode()) for word in words) > COMMAND_BYTES:
        raise InvalidRequest(f"{field} must have no NUL and at most {COMMAND_BYTES} bytes", field)
    return tuple(words)


def sound(text: str) -> bool:
    """Whether the kernel takes it as an argument."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def token_request(document: dict[str, Any]) -> tuple[str, tuple[Scope, ...] | None, int | None]:
    """Name, scopes and days of `POST /tokens`."""
    body = shaped(TokenShape, document)
    return body.name, parse_scopes(body.scopes), body.expires_in


def guest_request(document: dict[str, Any]) -> str | None:
    """The user name of `POST /auth/guest`, if any."""
    username = shaped(GuestShape, document).username
    if username is not None and not _USERNAME.fullmatch(username):
        raise InvalidRequest("username must be 2-30 letters, digits, hyphens and underscores", "username")
    return username


def idempotency_key(header: str | None) -> str | None:
    """The key of a request, or InvalidRequest when it is not 1 to 255 printable characters."""
    if header is not None and not _KEY.fullmatch(header):
        raise InvalidRequest("Idempotency-Key must be 1-255 printable characters", "Idempotency-Key")
    return header


def _role(role: str) -> str:
    supported = sorted(catalogue.roles())
    if role and role not in supported:
        raise InvalidRequest("unsupported role", "role", supported_roles=supported)
    return role


def _shell(shell: ShellShape) -> ShellChoice:
    if shell.theme not in THEMES:
        raise InvalidRequest("unsupported shell theme", "shell.theme", supported_themes=list(THEMES))
    return ShellChoice(**shell.model_dump())


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if name.startswith(_OWN_LABELS):
            raise InvalidRequest(f"labels may not start with {_OWN_LABELS!r}", f"labels.{name[:100]}")
    return _entries("labels", labels, _LABEL)


def _entries(field: str, entries: dict[str, str], allowed: re.Pattern[str]) -> dict[str, str]:
    if len(entries) > ENTRIES:
        raise InvalidRequest(f"{field} has too many entries: at most {ENTRIES}", field)
    for position, (name, value) in enumerate(entries.items(), 1):
        if not allowed.fullmatch(name):  # not repeated: whoever puts a value where the name belongs keeps it secret
            raise InvalidRequest(f"{field} has an invalid name", field, position=position, allowed=allowed.pattern)
        if "\0" in value:
            raise InvalidRequest(f"{field} values may not contain NUL", f"{field}.{name}")
    if sum(len(text.encode()) for pair in entries.items() for text in pair) > MAP_BYTES:
        raise InvalidRequest(f"{field} is too large: at most {MAP_BYTES} bytes", field)
    return entries


def _network_mode(mode: str) -> NetworkMode:
    supported = [each.value for each in NetworkMode]
    if mode not in supported:
        raise InvalidRequest("unsupported network_mode", "network_mode", supported_network_modes=supported)
    return NetworkMode(mode)


def _domains(mode: str, domains: list[str]) -> list[str]:
    field = "allowed_domains"
    if domains and mode != NetworkMode.RESTRICTED:
        raise InvalidRequest("allowed_domains is only allowed when network_mode is 'restricted'", field)
    if len(domains) > DOMAINS:
        raise InvalidRequest(f"allowed_domains has too many entries: at most {DOMAINS}", field)
    lowered = [domain.lower() for domain in domains]
    for position, domain in enumerate(lowered, 1):
        if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
            error = "allowed_domains must be names like example.org or *.example.org"
            raise InvalidRequest(error, field, position=position)
    return lowered
