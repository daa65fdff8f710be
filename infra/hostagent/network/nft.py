"""Packet rules set by `nft`: a script comes in and is done as a whole or not at all, NoFirewall says why not."""

import os
import subprocess
from dataclasses import dataclass

SECONDS = 10


class NoFirewall(Exception):
    """The rules cannot be set here; the text says why."""


@dataclass(frozen=True, slots=True)
class Nft:
    """One table, in the network namespace the engine's bridges live in (None = the machine's own)."""

    table: str
    netns: str | None

    def run(self, script: str) -> str:
        """What it prints. The kernel takes all of the script or nothing."""
        if os.geteuid() != 0:
            raise NoFirewall("only root can set packet rules: run the agent as root")
        enter = ["nsenter", f"--net={self.netns}"] if self.netns else []
        command = [*enter, "nft", "--terse", "--file", "-"]
        try:
            done = subprocess.run(
                command, input=script, capture_output=True, check=False, text=True, env=_path(), timeout=SECONDS
            )
        except FileNotFoundError as error:
            raise NoFirewall(f"there is no program {error.filename}: install nftables and util-linux") from error
        except subprocess.TimeoutExpired as error:
            raise NoFirewall("nft does not end") from error
        if done.returncode:
            raise NoFirewall(f"nft refused the rules: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
        return done.stdout

    def listing(self) -> str | None:
        """The table's chains and rules without what is in its sets; None when there is no such table."""
        try:
            return self.run(f"list table inet {self.table}\n")
        except NoFirewall:
            return None

    def delete(self) -> None:
        """Have no such table."""
        self.run(f"add table inet {self.table}\ndelete table inet {self.table}\n")


def _path() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
