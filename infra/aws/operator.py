"""`python -m infra.aws.operator`: the operator's words come in, first users, hosts and tables of them go out.

It works on the deployment whose environment it is given (`BERTH_PREFIX`, AWS credentials), local or on AWS; JSON with
`--json` for programs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chalicelib import wiring
from chalicelib.domain import catalogue
from chalicelib.domain.identity import Scope

USER_SCOPES = (Scope.READ, Scope.WRITE, Scope.EXEC)


def create_user(parsed: argparse.Namespace) -> dict[str, Any]:
    """A new user with a first token, which is shown this once."""
    return wiring.tokens().first_of_user(parsed.tier, USER_SCOPES, parsed.name)


def enrol_host(parsed: argparse.Namespace) -> dict[str, Any]:
    """A host made known by the public half of its key."""
    wiring.hosts().enrol(parsed.host_id, parsed.public_key.read_text())
    return {"host_id": parsed.host_id, "enrolled": True}


def list_hosts(_parsed: argparse.Namespace) -> dict[str, Any]:
    """Every host that has reported, with what it offers and holds."""
    now = wiring.CLOCK.now()
    return {
        "hosts": [
            {
                "host_id": host.id,
                "takes_containers": host.placeable(now),
                "containers": host.reserved.containers,
                "reserved_share": round(host.fullness, 3),
                "engine": host.report.engine_version if host.report else None,
                "development": host.report.development if host.report else None,
                "last_heard": host.received_at.isoformat() if host.received_at else None,
            }
            for host in wiring.hosts().candidates()
        ]
    }


def drain_host(parsed: argparse.Namespace) -> dict[str, Any]:
    """No more containers for a host, or again."""
    wiring.hosts().drain(parsed.host_id, draining=not parsed.undo)
    return {"host_id": parsed.host_id, "draining": not parsed.undo}


def list_containers(parsed: argparse.Namespace) -> dict[str, Any]:
    """What runs, or is about to, on a host."""
    found = wiring.containers().on_host(parsed.host_id, limit=1000)
    return {
        "containers": [
            {"id": each.id, "user_id": each.user_id, "name": each.name, "status": each.status.value} for each in found
        ]
    }


def main() -> int:
    parsed = _parser().parse_args()
    result = parsed.work(parsed)
    if parsed.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        _show(result, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.aws.operator", description="Berth's operator.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    verbs = parser.add_subparsers(required=True)
    user = verbs.add_parser("create-user", help="a new user with a first token")
    user.add_argument("--tier", choices=sorted(catalogue.tiers()), default="free")
    user.add_argument("--name", default="first token", help="what the token is called in lists")
    user.set_defaults(work=create_user)
    enrol = verbs.add_parser("enrol-host", help="make a host known")
    enrol.add_argument("host_id")
    enrol.add_argument("--public-key", type=Path, required=True, help="file that `infra.hostagent keygen` printed")
    enrol.set_defaults(work=enrol_host)
    drain = verbs.add_parser("drain-host", help="take no more containers on a host")
    drain.add_argument("host_id")
    drain.add_argument("--undo", action="store_true", help="take them again")
    drain.set_defaults(work=drain_host)
    running = verbs.add_parser("list-containers", help="what runs on a host")
    running.add_argument("host_id")
    running.set_defaults(work=list_containers)
    verbs.add_parser("list-hosts", help="hosts and what they hold").set_defaults(work=list_hosts)
    return parser


def _show(result: dict[str, Any], console: Console) -> None:
    rows = result.get("hosts", result.get("containers"))
    if rows is None:
        for name, value in result.items():
            console.print(f"[bold]{name:14}[/] {value}", highlight=False, soft_wrap=True)
        return
    table = Table(*(name.replace("_", " ") for name in rows[0])) if rows else Table("nothing")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
