"""`python -m infra.aws.operator`: the operator's words come in, first users, hosts and tables of them go out.

It works on the deployment whose environment it is given (`BERTH_PREFIX`, AWS credentials), local or on AWS; JSON with
`--json` for programs.
"""

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from chalicelib import wiring
from chalicelib.contract.signatures import public_key_of
from chalicelib.contract.terminals import relay_key
from chalicelib.domain import catalogue
from chalicelib.domain.differences import Difference
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Scope

_FOR_PROGRAMS = ("takes_containers", "development", "runtimes")
USER_SCOPES = (Scope.READ, Scope.WRITE, Scope.EXEC)


def create_user(parsed: argparse.Namespace) -> dict[str, Any]:
    """A new user with a first token, which is shown this once."""
    return wiring.tokens().first_of_user(parsed.tier, USER_SCOPES, parsed.name)


def enrol_host(parsed: argparse.Namespace) -> dict[str, Any]:
    """A host made known by the public half of its key."""
    wiring.hosts().enrol(parsed.host_id, parsed.public_key.read_text())
    return {"host_id": parsed.host_id, "enrolled": True}


def relay_keys(parsed: argparse.Namespace) -> dict[str, Any]:
    """Two files for a relay of terminals: neither can sign anything."""
    parsed.folder.mkdir(parents=True, exist_ok=True)
    public, shared = parsed.folder / "control-key.pub", parsed.folder / "relay.key"
    public.write_text(public_key_of(wiring.control_private_key()))
    shared.touch(mode=0o600)
    shared.write_text(relay_key(wiring.control_private_key()))
    return {"public_key": str(public), "relay_key": str(shared)}


def list_hosts(_parsed: argparse.Namespace) -> dict[str, Any]:
    """Every enrolled host, how it is, and what it holds."""
    now = wiring.CLOCK.now()
    return {"hosts": [_host(host, now) for host in sorted(wiring.ledger().hosts(), key=lambda each: each.id)]}


def _host(host: Host, now: datetime) -> dict[str, Any]:
    report = host.report
    return {
        "host_id": host.id,
        "state": host_state(host, now),
        "takes_containers": host.placeable(now),
        "containers": host.reserved.containers,
        "reserved_share": round(host.fullness, 3),
        "engine": report.engine_version if report else None,
        "development": report.development if report else None,
        "runtimes": report.runtimes if report else None,
        "disk_limited": report.disk_limited if report else None,
        "last_heard": host.received_at.isoformat(timespec="seconds") if host.received_at else None,
    }


def host_state(host: Host, now: datetime) -> str:
    """One word for an operator, with `dev` for an engine not fit for strangers, `disk-unlimited` for what that says."""
    if host.report is None:
        return "never heard"
    marks = (" dev" if host.report.development else "") + ("" if host.report.disk_limited else " disk-unlimited")
    if host.silent(now):
        return f"silent{marks}"
    if not host.report.engine_up:
        return f"engine down{marks}"
    return f"{'draining' if host.draining or host.report.draining else 'up'}{marks}"


def drain_host(parsed: argparse.Namespace) -> dict[str, Any]:
    """No more containers for a host, or again."""
    wiring.hosts().drain(parsed.host_id, draining=not parsed.undo)
    return {"host_id": parsed.host_id, "draining": not parsed.undo}


def list_containers(parsed: argparse.Namespace) -> dict[str, Any]:
    """What runs, or is about to, and where: on one host, or on all."""
    if parsed.host_id:
        found = wiring.containers().on_host(parsed.host_id, limit=1000)
    else:
        found = [record for record in wiring.ledger().records() if record.live]
    return {
        "containers": [
            {
                "id": each.id, "user_id": each.user_id, "name": each.name, "status": each.status.value,
                "host": each.host_id,
            }
            for each in sorted(found, key=lambda each: (each.host_id or "", each.created_at))
        ]
    }  # fmt: skip


