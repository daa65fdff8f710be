"""Images of a Docker engine behind the builder's port: references come in, layers and new images go out."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from docker.errors import ImageNotFound

from infra.hostagent.engine.docker_client import connect, our_errors
from infra.hostagent.images.collection import HeldImage

COMMIT_SECONDS = 600.0
"""A gigabyte of tools on a slow disk."""


class DockerImages:
    """`building.ImageStore` and `collection.Shelf` over the engine's socket."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    def layers(self, reference: str) -> str | None:
        with our_errors():
            try:
                found = self._api().inspect_image(reference)
            except ImageNotFound:
                return None
        return hashlib.sha256(json.dumps(found["RootFS"].get("Layers") or []).encode()).hexdigest()

    def commit(self, engine_id: str, reference: str, labels: Mapping[str, str]) -> None:
        repository, _, tag = reference.partition(":")
        changes = [f"LABEL {name}={_quoted(value)}" for name, value in labels.items()]
        with our_errors():
            self._api().commit(engine_id, repository, tag, pause=False, changes=changes)

    def labels(self, reference: str) -> dict[str, str]:
        with our_errors():
            return dict(self._api().inspect_image(reference)["Config"]["Labels"] or {})

    def containers_named(self, prefix: str) -> list[str]:
        with our_errors():
            rows = self._api().containers(all=True, filters={"name": f"^/{prefix}"})
        return [str(row["Id"]) for row in rows]

    def held(self) -> list[HeldImage]:
        with our_errors():
            rows = self._api().images(all=True)
        return [HeldImage(str(row["Id"]), str(row.get("ParentId") or ""), _names(row)) for row in rows]

    def in_use(self) -> set[str]:
        with our_errors():
            return {str(row["ImageID"]) for row in self._api().containers(all=True)}

    def remove(self, name: str) -> None:
        with our_errors():
            try:
                self._api().remove_image(name)
            except ImageNotFound:
                return

    def _api(self) -> Any:
        if self._client is None:
            self._client = connect(self._url, math.ceil(COMMIT_SECONDS))
        return self._client


def _names(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in row.get("RepoTags") or [] if name != "<none>:<none>")


def _quoted(text: str) -> str:
    """As a build instruction takes it literally: it would put the image's variables in."""
    return json.dumps(text).replace("$", "\\$")
