#!/usr/bin/env bash
# Waits until the group wants this machine gone, then stops the relay: it tells its clients to connect again (1012) while
# the load balancer still carries their connections, and sends them to the others.
set -euo pipefail
METADATA=http://169.254.169.254/latest

wanted() {
    local token
    token=$(curl -fs --max-time 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$METADATA/api/token") || return
    curl -fs --max-time 2 -H "X-aws-ec2-metadata-token: $token" "$METADATA/meta-data/autoscaling/target-lifecycle-state"
}

until [ "$(wanted)" = Terminated ]; do
    sleep 5
done
systemctl stop berth-relay.service
