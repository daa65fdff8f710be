"""Recipes of roles and of the shell: the files beside this module come in once, steps for one family go out.

A tool says for each family of distributions how it is installed; what `any` says holds where a family says nothing of
its own, and Ubuntu does as Debian does. `source` names where the tool comes from, so that it is known which of them a
machine without the internet cannot have.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.images.families import Family, families

SHELL = "zsh, its plugins, git, tmux and ps"
_PARTS = (
    "the user", "theme", "autosuggestions", "syntax_highlight",
    "history_search", "git_aliases", "system_stats", "use_tmux",
)  # fmt: skip
"""What `check.zsh` may find lacking."""

BAREBONE = "barebone"
"""The role of an image left as it is."""

Source = Literal["distribution", "pypi", "npm", "internet"]

THEMES = ("berth", "minimal", "powerline")

_LIKE = {"ubuntu": "debian"}
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_FILE = "/tmp/berth/download"  # noqa: S108 - in the container that an image is built in


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Download(_Row):
    """A file of the internet and its hash by architecture, or for `any`."""

    url: str
    sha256: dict[str, str]

    def script(self, where: str) -> str:
        """Shell commands after which the file is there and has that hash; they fail otherwise."""
        hashes = " ".join(f"{arch}) sha256={digest} ;;" for arch, digest in self._cases())
        debian = " ".join(f"{arch}) debian_arch={name} ;;" for arch, name in _DEBIAN_ARCHITECTURES.items())
        url = self.url.replace("{arch}", "$arch").replace("{debian_arch}", "$debian_arch")
        return "\n".join(
            [
                "arch=$(uname -m)",
                f'case "$arch" in {debian} esac',
                f'case "$arch" in {hashes} esac',
                f"mkdir -p {where.rpartition('/')[0]}",
                f'curl -fsSL --connect-timeout 20 --retry 2 -o {where} "{url}"',
                f'echo "$sha256  {where}" | sha256sum -c - >/dev/null',
            ]
        )

    def _cases(self) -> Iterator[tuple[str, str]]:
        for arch, digest in self.sha256.items():
            yield ("*" if arch == "any" else arch), digest


class Install(_Row):
    """How a tool is installed: packages of the distribution, then a download, then commands of the shell."""

    source: Source = "distribution"
    packages: list[str] = Field(default_factory=list)
    download: str | None = None
    commands: list[str] = Field(default_factory=list)
    """Run as root; `$FILE` is the download."""


class Tool(_Row):
    """A program that people find in the container, and the command that shows that it works and which it is."""

    name: str
    check: str
    install: dict[str, dict[str, Any]]

    def install_on(self, family: str) -> Install:
        """How it is installed on this family."""
        own = self.install.get(family, self.install.get(_LIKE.get(family, ""), {}))
        return Install.model_validate(self.install.get("any", {}) | own)


class Role(_Row):
    """Tools that belong together, and what a login shell has to do for them."""

    id: str
    title: str
    tools: list[Tool]
    downloads: dict[str, Download]
    login: list[str]
    """Lines for a login shell of any kind."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done while an image is built; `what` is named when it fails."""

    what: str
    script: str
    """For `sh -eu`, as root."""


