"""`python -m infra.supply`: the locks come in, what is wrong with them is told, and ends the gate."""

import datetime as dt
import sys
import time

from infra.supply.advisories import NotAsked, ask_pip_audit, known_of
from infra.supply.licences import installed_licence, not_allowed
from infra.supply.locks import DEVELOPMENT, LOCKS, PROJECT, NoLock, packages
from infra.supply.rules import Rules, read


def audit(rules: Rules) -> list[str]:
    """Every vulnerability that is not waived; a loud line when somebody could not be asked about something."""
    try:
        known = known_of(DEVELOPMENT, ask_pip_audit, time.time())  # which holds what is shipped: a test compares them
    except NotAsked as reason:
        sys.stdout.write(f"!!! NOT CHECKED for known vulnerabilities: {reason}\n")
        return []
    if known.unknown:
        first = ", ".join(known.unknown[:3])
        told = f"the advisory service knows nothing of {len(known.unknown)} packages ({first} ...)"
        sys.stdout.write(f"!!! NOT CHECKED for known vulnerabilities: {told}\n")
    today = dt.datetime.now(dt.UTC).date()
    return [str(each) for each in known.vulnerabilities if not rules.accepts(each.package, set(each.ids), today)]


def main() -> int:
    rules = read()
    try:
        everything = {each.name: each for lock in LOCKS for each in packages(lock)}
    except NoLock as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    foreign = not_allowed(everything.values(), rules.licences, installed_licence)
    wrong = [f"licence not in infra/supply/rules.toml: {line}" for line in foreign]
    wrong += [f"known vulnerability: {line}" for line in audit(rules)]
    for line in wrong:
        sys.stderr.write(f"error: {line}\n")
    names = ", ".join(str(lock.relative_to(PROJECT)) for lock in LOCKS)
    sys.stdout.write(
        f"{len(everything)} packages by their hashes, under allowed licences: {names}\n" if not wrong else ""
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
