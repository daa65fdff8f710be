"""`python -m infra.apidocs [--check]`: writes the published documents, or says which are not what the code says."""

import argparse
import json
import sys
from pathlib import Path

from infra.apidocs import asyncapi, openapi, page

FOLDER = Path(__file__).resolve().parents[2] / "chalicelib" / "edge" / "published"


def documents() -> dict[str, str]:
    """Every published file by name, with its text."""
    described = openapi.document()
    frames = asyncapi.document()
    return {
        "openapi.json": json.dumps(described, indent=1) + "\n",
        "asyncapi.json": json.dumps(frames, indent=1) + "\n",
        "docs.html": page.of(described, frames),
    }


def main() -> int:
    """0 when written, or when all is as the code says; 1 when `--check` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m infra.apidocs", description="Berth's published API documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of date")
    parsed = parser.parse_args()
    stale = [name for name, text in documents().items() if not _same(FOLDER / name, text)]
    if parsed.check:
        for name in stale:
            sys.stderr.write(f"{name} is not what the code says: run `make apidocs` and commit it\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(documents()[name])
        sys.stdout.write(f"wrote {FOLDER.name}/{name}\n")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
