"""moto's answers made quick: its classes come in, and what has its final form already is no longer taken apart.

moto looks up every member of every attribute of every row under a dozen names, and lists its own folders at every
request to find out which service is meant: three quarters of a read of one row.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from moto import backends
from moto.core.serialize import BaseJSONSerializer


def install() -> None:
    """For this process."""
    serializer: Any = BaseJSONSerializer
    serializer._serialize_type_structure = passing(serializer._serialize_type_structure)
    modules: Any = backends
    modules.list_of_moto_modules = functools.cache(lambda listed=modules.list_of_moto_modules: tuple(listed()))


def passing(serialize: Callable[..., None]) -> Callable[..., None]:
    """The same, but attribute values pass as they are."""

    def passed(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and final(value):
            serializer._default_serialize(serialized, value, shape, key)
        else:
            serialize(serializer, serialized, value, shape, key)

    return passed


def final(value: Any) -> bool:
    """Whether it is an attribute value as it goes over the wire; one with bytes in it, or moto's own, is not."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    match next(iter(value.items())):
        case "M", Mapping() as named:
            return all(map(final, named.values()))
        case "L", list() as listed:
            return all(map(final, listed))
        case "SS" | "NS", list() as texts:
            return all(isinstance(text, str) for text in texts)
        case ("S" | "N", str()) | ("BOOL" | "NULL", bool()):
            return True
    return False