def audit(parsed: argparse.Namespace) -> dict[str, Any]:
    """Records, counters, names, reservations, logs and engine containers compared; differences are a failure."""
    report = wiring.audit().run(repair=parsed.repair)
    if parsed.metrics:
        report.measure(wiring.metrics_on(sys.stderr))
    rows = [("mended", each) for each in report.mended] + [("defect", each) for each in report.defects]
    return {
        "compared": report.counts,
        "hosts_unseen": list(report.unseen),
        "differences": [_difference(verdict, each) for verdict, each in [*rows, *(("young", x) for x in report.young)]],
        "failed": bool(report.defects or report.mended),
    }


def dead_letters(parsed: argparse.Namespace) -> dict[str, Any]:
    """Messages that were given up; sent back with `--redrive`, which is safe: an old message does nothing."""
    now = wiring.CLOCK.now()
    found = []
    for queue in ("commands", "events"):
        letters = wiring.dead_letter_box(queue)
        found += letters.redrive() if parsed.redrive else letters.listed()
    return {
        "redriven" if parsed.redrive else "dead_letters": [
            {
                "id": letter.id,
                "queue": letter.queue,
                "what": letter.what,
                "reason": letter.reason,
                "age_seconds": round((now - letter.sent_at).total_seconds()),
            }
            for letter in found
        ]
    }


def _difference(verdict: str, difference: Difference) -> dict[str, Any]:
    age = difference.age
    return {
        "verdict": verdict,
        "kind": difference.kind.value,
        "ids": " ".join(difference.ids),
        "expected": difference.expected,
        "found": difference.found,
        "age": None if age is None else round(age),
        "may_last": round(difference.bound),
    }


def main() -> int:
    parsed = _parser().parse_args()
    result = parsed.work(parsed)
    if parsed.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        _show(result, Console())
    return 1 if result.get("failed") else 0


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
    relay = verbs.add_parser("relay-keys", help="what a relay of terminals needs (it reads the control plane's key)")
    relay.add_argument("--folder", type=Path, required=True, help="where the two files go")
    relay.set_defaults(work=relay_keys)
    drain = verbs.add_parser("drain-host", help="take no more containers on a host")
    drain.add_argument("host_id")
    drain.add_argument("--undo", action="store_true", help="take them again")
    drain.set_defaults(work=drain_host)
    running = verbs.add_parser("list-containers", help="what runs where")
    running.add_argument("host_id", nargs="?", help="this host alone")
    running.set_defaults(work=list_containers)
    compare = verbs.add_parser("audit", help="compare all that is recorded with all that hosts hold (it scans)")
    compare.add_argument("--metrics", action="store_true", help="count differences on the error output, for CloudWatch")
    compare.add_argument("--repair", action="store_true", help="mend counters, names and reservations")
    compare.set_defaults(work=audit)
    dead = verbs.add_parser("dead-letters", help="messages that were given up")
    dead.add_argument("--redrive", action="store_true", help="send them back to their queues")
    dead.set_defaults(work=dead_letters)
    verbs.add_parser("list-hosts", help="hosts and what they hold").set_defaults(work=list_hosts)
    return parser


def _show(result: dict[str, Any], console: Console) -> None:
    for name, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            console.print(_table(name, value))
        elif isinstance(value, dict):
            console.print(f"[bold]{name:14}[/] {', '.join(f'{count} {what}' for what, count in value.items())}")
        elif name != "failed":
            text = ", ".join(value) or "none" if isinstance(value, list) else value
            console.print(f"[bold]{name:14}[/] {text}", highlight=False, soft_wrap=True)


def _table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Ids are folded, never cut; what `state` says already is left to JSON."""
    columns = [column for column in rows[0] if column not in _FOR_PROGRAMS]
    table = Table(title=name, title_justify="left", box=SIMPLE)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    return table


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    return str(value)[11:19] if column == "last_heard" else str(value)


if __name__ == "__main__":
    sys.exit(main())
