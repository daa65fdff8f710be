"""An application with one handler of every kind, for the local cloud's own tests."""

import json
import os
import time

import boto3
from chalice import Chalice, Response

from chalicelib import ANSWER

app = Chalice(app_name="sample")
app.experimental_feature_flags.update(["WEBSOCKETS"])
NOTES = os.environ["NOTES"]


def note(**fields):
    with open(NOTES, "a") as notes:
        notes.write(json.dumps(fields) + "\n")


def push(connection_id, text):
    client = boto3.client("apigatewaymanagementapi", endpoint_url=os.environ["BERTH_SOCKETS_ENDPOINT"])
    client.post_to_connection(ConnectionId=connection_id, Data=text.encode())


@app.route("/things/{name}", methods=["GET", "DELETE"])
def thing(name):
    request = app.current_request
    return {"kind": "parameter", "name": name, "query": request.to_original_event()["multiValueQueryStringParameters"]}


@app.route("/things/fixed")
def fixed():
    return {"kind": "static", "answer": ANSWER}


@app.route("/echo", methods=["POST"], content_types=["*/*"], cors=True)
def echo():
    event = app.current_request.to_original_event()
    return {
        "body": event["body"],
        "base64": event["isBase64Encoded"],
        "ip": event["requestContext"]["identity"]["sourceIp"],
    }


@app.route("/status/{code}")
def status(code):
    return Response({"made": int(code)}, status_code=int(code), headers={"X-Own": "yes", "X-Two": ["a", "b"]})


@app.route("/crash")
def crash():
    os._exit(3)


@app.route("/slow")
def slow():
    time.sleep(30)


@app.on_ws_connect()
def connect(event):
    if (event.to_dict().get("queryStringParameters") or {}).get("refuse"):
        return Response({"error": "no"}, status_code=401)
    return Response("", status_code=200, headers={"Sec-WebSocket-Protocol": "v1.sample"})


@app.on_ws_message()
def message(event):
    if event.body == "fail":
        raise ValueError("told to")
    push(event.connection_id, f"heard {event.body}")


@app.on_ws_disconnect()
def disconnect(event):
    note(disconnected=event.connection_id)


@app.on_sqs_message(queue="sample.fifo", batch_size=1)
def work(event):
    for record in event:
        raw = record.to_dict()
        body = json.loads(record.body)
        count = int(raw["attributes"]["ApproximateReceiveCount"])
        note(group=raw["attributes"]["MessageGroupId"], number=body["number"], count=count, at=time.time())
        if count <= body.get("failures", 0):
            sqs = boto3.client("sqs")
            url = sqs.get_queue_url(QueueName="sample.fifo")["QueueUrl"]
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=0)
            raise ValueError("told to fail")


@app.schedule("rate(1 minute)")
def tick(event):
    note(tick=event.source)