@cache
def roles() -> dict[str, Role]:
    """All roles that have a recipe, by id; `barebone` has none."""
    folder = resources.files("infra.images").joinpath("roles")
    found = [Role.model_validate_json(file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".json")]
    return {role.id: role for role in sorted(found, key=lambda role: role.id)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is prepared with: a role's tools, the enhanced shell, or both."""

    role: Role | None
    enhanced: bool

    @property
    def title(self) -> str:
        """What the user asked for, in words."""
        return f"the role {self.role.id}" if self.role else "the shell"

    @property
    def digest(self) -> str:
        """Another recipe has another digest."""
        parts = [self.role.model_dump(mode="json") if self.role else None, _shell_files() if self.enhanced else None]
        conventions = {name: family.model_dump(mode="json") for name, family in families().items()}
        return hashlib.sha256(json.dumps([_file("user.sh"), conventions, *parts]).encode()).hexdigest()

    def tools(self) -> list[Tool]:
        """What is checked by its own command."""
        return list(self.role.tools) if self.role else []

    def steps(self, family: str) -> Iterator[Step]:
        """In this order; what may be nowhere to be had comes first, so that it fails soon."""
        conventions = families()[family]
        yield Step("package lists", _command(conventions.refresh, conventions))
        yield Step("curl", _command(conventions.installs("ca-certificates", "curl"), conventions))
        yield from self._downloads(family)
        if self.enhanced:
            yield Step(SHELL, "\n".join(_shell_installed(conventions)))
        yield Step("the user", f"{_file('user.sh')}\nadd_user {conventions.shells[self._shell(conventions)]}")
        if self.enhanced:
            yield Step("settings of the shell", "\n".join(_shell_settings(conventions)))
        for tool in self.tools():
            yield Step(tool.name, "\n".join(self._installing(tool, family, conventions)))
        yield Step("settings of the tools", _written("/etc/profile.d/berth.sh", self._login()))
        yield Step("tidying up", "\n".join(_emptied(folder) for folder in [*conventions.clean, "/tmp/berth"]))  # noqa: S108

    def _shell(self, conventions: Family) -> str:
        return "zsh" if self.enhanced else conventions.default_shell

    def _downloads(self, family: str) -> Iterator[Step]:
        for tool in self.tools():
            name = tool.install_on(family).download
            if name is not None and self.role is not None:
                yield Step(tool.name, self.role.downloads[name].script(f"{_FILE}-{name}"))

    def _installing(self, tool: Tool, family: str, conventions: Family) -> Iterator[str]:
        install = tool.install_on(family)
        if install.packages:
            yield _command(conventions.installs(*install.packages), conventions)
        if install.download is not None:
            yield f"FILE={_FILE}-{install.download}"
        yield from install.commands

    def _login(self) -> str:
        """Lines that every login shell reads, of whatever kind it is."""
        lines = self.role.login if self.role else []
        return "\n".join(["# Read by every login shell; written with the image.", *lines, ""])

    def promised(self) -> list[str]:
        """Everything that a login shell looks for before people are let in, by name."""
        return [*(_PARTS if self.enhanced else ()), *(tool.name for tool in self.tools())]

    def promises(self, lacks: str) -> str:
        """A script for a login shell that says what of it is not there, after the words in `lacks`, and fails then."""
        looks = [f"BERTH_LACKS='{lacks}'; . /etc/berth/check.zsh"] if self.enhanced else []
        for tool in self.tools():
            program = tool.check.split()[0]
            looks.append(f"command -v {program} >/dev/null || {{ echo '{lacks}{tool.name}'; exit 1; }}")
        return "\n".join(looks)


def recipe_of(role: str, *, enhanced: bool) -> Recipe | None:
    """What an image has to be prepared with for a role and a shell; None when it is good as it is."""
    if role == BAREBONE or not (role or enhanced):
        return None
    return Recipe(roles()[role] if role else None, enhanced)


def adding_user() -> str:
    """The shell command that adds the ordinary user to an image that is left as it is, with the image's own shell."""
    return f"{_file('user.sh')}\nadd_user"


def settings_text(settings: Mapping[str, str | bool]) -> str:
    """The shell's settings as the file that it reads; values are of a closed list, or nothing the shell could obey."""
    lines = []
    for name, value in settings.items():
        text = str(int(value)) if isinstance(value, bool) else value
        lines.append(f"BERTH_{name.upper()}={text if text in (*THEMES, '0', '1') else THEMES[0]}\n")
    return "".join(lines)


def _shell_installed(conventions: Family) -> Iterator[str]:
    packages = [name for tool in conventions.packages.values() for name in tool]
    yield _command(conventions.installs(*packages, "less"), conventions)


def _shell_settings(conventions: Family) -> Iterator[str]:
    for name, text in _shell_files().items():
        if not name.endswith(".sh"):
            yield _written("/etc/tmux.conf" if name == "tmux.conf" else f"/etc/berth/{name}", text)
    plugins = [f"BERTH_{name.upper()}_PLUGIN={path}\n" for name, path in conventions.zsh_plugins.items()]
    yield _written("/etc/berth/plugins.zsh", "".join(plugins))
    for home in ("/root", "/home/user"):
        yield _written(f"{home}/.zshrc", "source /etc/berth/zshrc\n")
    yield "chown user /home/user/.zshrc"
    yield f"sed -i 's#^\\(root:.*:\\)[^:]*$#\\1{conventions.shells['zsh']}#' /etc/passwd"


def _written(path: str, text: str) -> str:
    return f"mkdir -p {path.rpartition('/')[0]}\ncat > {path} <<'BERTH-END'\n{text}BERTH-END"


@cache
def _file(name: str) -> str:
    return resources.files("infra.images").joinpath("shell", name).read_text()


@cache
def _shell_files() -> dict[str, str]:
    """By their path below the folder."""
    folder = resources.files("infra.images").joinpath("shell")
    files = {file.name: file for file in folder.iterdir() if file.is_file()}
    files |= {f"themes/{file.name}": file for file in folder.joinpath("themes").iterdir()}
    return {name: files[name].read_text() for name in sorted(files)}


def _command(words: list[str], conventions: Family) -> str:
    settings = "".join(f"{name}={value} " for name, value in conventions.environment.items())
    return settings + " ".join(words)


def _emptied(folder: str) -> str:
    return f"rm -rf {folder}/* 2>/dev/null || true"
