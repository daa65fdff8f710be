"""The fleet's subnets in moto: one comes in by its name in the template, its route to everywhere goes out."""

import json
from typing import Any

from infra.aws.deployment import FLEET
from tests.aws import Aws


def way_out(aws: Aws, subnet: str) -> dict[str, Any]:
    """The route for what no other is for. Which table is a subnet's, moto's CloudFormation tells nobody."""
    resources = json.loads(FLEET.read_text())["Resources"].values()
    associations = [each["Properties"] for each in resources if each["Type"] == "AWS::EC2::SubnetRouteTableAssociation"]
    [name] = [each["RouteTableId"]["Ref"] for each in associations if each["SubnetId"] == {"Ref": subnet}]
    made = aws.client("cloudformation").describe_stack_resource(StackName="berth-dev-hosts", LogicalResourceId=name)
    table = made["StackResourceDetail"]["PhysicalResourceId"]
    [found] = aws.client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
    [route] = [each for each in found["Routes"] if each.get("DestinationCidrBlock") == "0.0.0.0/0"]
    return dict(route)
