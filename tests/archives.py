"""Packaged archives: the folder of `make package` comes in, they lie unpacked as in Lambda, with what Lambda has."""

import importlib.metadata
import zipfile
from pathlib import Path

from infra.aws.package import ARCHIVES

RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
"""What Lambda's own Python has besides the standard library."""


def unpack(packaged: Path, folder: Path) -> None:
    """Into `task`, `opt` and `runtime` of the folder."""
    for name, to in zip(ARCHIVES, ("task", "opt"), strict=True):
        with zipfile.ZipFile(packaged / name) as archive:
            archive.extractall(folder / to)
    (folder / "runtime").mkdir()
    site = Path(str(importlib.metadata.distribution("boto3").locate_file("")))
    for name in RUNTIME:
        (folder / "runtime" / name).symlink_to(site / name)
