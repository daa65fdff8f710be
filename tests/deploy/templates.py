"""Templates in moto's CloudFormation, with what that leaves out: defaults, and which route table is a subnet's."""

import json
from pathlib import Path
from typing import Any

from infra.aws.deployment import FLEET
from tests.aws import Aws


def template_defaults(template: Path) -> dict[str, str]:
    """Parameters that have one. Only what was given is remembered as a previous value."""
    parameters = json.loads(template.read_text())["Parameters"]
    return {name: str(each["Default"]) for name, each in parameters.items() if "Default" in each}


def way_out(aws: Aws, subnet: str) -> dict[str, Any]:
    """The route for what no other is for, of a subnet of the fleet by its name in the template."""
    resources = json.loads(FLEET.read_text())["Resources"].values()
    associations = [each["Properties"] for each in resources if each["Type"] == "AWS::EC2::SubnetRouteTableAssociation"]
    [name] = [each["RouteTableId"]["Ref"] for each in associations if each["SubnetId"] == {"Ref": subnet}]
    made = aws.client("cloudformation").describe_stack_resource(StackName="berth-dev-hosts", LogicalResourceId=name)
    table = made["StackResourceDetail"]["PhysicalResourceId"]
    [found] = aws.client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
    [route] = [each for each in found["Routes"] if each.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return dict(route)
