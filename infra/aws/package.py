"""`python -m infra.aws.package --stage prod --out DIR`: one template with archives and bills of materials comes out.

It is what `chalice package --merge-template infra/aws/merge.json` writes, with bytecode beside every source: Lambda
cannot keep what it compiles, and would compile everything at each cold start.
"""

import argparse
import importlib.util
import os
import py_compile
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from infra.aws.deployment import CHALICE, PROJECT
from infra.aws.errors import DeployError
from infra.aws.template import MERGE
from infra.aws.wheels import locked_wheels, only_from
from infra.supply.sbom import write_boms

ARCHIVES = ("deployment.zip", "layer-deployment.zip")
_AT = (1980, 1, 1, 0, 0, 0)


def add_bytecode(archive: Path) -> int:
    """Compile every module of the archive into it; the number compiled.

    Unchecked, since times in the archive are no times; the same sources give the same archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        entries = _sources(archive, Path(folder))
        modules = sorted(Path(folder).rglob("*.py"))
        compiled = [made for made in (_compiled(each, Path(folder)) for each in modules) if made is not None]
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for entry, content in entries:
                target.writestr(entry, content, zipfile.ZIP_DEFLATED)
            for path in compiled:
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _AT)
                entry.external_attr = 0o644 << 16
                target.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return len(compiled)


def _sources(archive: Path, folder: Path) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """Everything but bytecode, which a working tree may have left of other code; also extracted to the folder."""
    with zipfile.ZipFile(archive) as source:
        kept = [entry for entry in source.infolist() if not entry.filename.endswith(".pyc")]
        source.extractall(folder, members=kept)
        return [(entry, source.read(entry)) for entry in kept]


def _compiled(module: Path, root: Path) -> Path | None:
    """The module's bytecode, or None for a file that is no module (a template, a test of another version)."""
    target = Path(importlib.util.cache_from_source(str(module)))
    try:
        py_compile.compile(
            str(module),
            str(target),
            dfile=str(module.relative_to(root)),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError:
        return None
    return target


def package(stage: str, out: Path) -> int:
    """Write template and archives; the number of modules compiled."""
    command = [*CHALICE, "package", "--stage", stage, "--merge-template", str(MERGE), str(out.resolve())]
    wheels = only_from(locked_wheels(PROJECT / "requirements.txt"))
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ, **wheels}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True)
    write_boms(out)
    return sum(add_bytecode(out / name) for name in ARCHIVES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.aws.package", description="One template of everything.")
    parser.add_argument("--stage", required=True, choices=["dev", "prod"])
    parser.add_argument("--out", type=Path, required=True, help="folder for template and archives")
    parsed = parser.parse_args()
    try:
        compiled = package(parsed.stage, parsed.out)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: chalice package failed ({error.returncode})\n")
        return 1
    except DeployError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{parsed.out}: sam.json, its archives and bills of materials, {compiled} modules compiled\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
