"""`python -m infra.images [--check]`: writes the pages of `docs/images`, or says that they are not up to date."""

import argparse
import sys
from pathlib import Path

from infra.images.pages import pages

FOLDER = Path("docs/images")


def main() -> int:
    """0 when the pages are as they have to be."""
    parser = argparse.ArgumentParser(prog="python -m infra.images", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    wanted = pages()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    if wanted == found:
        return 0
    if check:
        sys.stderr.write("docs/images is not up to date: run `make images`\n")
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in set(found) - set(wanted):
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
