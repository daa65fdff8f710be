"""Families of distributions: `families.json` comes in once, typed conventions and commands go out.

A container has one ordinary user, `user` with uid 1000; where a distribution's image has given that uid away already
(Ubuntu since 24.04), `user_taken` names who has to go first.
"""

from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

USER = "user"
UID = 1000

Tool = Literal["zsh", "tmux", "git", "ps", "autosuggestions", "syntax_highlight"]
Plugin = Literal["autosuggestions", "syntax_highlight"]


class Family(BaseModel):
    """How one family installs packages, adds users and names its shells; commands are argument lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    os_release_ids: list[str]
    """`ID` in /etc/os-release of its members."""
    environment: dict[str, str]
    """Set while packages are installed, so that nothing asks."""
    refresh: list[str]
    install: list[str]
    """Followed by the names of packages."""
    clean: list[str]
    """Folders whose content is worth nothing afterwards."""
    shells: dict[str, str]
    default_shell: str
    user_taken: str | None
    remove_user: list[str]
    add_user: list[str]
    packages: dict[Tool, list[str]]
    """The packages that bring a tool."""
    zsh_plugins: dict[Plugin, str]
    """The file to source, by setting of the shell."""

    def installs(self, *packages: str) -> list[str]:
        """The command that installs these."""
        return [*self.install, *packages]

    def adds_user(self, shell: str, name: str = USER, uid: int = UID) -> list[list[str]]:
        """The commands after which the user is there, with one of this family's shells."""
        words = {"name": name, "uid": str(uid), "shell": self.shells[shell]}
        adding = [word.format(**words) for word in self.add_user]
        if self.user_taken is None:
            return [adding]
        return [[word.format(name=self.user_taken) for word in self.remove_user], adding]


@cache
def families() -> dict[str, Family]:
    """All of them, by the name that `images.json` of the domain gives."""
    text = resources.files("infra.images").joinpath("families.json").read_bytes()
    return TypeAdapter(dict[str, Family]).validate_json(text)


def family_of(os_release: str) -> Family | None:
    """The family that an image belongs to by the text of its /etc/os-release; None when it is none of ours."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    ids = [fields.get("ID", ""), *fields.get("ID_LIKE", "").strip("\"'").split()]
    for each in (name.strip("\"'") for name in ids):
        for family in families().values():
            if each in family.os_release_ids:
                return family
    return None
