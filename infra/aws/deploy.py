"""`python -m infra.aws.deploy up|down --stage dev`: a stage comes in, it is deployed and looked at, or gone.

Up: supporting stack, keys, functions and APIs by Chalice, what Chalice cannot say, alarms, relays of terminals when
they are asked for or there, first token, smoke test.
Running it again is an update. Down deletes all of it, tables included.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.bundle import AGENT, RELAY, Bundle
from infra.aws.deployment import Deployment, Pair
from infra.aws.errors import DeployError
from infra.aws.smoke import Smoke

LEAST_RELAYS = {"dev": "1", "prod": "2"}
"""At the first time, when nothing else is asked for."""

WHAT_IS_NEXT = {
    Pair.ANNOUNCED: "hosts     read the announced key within twelve minutes: then deploy with --use-next-keys",
    Pair.FOLLOWING: "keys      the old one is still taken: a deployment without options ends that",
    Pair.NEW: "hosts     still have the old key: have them read the new one (docs/operations.md)",
}


KEY_OPTIONS = (
    ("--next-keys", Pair.ANNOUNCED, "announce the next pair to hosts, and use it later"),
    ("--use-next-keys", Pair.FOLLOWING, "use the announced pair: nothing is refused meanwhile"),
    ("--new-keys", Pair.NEW, "a new pair at once: the private key may be known"),
)


def up(deployment: Deployment, parsed: argparse.Namespace) -> None:
    """Deploy, and see that it works."""
    whom = {"AlarmTopicArn": parsed.alarm_topic} if parsed.alarm_topic else {}
    deployed, first = deployment.up(whom, parsed.pair)
    token = deployment.first_token() if first else os.environ.get("BERTH_TOKEN")
    terminals = up_with_relays(deployment, parsed)
    deployment.say("smoke test")
    Smoke(deployed.rest_url, deployed.socket_url, token, terminals).run(deployment.say)
    deployment.say(f"REST       {deployed.rest_url}\nWebSocket  {deployed.socket_url}")
    if parsed.pair in WHAT_IS_NEXT and deployment.hosts_stack.exists():
        deployment.say(WHAT_IS_NEXT[parsed.pair])
    if first:
        deployment.say(f"token      {token}   (shown this once)")


def keys(deployment: Deployment, parsed: argparse.Namespace) -> None:
    """The keys alone, for a stage that a pipeline deploys from the packaged template."""
    deployment.say(deployment.keys(parsed.pair))


def hosts(deployment: Deployment, parsed: argparse.Namespace) -> None:
    """The fleet; sizes not given stay as they are."""
    sizes = {"ImageId": parsed.image, "MinHosts": parsed.min, "MaxHosts": parsed.max, "InstanceType": parsed.type}
    deployment.say("the agent's bundle")
    deployment.add_hosts(AGENT.build(), parsed.bucket, {name: value for name, value in sizes.items() if value})


def up_with_relays(
    deployment: Deployment, parsed: argparse.Namespace, build: Callable[[], Bundle] = RELAY.build
) -> str:
    """Relays too, when they are asked for or there; where they are, unless the name is new and not known everywhere."""
    known = deployment.terminals.url
    if parsed.terminals or known:
        relays(deployment, parsed, build)
    return known if known == deployment.terminals.url else ""


def relays(deployment: Deployment, parsed: argparse.Namespace, build: Callable[[], Bundle] = RELAY.build) -> None:
    """The relays of terminals; what is not given stays as it is."""
    wishes = relay_wishes(parsed, first=not deployment.terminals.url)
    deployment.say("the relay's bundle")
    made = deployment.add_relays(build(), wishes)
    deployment.say(f"terminals  {made['TerminalUrl']}   (the name leads to {made['Balancer']})")


def relay_wishes(parsed: argparse.Namespace, *, first: bool) -> dict[str, str]:
    """Parameters of the relays' template; what was not asked for is left out."""
    asked = {
        "DomainName": parsed.terminals, "CertificateArn": parsed.certificate, "HostedZoneId": parsed.zone,
        "Origins": parsed.origins, "ApiUrl": parsed.api, "MaxRelays": parsed.max, "InstanceType": parsed.type,
        "MinRelays": parsed.min or (LEAST_RELAYS[parsed.stage] if first else ""), "SessionManager": parsed.sessions,
        "BundleBucket": parsed.bucket,
    }  # fmt: skip
    return {name: value for name, value in asked.items() if value}


