"""Tables and queues from a CloudFormation template: the file and its parameters come in, boto3 makes them.

The same file defines them on AWS, so there is no second list. Of the template language it knows Ref of a parameter,
Fn::Sub of parameters, and Fn::GetAtt of a queue's Arn: what the supporting stack uses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True)
class Stack:
    """A template with its parameters' values."""

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    region: str

    @classmethod
    def read(cls, path: Path, parameters: Mapping[str, str], region: str) -> "Stack":
        """The stack in this file; parameters not given take the template's defaults."""
        template = json.loads(path.read_text())
        defaults = {name: each.get("Default", "") for name, each in template.get("Parameters", {}).items()}
        return cls(template, defaults | dict(parameters), region)

    def create(self, dynamodb: Any, sqs: Any) -> None:
        """Make every table and queue of the template."""
        for properties in self._of_type("AWS::DynamoDB::Table"):
            dynamodb.create_table(**_table(properties))
            if expiry := properties.get("TimeToLiveSpecification"):
                dynamodb.update_time_to_live(TableName=properties["TableName"], TimeToLiveSpecification=expiry)
        for properties in self._of_type("AWS::SQS::Queue"):
            sqs.create_queue(QueueName=properties.pop("QueueName"), Attributes=_attributes(properties))

    def _of_type(self, kind: str) -> list[dict[str, Any]]:
        resources = self.template["Resources"].values()
        return [self._resolved(each["Properties"]) for each in resources if each["Type"] == kind]

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "Fn::Sub" in value:
            return re.sub(r"\$\{(\w+)\}", lambda match: self.parameters[match[1]], value["Fn::Sub"])
        if "Ref" in value:
            return self.parameters[value["Ref"]]
        if "Fn::GetAtt" in value:
            return self._arn(value["Fn::GetAtt"][0])
        return {name: self._resolved(each) for name, each in value.items()}

    def _arn(self, resource: str) -> str:
        name = self._resolved(self.template["Resources"][resource]["Properties"]["QueueName"])
        return f"arn:aws:sqs:{self.region}:{ACCOUNT}:{name}"


def _table(properties: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {name: properties[name] for name in wanted if name in properties}


def _attributes(properties: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in properties.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else str(value)
