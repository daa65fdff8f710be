"""Licences: packages come in, those whose licence is not among the allowed ones go out."""

import re
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, metadata

from infra.supply.locks import Package

LicenceOf = Callable[[str], str]


def installed_licence(name: str) -> str:
    """What the installed package says of itself; nothing when it is not installed or silent."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return ""
    classified = [each for each in told.get_all("Classifier") or [] if each.startswith("License ::")]
    names = [each.split(" :: ")[-1] for each in classified]
    said = [told.get_all("License-Expression"), [" AND ".join(names)] if names else None, told.get_all("License")]
    return next((each[0] for each in said if each), "")


def not_allowed(packages: Iterable[Package], allowed: frozenset[str], licence_of: LicenceOf) -> list[str]:
    """One line for each package under a licence that nobody has agreed to, or under none that it names."""
    found = ((each.name, licence_of(each.name)) for each in packages)
    return [f"{name}: {licence or 'names no licence'}" for name, licence in found if not is_allowed(licence, allowed)]


def is_allowed(licence: str, allowed: frozenset[str]) -> bool:
    """Every part of the licence; of alternatives one is enough."""
    choices = [re.split(r" AND ", each) for each in re.split(r" OR ", licence)]
    return any(all(part.strip(" ()") in allowed or part in allowed for part in parts) for parts in choices)
