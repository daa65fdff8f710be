"""A CloudFormation stack: a template and parameters come in, the stack is as they say, or gone, when it returns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from infra.aws.errors import DeployError

_WAITING = {"Delay": 5, "MaxAttempts": 240}
_CAPABILITIES = ["CAPABILITY_IAM"]


@dataclass(frozen=True, slots=True)
class CloudStack:
    """One stack by its name."""

    cloudformation: Any
    name: str

    def put(self, template: Path, parameters: Mapping[str, str]) -> dict[str, str]:
        """Create or update it and wait; its outputs. Parameters not given keep the values they have."""
        arguments = {
            "StackName": self.name,
            "TemplateBody": template.read_text(),
            "Capabilities": _CAPABILITIES,
        }
        if self.exists():
            self._update(arguments, self._kept(template, parameters))
        else:
            self.cloudformation.create_stack(**arguments, Parameters=_given(parameters), OnFailure="DELETE")
            self._wait("stack_create_complete")
        return self.outputs()

    def _update(self, arguments: dict[str, Any], parameters: list[dict[str, Any]]) -> None:
        try:
            self.cloudformation.update_stack(**arguments, Parameters=parameters)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return
            raise DeployError(f"stack {self.name} cannot be updated: {error}") from error
        self._wait("stack_update_complete")

    def _kept(self, template: Path, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """The parameters given, and all others that both the stack and the template have, as they are."""
        had = {each["ParameterKey"] for each in self._described()["Parameters"]}
        known = json.loads(template.read_text())["Parameters"]
        kept = sorted((had & set(known)) - set(parameters))
        return [*_given(parameters), *({"ParameterKey": name, "UsePreviousValue": True} for name in kept)]

    def exists(self) -> bool:
        """Whether there is such a stack."""
        try:
            self._described()
        except ClientError as error:
            if "does not exist" in str(error):
                return False
            raise
        return True

    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        return {each["OutputKey"]: each["OutputValue"] for each in self._described().get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The stack's parameters by name."""
        return {each["ParameterKey"]: each["ParameterValue"] for each in self._described().get("Parameters", [])}

    def delete(self) -> None:
        """Delete it and wait; what its template retains stays."""
        self.cloudformation.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")

    def _described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        return found

    def _wait(self, state: str) -> None:
        try:
            self.cloudformation.get_waiter(state).wait(StackName=self.name, WaiterConfig=_WAITING)
        except WaiterError as error:
            raise DeployError(f"stack {self.name} did not come to {state}: {self._reason()}") from error

    def _reason(self) -> str:
        """The first failure that the stack tells of."""
        try:
            events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        except ClientError:
            return "it is gone; look at its events in the console"
        failed = [each for each in reversed(events) if each["ResourceStatus"].endswith("FAILED")]
        return f"{failed[0]['LogicalResourceId']}: {failed[0].get('ResourceStatusReason')}" if failed else "no reason"


def _given(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
