"""Chalice's command line, with what moto's server cannot take put into words it can; nothing else is changed.

moto imports OpenAPI 3 with a description alone, finds layers by name and number alone, and has no deployments of
WebSocket APIs.
"""

import sys
from typing import Any

from chalice.awsclient import TypedAWSClient
from chalice.cli import main as chalice
from chalice.deploy.swagger import SwaggerGenerator


def main() -> Any:
    base = SwaggerGenerator._BASE_TEMPLATE
    base.pop("swagger", None)
    base["openapi"] = "3.0.1"
    base["info"]["description"] = "Chalice"
    TypedAWSClient.deploy_websocket_api = lambda self, api_id: "not-on-moto"
    TypedAWSClient.get_layer_version = _layer
    return chalice()


def _layer(client: TypedAWSClient, layer_version_arn: str) -> Any:
    _, name, number = layer_version_arn.rsplit(":", 2)
    return client._client("lambda").get_layer_version(LayerName=name, VersionNumber=int(number))


if __name__ == "__main__":
    sys.exit(main())
