#!/usr/bin/env bash
# A new Debian host: an unpacked bundle in /opt/berth and its settings in /etc/berth/host.env come in, a host that takes
# containers goes out. Every step may be run again.
set -euo pipefail
. /etc/berth/host.env
HERE=/opt/berth/infra/aws/hosts
export DEBIAN_FRONTEND=noninteractive PYTHONPATH=/opt/berth/packages:/opt/berth

tools() {
    apt-get update -q
    apt-get install -qy --no-install-recommends crun iptables nftables xfsprogs
}

# Docker's own packages; a machine image that has an engine keeps the one it has.
engine() {
    command -v dockerd > /dev/null && return
    install -m 0755 -d /etc/apt/keyrings
    curl -fsSL --retry 5 https://download.docker.com/linux/debian/gpg -o /etc/apt/keyrings/docker.asc
    . /etc/os-release
    echo "deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian $VERSION_CODENAME stable" \
        > /etc/apt/sources.list.d/docker.list
    apt-get update -q
    apt-get install -qy --no-install-recommends docker-ce docker-ce-cli containerd.io
}

# The second disk, for images and containers: xfs, since its project quotas bound what a container may write. Not `nodev`:
# the engine asks for quotas by a device file that it makes there, and bounds nobody where that cannot be opened.
data_root() {
    mountpoint -q /var/lib/docker && return
    systemctl stop docker.service docker.socket
    local disk
    disk=$(lsblk -dnpo NAME,TYPE,MOUNTPOINTS | while read -r name type mounts; do
        [ "$type" = disk ] && [ -z "$mounts" ] && [ -z "$(lsblk -no NAME "$name" | tail -n +2)" ] && echo "$name" && break
    done)
    [ -n "$disk" ] || { echo "no empty disk for /var/lib/docker" >&2; exit 1; }
    blkid "$disk" > /dev/null || mkfs.xfs -q -n ftype=1 "$disk"
    mkdir -p /var/lib/docker
    echo "UUID=$(blkid -s UUID -o value "$disk") /var/lib/docker xfs defaults,noatime,prjquota 0 2" >> /etc/fstab
    mount /var/lib/docker
}

settings() {
    install -m 0644 "$HERE/sysctl.conf" /etc/sysctl.d/60-berth.conf
    sysctl -q --system
    install -m 0755 -d /etc/docker
    install -m 0644 "$HERE/daemon.json" /etc/docker/daemon.json
    # the socket is in daemon.json: the unit of the package names one too, and the engine refuses to have both
    install -m 0755 -d /etc/systemd/system/docker.service.d
    printf '[Service]\nExecStart=\nExecStart=%s --containerd=/run/containerd/containerd.sock\n' "$(command -v dockerd)" \
        > /etc/systemd/system/docker.service.d/berth.conf
    systemctl daemon-reload
    systemctl disable -q --now docker.socket
    systemctl enable -q docker.service
    systemctl restart docker.service
}

agent() {
    install -m 0700 -d /var/lib/berth
    python3 -m infra.aws.hosts.enrol
    install -m 0644 "$HERE"/berth-*.service "$HERE"/berth-*.timer /etc/systemd/system/
    systemctl daemon-reload
    systemctl enable -q --now berth-agent.service berth-drain.service berth-control-key.timer
    for _ in $(seq 60); do
        curl -fs --max-time 2 "http://$BERTH_ADDRESS:7070/v1/health" > /dev/null && return
        sleep 2
    done
    echo "the agent does not answer" >&2
    exit 1
}

tools
engine
data_root
settings
agent
python3 -m infra.aws.hosts.lifecycle CONTINUE