def down(deployment: Deployment, parsed: argparse.Namespace) -> None:
    """Delete the stage, if it is really meant."""
    if parsed.confirm != parsed.stage:
        raise DeployError(f"this deletes every table of {parsed.stage}: add CONFIRM={parsed.stage}")
    deployment.down()


def main() -> int:
    parsed = parser().parse_args()
    session: Any = boto3.Session()
    deployment = Deployment(session, parsed.stage, say=_say)
    try:
        account = session.client("sts").get_caller_identity()["Account"]
        _say(f"account {account}, region {session.region_name}")
        parsed.work(deployment, parsed)
    except (DeployError, ClientError, BotoCoreError, httpx.HTTPError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    all_of_it = argparse.ArgumentParser(prog="python -m infra.aws.deploy", description="Berth on AWS.")
    verbs = all_of_it.add_subparsers(required=True)
    deploy = _verb(verbs, "up", up, "deploy or update a stage")
    deploy.add_argument("--alarm-topic", default="", help="ARN of the SNS topic that alarms go to")
    _relay_options(deploy)
    deploy.set_defaults(api="", bucket="", min="", max="", type="", sessions="")
    pair = _verb(verbs, "keys", keys, "make the keys of a stage, if it has none, and print the public one")
    for each in (deploy, pair):
        each.set_defaults(pair=Pair.KEPT)
        which = each.add_mutually_exclusive_group()
        for option, wanted, told in KEY_OPTIONS:
            which.add_argument(option, dest="pair", action="store_const", const=wanted, help=told)
    fleet = _verb(verbs, "hosts", hosts, "deploy or update the fleet of hosts of a stage")
    fleet.add_argument("--bucket", required=True, help="S3 bucket for the agent's bundle")
    fleet.add_argument("--image", default="", help="id of a Debian 12 image (needed at the first time)")
    fleet.add_argument("--type", default="", help="instance type")
    fleet.add_argument("--min", default="", help="hosts at least")
    fleet.add_argument("--max", default="", help="hosts at most")
    carriers = _verb(verbs, "relays", relays, "deploy or update the relays of terminals alone")
    _relay_options(carriers)
    carriers.add_argument("--api", default="", help="base of the REST API, for a stage that a pipeline deploys")
    carriers.add_argument("--bucket", default="", help="S3 bucket for the relay's bundle, else the fleet's")
    carriers.add_argument("--type", default="", help="instance type")
    carriers.add_argument("--min", default="", help="relays at least")
    carriers.add_argument("--max", default="", help="relays at most")
    carriers.add_argument(
        "--sessions", default="", choices=["yes", "no"], help="Session Manager, where the image has it"
    )
    destroy = _verb(verbs, "down", down, "delete a stage with all its data")
    destroy.add_argument("--confirm", default="", help="the stage again: all its data is deleted")
    return all_of_it


def _verb(verbs: Any, name: str, work: Callable[..., None], told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=told)
    parser.add_argument("--stage", required=True, choices=["dev", "prod"])
    parser.set_defaults(work=work)
    return parser


def _relay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--terminals", default="", metavar="NAME", help="domain name of the relays of terminals")
    parser.add_argument("--certificate", default="", metavar="ARN", help="its certificate, of ACM in the same region")
    parser.add_argument("--zone", default="", help="Route 53 zone that is to have a record for the name")
    parser.add_argument("--origins", default="", help="origins of browsers' pages that may come, between spaces")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
