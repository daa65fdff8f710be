"""References that lead a host astray, for everything that takes one: none of them may be accepted."""

HOSTILE = [
    "127.0.0.1/x", "127.0.0.1:5000/x", "127.1/x", "127.0.0.1.nip.io/x", "0.0.0.0/x", "0/x:1@", "2130706433:80/x",
    "0x7f000001:80/x", "0177.0.0.1/x", "localhost/x", "localhost:5000/x", "LOCALHOST/x", "LocalHost:5000/x",
    "localhost.localdomain/x", "[::1]/x", "[::1]:5000/x", "[::ffff:127.0.0.1]/x", "[fd00:ec2::254]/x", "10.0.0.1/x",
    "10.0.0.1:443/x", "172.16.0.1/x", "192.168.1.1:5000/x", "169.254.169.254/x", "169.254.169.254/latest/meta-data",
    "169.254.170.2/v2/x", "100.64.0.1/x", "metadata.google.internal/x", "registry.local/x", "registry.internal/x",
    "registry.svc/x", "registry.default.svc.cluster.local/x", "registry:5000/x", "host.docker.internal/x",
    "gateway.docker.internal:5000/x", "kubernetes.default/x", "evil.example/x", "docker.io.evil.example/x",
    "ghcr.io.evil.example/x", "evil.example/ghcr.io/x", "ghcr.io:80/x", "ghcr.io:22/x", "ghcr.io:5000/x",
    "docker.io:8443/x", "GHCR.IO.evil.example/x", "user@ghcr.io/x", "user:pass@ghcr.io/x", "https://ghcr.io/x",
    "http://127.0.0.1/x", "//ghcr.io/x", "ghcr.io//x", "ghcr.io/../x", "../x", "./x", "/etc/passwd", "ghcr.io/x?y=1",
    "ghcr.io/x#y", "ghcr.io/x y", "ghcr.io/x\n", "ghcr.io/x\0", "ghcr.io/x\r\nHost: y", "ghcr.iо/x", "ｇｈｃｒ.io/x",
    "xn--ghcr-io/x.y:z@", "ghcr.io/X", "ghcr.io/x:", "ghcr.io/x@sha256:abc", "ghcr.io/x@md5:" + "0" * 32, "", " ",
    "a" * 256, "ghcr.io/" + "a/" * 130 + "a", "-x", "x-", "_x", "x:" + "t" * 129, "$(id)", "`id`", "x;y", "x|y", "x&y",
    "%2e%2e/x", "ghcr.io%2fx", "sha256:" + "0" * 64 + "@x",
    "berth-pin", "berth-pin:sha256-" + "a" * 64, "berth-pin/" + "0" * 32 + ":sha256-" + "a" * 64, "library/berth-pin:x",
    "docker.io/library/berth-pin:sha256-" + "a" * 64, "docker.io/berth-pin/x", "docker.io:443/berth-pin/x",
    "berth/role", "berth/role:" + "a" * 40, "docker.io/berth/role:x", "berth/holder:1", "sha256", "sha256:abcdef",
    "berth/holder@sha256:" + "0" * 64, "berth-pull-" + "0" * 32, "berth-pull-x/y", "library/berth-pull-x",
    "ghcr.io/berth-pull-" + "0" * 32, "sha256:" + "0" * 64, "library/sha256:ab", "docker.io/library/sha256:ab",
    "0" * 64, "library/" + "a" * 64,
]  # fmt: skip
