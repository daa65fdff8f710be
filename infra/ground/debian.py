"""Debian 12 in a folder: names of packages come in, a tree of files with them and their scripts run comes out."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.ground.errors import NoImage
from infra.ground.packages import find

SUITE = "bookworm"
DEFAULT_ARCHIVE = "http://deb.debian.org/debian"
EXPECTED_LINES = 450
"""Lines debootstrap prints for bookworm's minimal variant; only a progress bar depends on it."""

LINES_OF_A_PACKAGE = 5

Advance = Callable[[float], None]
"""Takes the share done, 0 to 1."""


def bootstrap(root: Path, log: Path, advance: Advance, packages: Sequence[str] = ()) -> None:
    """Fill the folder with the minimal variant and these packages; NoImage, and what debootstrap said in `log`."""
    wanted = [f"--include={','.join(packages)}"] if packages else []
    program = find("debootstrap") or "debootstrap"
    command = [program, "--variant=minbase", *wanted, SUITE, str(root), archive_address()]
    expected = EXPECTED_LINES + LINES_OF_A_PACKAGE * len(packages)
    with log.open("w") as kept, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        if running.stdout is not None:
            for number, line in enumerate(running.stdout, 1):
                kept.write(line.decode(errors="replace"))
                advance(min(number / expected, 0.99))
    if running.returncode:
        raise NoImage(f"debootstrap failed: read {log}")
    advance(1.0)


def archive_address() -> str:
    """Where this machine itself gets the suite's packages, if it does."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"], capture_output=True, text=True, check=False
    )
    for line in listing.stdout.splitlines():
        codename, _, address = line.partition(" ")
        if codename == SUITE and address.startswith("http"):
            return address.rstrip("/")
    return DEFAULT_ARCHIVE
