"""The host's own key: a data folder comes in, the private key (made at the first call) goes out."""

import os
from pathlib import Path

from chalicelib.contract.signatures import new_private_key

_NAME = "host-key.pem"


def host_key(data: Path) -> str:
    """The private key, PEM; readable by its owner alone."""
    path = data / _NAME
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_private_key())
    return path.read_text()
