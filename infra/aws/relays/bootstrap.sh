#!/usr/bin/env bash
# A new Debian machine: an unpacked bundle in /opt/berth and its settings in /etc/berth/relay.env come in, a relay behind
# the load balancer goes out. Every step may be run again; a test gives it other folders.
set -euo pipefail
ETC=${1:-/etc}
HERE=${2:-/opt/berth}/infra/aws/relays
. "$ETC/berth/relay.env"

parameter() {
    aws --region "$BERTH_REGION" ssm get-parameter --with-decryption --name "$1" --query Parameter.Value --output text
}

# Files that root alone reads; systemd hands them to the relay, which is nobody.
keys() (
    umask 077
    mkdir -p "$ETC/berth/keys"
    cd "$ETC/berth/keys"
    parameter "$BERTH_CONTROL_KEY_PARAMETER" > control-key.pub
    parameter "$BERTH_RELAY_KEY_PARAMETER" > relay.key
    # for the way from the load balancer, which does not ask who signed it
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$BERTH_INSTANCE" \
        -keyout tls.key -out tls.crt
)

relay() {
    install -m 0644 "$HERE/berth-relay.service" "$HERE/berth-relay-leave.service" "$ETC/systemd/system/"
    systemctl daemon-reload
    systemctl enable -q berth-relay.service berth-relay-leave.service
    systemctl restart berth-relay.service berth-relay-leave.service
    for _ in $(seq 30); do
        curl -fsk --max-time 2 https://127.0.0.1:8443/health > /dev/null && return
        sleep 2
    done
    echo "the relay does not answer" >&2
    exit 1
}

ready() {
    aws --region "$BERTH_REGION" autoscaling complete-lifecycle-action --auto-scaling-group-name "$BERTH_GROUP" \
        --lifecycle-hook-name launching --instance-id "$BERTH_INSTANCE" --lifecycle-action-result CONTINUE
}

keys
relay
ready
