"""Every handler of Berth: API Gateway, SQS and EventBridge come in, one sentence each says who deals with it.

Handlers stay in this file: Chalice 1.34 does not wrap queue and socket handlers of blueprints.
"""

import os

from chalice.app import Chalice, CloudWatchEvent, Response, SQSEvent, WebsocketEvent

from chalicelib import edge, start, wiring
from chalicelib.settings import prefix_from, queue_name

app = Chalice(app_name="berth", configure_logs=False)
app.experimental_feature_flags.update(["WEBSOCKETS"])
app.api.binary_types[:] = ["*/*"]
app.register_middleware(edge.invocations.around(wiring.metrics, wiring.tracer), "all")

ANY_TYPE = ["*/*"]
"""Chalice must not judge content types: the edge does, in the contract's words."""

PREFIX = prefix_from(os.environ)


@app.route("/containers", methods=["POST"], content_types=ANY_TYPE)
def create_container() -> Response:
    return edge.http.answer(app, edge.containers.create, wiring.api)


@app.route("/containers", methods=["GET"])
def list_containers() -> Response:
    return edge.http.answer(app, edge.containers.list_all, wiring.api)


@app.route("/containers/{container_id}", methods=["GET"])
def get_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.get, wiring.api)


@app.route("/containers/{container_id}", methods=["DELETE"])
def delete_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.delete, wiring.api)


@app.route("/containers/{container_id}/events", methods=["GET"])
def list_events(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.events, wiring.api)


@app.route("/containers/{container_id}/start", methods=["POST"], content_types=ANY_TYPE)
def start_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.start, wiring.api)


@app.route("/containers/{container_id}/stop", methods=["POST"], content_types=ANY_TYPE)
def stop_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.stop, wiring.api)


@app.route("/containers/{container_id}/restart", methods=["POST"], content_types=ANY_TYPE)
def restart_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.restart, wiring.api)


@app.route("/containers/{container_id}/exec", methods=["POST"], content_types=ANY_TYPE)
def run_command(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.execute, wiring.api)


@app.route("/containers/{container_id}/stats", methods=["GET"])
def measure_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.stats, wiring.api)


@app.route("/containers/{container_id}/files/list", methods=["GET"])
def list_folder(container_id: str) -> Response:
    return edge.http.answer(app, edge.files.list_folder, wiring.api)


@app.route("/containers/{container_id}/files", methods=["GET"])
def read_file(container_id: str) -> Response:
    return edge.http.answer(app, edge.files.read, wiring.api)


@app.route("/containers/{container_id}/files", methods=["POST"], content_types=ANY_TYPE)
def write_file(container_id: str) -> Response:
    return edge.http.answer(app, edge.files.write, wiring.api)


@app.route("/containers/{container_id}/files", methods=["DELETE"])
def remove_file(container_id: str) -> Response:
    return edge.http.answer(app, edge.files.remove, wiring.api)


@app.route("/containers/{container_id}/files/mkdir", methods=["POST"], content_types=ANY_TYPE)
def make_folder(container_id: str) -> Response:
    return edge.http.answer(app, edge.files.make_folder, wiring.api)


@app.route("/containers/{container_id}/terminal", methods=["POST"], content_types=ANY_TYPE)
def open_terminal(container_id: str) -> Response:
    return edge.http.answer(app, edge.terminals.admit, wiring.api)


@app.route("/terminals/check", methods=["POST"], content_types=ANY_TYPE)
def check_terminal() -> Response:
    return edge.http.answer(app, edge.terminals.check, wiring.api)


@app.route("/containers/{container_id}/settings", methods=["PATCH"], content_types=ANY_TYPE)
def change_container(container_id: str) -> Response:
    return edge.http.answer(app, edge.containers.change, wiring.api)


@app.route("/tokens", methods=["POST"], content_types=ANY_TYPE)
def mint_token() -> Response:
    return edge.http.answer(app, edge.tokens.mint, wiring.api)


@app.route("/tokens", methods=["GET"])
def list_tokens() -> Response:
    return edge.http.answer(app, edge.tokens.list_all, wiring.api)


@app.route("/tokens/{token_id}", methods=["DELETE"])
def revoke_token(token_id: str) -> Response:
    return edge.http.answer(app, edge.tokens.revoke, wiring.api)


@app.route("/tickets", methods=["POST"], content_types=ANY_TYPE)
def buy_ticket() -> Response:
    return edge.http.answer(app, edge.tokens.ticket, wiring.api)


@app.route("/auth/guest", methods=["POST"], content_types=ANY_TYPE)
def admit_guest() -> Response:
    return edge.http.answer(app, edge.tokens.guest, wiring.api)


@app.route("/images", methods=["GET"])
def list_images() -> Response:
    return edge.http.answer(app, edge.service_pages.images, wiring.api)


@app.route("/roles", methods=["GET"])
def list_roles() -> Response:
    return edge.http.answer(app, edge.service_pages.roles, wiring.api)


@app.route("/tiers", methods=["GET"])
def list_tiers() -> Response:
    return edge.http.answer(app, edge.service_pages.tiers, wiring.api)


@app.route("/health", methods=["GET"])
def health() -> Response:
    return edge.http.answer(app, edge.service_pages.health, wiring.api)


@app.route("/version", methods=["GET"])
def version() -> Response:
    return edge.http.answer(app, edge.service_pages.version, wiring.api)


@app.route("/openapi.json", methods=["GET"])
def openapi() -> Response:
    return edge.http.answer(app, edge.service_pages.openapi, wiring.api)


@app.route("/asyncapi.json", methods=["GET"])
def asyncapi() -> Response:
    return edge.http.answer(app, edge.service_pages.asyncapi, wiring.api)


@app.route("/docs", methods=["GET"])
def docs() -> Response:
    return edge.http.answer(app, edge.service_pages.docs, wiring.api)


@app.on_ws_connect()
def connect(event: WebsocketEvent) -> Response:
    return edge.sockets.connect(event, wiring.doorkeeper())


@app.on_ws_message()
def message(event: WebsocketEvent) -> None:
    edge.sockets.message(event, wiring.subscriptions())


@app.on_ws_disconnect()
def disconnect(event: WebsocketEvent) -> None:
    edge.sockets.disconnect(event, wiring.subscriptions())


@app.on_sqs_message(queue=queue_name(PREFIX, "commands"), batch_size=1)
def provision(event: SQSEvent) -> None:
    edge.queues.carry_out_commands(event, wiring.provisioning(), wiring.redelivery("commands"), wiring.metrics())


@app.on_sqs_message(queue=queue_name(PREFIX, "events"), batch_size=1)
def status(event: SQSEvent) -> None:
    edge.queues.record_events(event, wiring.status_writer(), wiring.redelivery("events"), wiring.metrics())


@app.schedule("rate(1 minute)")
def sweep(event: CloudWatchEvent) -> None:
    wiring.sweep().run()
    wiring.dead_letter_watch().run()
    wiring.fleet().run()
    wiring.leases().run(wiring.settings().sweep_seconds)


@app.on_sqs_message(queue=queue_name(PREFIX, "enrolments"), batch_size=1)
def enrol(event: SQSEvent) -> None:
    edge.queues.enrol_hosts(event, wiring.enrolments(), wiring.redelivery("enrolments"))


start.prepare(os.environ.get("_HANDLER", ""))
