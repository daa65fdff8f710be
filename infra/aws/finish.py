"""What `chalice deploy` cannot say: deployed functions and APIs come in, their limits and refusals are set.

`merge.json` says the same to CloudFormation; both take it from `gateway_responses.json` and `limits.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.aws.template import CALL_AGENTS, FUNCTIONS, QUEUES, function_name, read

STAGE = "api"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What Chalice has deployed, as its state file tells."""

    resources: Sequence[dict[str, Any]]

    def one(self, kind: str) -> dict[str, Any]:
        """The one resource of this type."""
        [found] = [each for each in self.resources if each["resource_type"] == kind]
        return found

    def mapping(self, queue: str) -> str:
        """The identifier of the mapping that reads this queue."""
        mappings = [each for each in self.resources if each["resource_type"] == "sqs_event"]
        [found] = [each["event_uuid"] for each in mappings if each["queue"] == queue]
        return str(found)

    @property
    def rest_url(self) -> str:
        return str(self.one("rest_api")["rest_api_url"]).rstrip("/")

    @property
    def socket_url(self) -> str:
        return str(self.one("websocket_api")["websocket_api_url"]).rstrip("/")


@dataclass(frozen=True, slots=True)
class Network:
    """Where the functions that call agents reach them."""

    subnets: Sequence[str]
    security_groups: Sequence[str]


@dataclass(frozen=True, slots=True)
class Finish:
    """Clients of the services that functions and APIs live in."""

    apigateway: Any
    apigatewayv2: Any
    awslambda: Any
    prefix: str

    def run(self, deployed: Deployed, network: Network | None) -> None:
        """Set everything; running it again changes nothing."""
        limits = read("limits.json")
        self._rest(deployed.one("rest_api")["rest_api_id"], limits["rest"])
        self._sockets(deployed.one("websocket_api")["websocket_api_id"], limits["sockets"])
        for name, queue in QUEUES.items():
            mapping = deployed.mapping(f"{self.prefix}-{queue.lower()}.fifo")
            self._mapping(mapping, limits["most_at_once"][FUNCTIONS[name]])
        if network is not None:
            self._join(network)

    def _rest(self, api: str, throttle: dict[str, int]) -> None:
        for kind, response in read("gateway_responses.json").items():
            status = {"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}
            self.apigateway.put_gateway_response(
                restApiId=api,
                responseType=kind,
                responseParameters=response["ResponseParameters"],
                responseTemplates=response["ResponseTemplates"],
                **status,
            )
        self.apigateway.create_deployment(restApiId=api, stageName=STAGE)
        values = {"throttling/rateLimit": throttle["rate"], "throttling/burstLimit": throttle["burst"]}
        changes = [{"op": "replace", "path": f"/*/*/{name}", "value": str(value)} for name, value in values.items()]
        tracing = {"op": "replace", "path": "/tracingEnabled", "value": "true"}
        self.apigateway.update_stage(restApiId=api, stageName=STAGE, patchOperations=[*changes, tracing])

    def _sockets(self, api: str, throttle: dict[str, int]) -> None:
        """Chalice makes routes anew at every deployment but deploys them at the first alone."""
        self.apigatewayv2.create_deployment(ApiId=api, StageName=STAGE)
        route = {"ThrottlingRateLimit": throttle["rate"], "ThrottlingBurstLimit": throttle["burst"]}
        self.apigatewayv2.update_stage(ApiId=api, StageName=STAGE, DefaultRouteSettings=route)

    def _mapping(self, mapping: str, most_at_once: int) -> None:
        self.awslambda.update_event_source_mapping(
            UUID=mapping,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": most_at_once},
        )

    def _join(self, network: Network) -> None:
        for name in CALL_AGENTS:
            self.awslambda.update_function_configuration(
                FunctionName=function_name(self.prefix, FUNCTIONS[name]),
                VpcConfig={"SubnetIds": list(network.subnets), "SecurityGroupIds": list(network.security_groups)},
            )
