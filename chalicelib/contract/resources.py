"""What a container is granted: numbers come in checked, the granted amounts go out."""

from enum import StrEnum

from pydantic import Field

from chalicelib.contract.model import Message


class Resources(Message):
    """Granted amounts: memory and disk in MiB, CPU in millicores (1000 = one core)."""

    memory_mb: int = Field(ge=6)
    cpu_shares: int = Field(ge=10)
    disk_mb: int = Field(ge=1)


class NetworkMode(StrEnum):
    """How far a container may reach: the internet, a list of names, or nowhere."""

    DEFAULT = "default"
    RESTRICTED = "restricted"
    NONE = "none"


class Shell(Message):
    """How the login shell is set up (api-contract, `shell`)."""

    enhanced: bool = True
    theme: str = "berth"
    autosuggestions: bool = True
    syntax_highlight: bool = True
    history_search: bool = True
    git_aliases: bool = True
    system_stats: bool = False
    use_tmux: bool = False
