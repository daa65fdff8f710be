"""Our Python for a container that may have another: an archive comes in; program, library, what they link go into it.

boto3 goes with it, as Lambda's own Python has it. The container's libc is used, which must not be older than the
machine's: whoever takes it there tries it.
"""

import importlib.util
import io
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

HOME = "/opt/berth/python"
RUN = f"{HOME}/run"
"""What to call: the program, told where its own library is."""
NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"

_CALL = """#!/bin/sh
export PYTHONHOME={home} LD_LIBRARY_PATH={home}/shared PYTHONPATH="$PYTHONPATH:{home}/packages"
exec {home}/bin/{name} "$@"
"""
_BOTO = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_UNUSED = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}
_SCREENS = ("_tkinter", "_curses", "readline")
"""Extension modules that no function imports, and that link half a desktop."""
_LIBC = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libutil.so", "libresolv.so")


def add_interpreter(archive: tarfile.TarFile, home: str = HOME) -> None:
    """Add this process's interpreter, without what was installed beside it. OSError where it cannot be read."""
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib")).resolve()
    archive.add(program, f"{home}/bin/{NAME}", filter=owned_by_root)
    for each in sorted(library.iterdir()):
        if each.name not in _UNUSED and not each.name.startswith("config-"):
            archive.add(each, f"{home}/lib/{NAME}/{each.name}", filter=_wanted)
    extensions = [each for each in library.glob("lib-dynload/*.so") if not each.name.startswith(_SCREENS)]
    for name, path in _linked([program, *extensions]).items():
        archive.add(path.resolve(), f"{home}/shared/{name}", filter=owned_by_root)
    for name in _BOTO:
        path = _importable(name)
        archive.add(path, f"{home}/packages/{path.name}", filter=owned_by_root)
    add_text(archive, f"{home}/run", _CALL.format(home=home, name=NAME), 0o755)


def add_text(archive: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    """A file of this text."""
    entry, content = tarfile.TarInfo(name), text.encode()
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever owns it here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(entry.name).parts
    screens = parts[-1].startswith(_SCREENS) and "lib-dynload" in parts
    return None if screens or not _UNUSED.isdisjoint(parts) else owned_by_root(entry)


def _importable(name: str) -> Path:
    """The file or folder that is imported by this name."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise OSError(f"{name} is not installed")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _linked(files: list[Path]) -> dict[str, Path]:
    """Shared libraries of these, by name, but for libc's own."""
    told = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    pairs = [line.split() for line in told.splitlines() if "=> /" in line]
    return {pair[0]: Path(pair[2]) for pair in pairs if not pair[0].startswith(_LIBC)}
