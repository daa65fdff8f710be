"""Rows 2-5, 7-9, 34: what is the kernel's and the host's stays theirs."""

from tests.escape.attempts import BY_RIGHT, ENOSYS, EPERM, Call, all_of, called, refused, tried
from tests.limits.probes import Ground, Probe, Verdict, probe

KERNEL: list[Probe] = []

_NEWUSER, _NEWNS, _NEWNET, _NEWPID = 0x10000000, 0x20000, 0x40000000, 0x20000000
_SIGCHLD = 17
_EACCES, _ENXIO, _ENOENT, _EAFNOSUPPORT, _ESOCKTNOSUPPORT, _EPROTONOSUPPORT = 13, 6, 2, 97, 94, 93


@probe(2, "write and read /proc of the host", KERNEL)
def proc_of_the_host(ground: Ground) -> Verdict:
    """Settings of the whole machine are not written, and nothing of its memory, keys or timers is read."""
    writes = {
        name: f"echo 1 > /proc/{name}"
        for name in (
            "sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hostname", "sys/kernel/panic",
            "sys/vm/drop_caches", "sys/vm/overcommit_memory", "sys/vm/panic_on_oom", "sys/fs/file-max",
            "sys/net/ipv4/ip_forward", "sysrq-trigger", "irq/0/smp_affinity", "bus/pci/devices", "1/oom_score_adj_",
        )
    }  # fmt: skip
    reads = {
        name: f'test "$(head -c 64 /proc/{name} | wc -c)" -gt 0'
        for name in ("kcore", "keys", "timer_list", "kmsg", "sched_debug", "latency_stats", "vmallocinfo", "slabinfo")
    }
    reads["kallsyms with addresses"] = "grep -qv '^0*[0 ]' /proc/kallsyms"
    reads["sys/firmware"] = 'test -n "$(ls /sys/firmware)"'
    return all_of(refused(tried(ground, writes)), refused(tried(ground, reads)))


@probe(3, "write control groups and /sys", KERNEL)
def control_groups(ground: Ground) -> Verdict:
    """No limit is raised, no group made or joined, no release agent set, whatever the hierarchy's version."""
    shell = {
        "a limit": "for f in $(find /sys/fs/cgroup -name 'memory.max' -o -name '*limit_in_bytes' -o -name pids.max"
        " -o -name cpu.cfs_quota_us); do echo 999999999 > $f && exit 0; done; exit 1",
        "a group made": "for d in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mkdir $d/mine && exit 0; done;"
        " exit 1",
        "another group": "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 > $f && exit 0; done; exit 1",
        "release agent": "for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release);"
        " do echo /x > $f && exit 0; done; exit 1",
        "devices": "for f in $(find /sys/fs/cgroup -name devices.allow); do echo 'a *:* rwm' > $f && exit 0; done;"
        " exit 1",
        "uevent helper": "echo /x > /sys/kernel/uevent_helper",
        "huge pages": "echo never > /sys/kernel/mm/transparent_hugepage/enabled",
        "power": "echo mem > /sys/power/state",
        "anything writable": 'test -n "$(find /sys -type f -writable -print -quit)"',
    }
    return refused(tried(ground, shell))


@probe(4, "mount, unmount, move the root", KERNEL)
def mounts(ground: Ground) -> Verdict:
    """Nothing is mounted, no mask taken away."""
    made = "mkdir '/tmp/m';"
    calls = {
        "proc": Call("mount", '"proc", "/tmp/m", "proc", 0, 0', made),
        "tmpfs": Call("mount", '"none", "/tmp/m", "tmpfs", 0, 0', made),
        "overlay": Call("mount", '"o", "/tmp/m", "overlay", 0, "lowerdir=/etc,upperdir=/tmp,workdir=/var"', made),
        "bind": Call("mount", '"/", "/tmp/m", "", 4096, 0', made),
        "remount": Call("mount", '"", "/proc/sys", "", 32 | 4096, 0'),
        "shared": Call("mount", '"", "/", "", 1 << 20, 0'),
        "umount of a mask": Call("umount2", '"/proc/kcore", 2'),
        "umount of /proc/sys": Call("umount2", '"/proc/sys", 2'),
        "umount of /etc/hosts": Call("umount2", '"/etc/hosts", 2'),
        "pivot_root": Call("pivot_root", '"/", "/tmp"'),
        "fsopen": Call("fsopen", '"tmpfs", 0'),
        "open_tree": Call("open_tree", '-100, "/", 1'),
        "move_mount": Call("move_mount", '-100, "/proc", -100, "/tmp", 0'),
        "mount_setattr": Call("mount_setattr", '-100, "/", 0, "\\0" x 32, 32'),
    }
    return refused(called(ground, calls), BY_RIGHT)


@probe(5, "new namespaces", KERNEL)
def namespaces(ground: Ground) -> Verdict:
    """None is made or entered: a new user namespace would give back every capability in it."""
    kinds = {"user": _NEWUSER, "mount": _NEWNS, "network": _NEWNET, "process": _NEWPID}
    calls = {f"unshare {kind}": Call("unshare", str(flag)) for kind, flag in kinds.items()}
    calls |= {f"clone {kind}": Call("clone", f"{flag | _SIGCHLD}, 0, 0, 0, 0") for kind, flag in kinds.items()}
    calls["setns"] = Call("setns", "fileno(N), 0", 'open(N, "<", "/proc/1/ns/mnt");')
    clone3 = {"clone3": Call("clone3", "$a, length $a", f'my $a = pack "Q8", {_NEWUSER}, 0, 0, 0, {_SIGCHLD};')}
    shell = {"unshare program": "unshare -Ur true", "nsenter program": "nsenter -t 1 -m true"}
    return all_of(
        refused(called(ground, calls), [EPERM]),
        refused(called(ground, calls, user="1000"), [EPERM]),
        refused(called(ground, clone3), [ENOSYS]),
        refused(tried(ground, shell)),
    )


@probe(7, "sockets of other kinds", KERNEL)
def sockets(ground: Ground) -> Verdict:
    """Neither raw packets, nor the kernel's crypto, nor the way to the machine below; no network is configured."""
    families = {
        "packet": "17, 3, 768", "raw icmp": "2, 3, 1", "raw ip": "2, 3, 255", "alg": "38, 5, 0", "vsock": "40, 1, 0",
        "key": "15, 3, 2", "rds": "21, 5, 0", "tipc": "30, 1, 0", "can": "29, 3, 1", "bluetooth": "31, 3, 1",
        "xdp": "44, 3, 0", "kcm": "41, 5, 0", "smc": "43, 1, 0", "nfc": "39, 5, 0", "x25": "9, 5, 0",
    }  # fmt: skip
    lines = [
        f'$! = 0; print "{name} ", (socket(my $s, {numbers}) ? "DONE" : $! + 0), "\\n";\n'
        for name, numbers in families.items()
    ]
    lines.append(_NETLINK)
    output = ground.run(f"exec perl - 2>&1 <<'END'\n{''.join(lines)}END\n").output
    found = {label: int(code) if code.isdigit() else code for label, code in map(_split, output.splitlines())}
    assert set(found) == {*families, "netlink write"}, output
    return refused(found, {EPERM, _EACCES, _EAFNOSUPPORT, _ESOCKTNOSUPPORT, _EPROTONOSUPPORT})


_NETLINK = r"""
socket(my $n, 16, 3, 0) or print "netlink write ", $! + 0, "\n";
if ($n) {
  # RTM_NEWLINK with acknowledgement: the first card is to go down
  send($n, pack("L S S L L  C x S l L L", 32, 16, 5, 1, 0, 0, 0, 1, 0, 1), 0);
  recv($n, my $answer, 4096, 0);
  my $error = -unpack("x16 l", $answer);
  print "netlink write ", ($error || "DONE"), "\n";
}
"""


def _split(line: str) -> tuple[str, str]:
    label, _, code = line.rpartition(" ")
    return label, code


@probe(8, "keys, bpf, perf, io_uring, modules, kexec", KERNEL)
def system_calls(ground: Ground) -> Verdict:
    """Parts of the kernel with a history."""
    calls = {
        "add_key": Call("add_key", '"user", "name", "secret", 6, -3'),
        "keyctl": Call("keyctl", "0, -3, 1"),
        "request_key": Call("request_key", '"user", "name", 0, -3'),
        "bpf": Call("bpf", '5, "\\0" x 128, 128'),
        "perf_event_open": Call("perf_event_open", 'pack("L L x120", 1, 128), 0, -1, -1, 0'),
        "userfaultfd": Call("userfaultfd", "1"),
        "io_uring_setup": Call("io_uring_setup", '4, "\\0" x 120'),
        "kexec_load": Call("kexec_load", "0, 0, 0, 0"),
        "init_module": Call("init_module", '"x", 1, ""'),
        "finit_module": Call("finit_module", '0, "", 0'),
        "delete_module": Call("delete_module", '"ext4", 2048'),
        "open_by_handle_at": Call("open_by_handle_at", "fileno(R), $h, 0", _HANDLE),
        "process_vm_writev of 1": Call("process_vm_writev", "1, $v, 1, $v, 1, 0", _VECTOR),
        "acct": Call("acct", '"/tmp/acct"'),
        "syslog": Call("syslog", "3, $b, 64", 'my $b = "\\0" x 64;'),
    }
    return all_of(*(refused(called(ground, calls, user), BY_RIGHT) for user in ("0", "1000")))


_HANDLE = 'open(R, "<", "/etc/hosts"); my $h = pack("L l Q", 8, 1, 2);'
"""The handle of inode 2, the root of the file system that the host's files are on (shocker)."""
_VECTOR = 'my $x = "x" x 8; my $v = pack("P Q", $x, 8);'


@probe(9, "devices", KERNEL)
def devices(ground: Ground) -> Verdict:
    """None is made that means anything, none of the host's can be opened."""
    calls = {
        "mknod of a disk": Call("mknodat", _mknod("disk", 0o060600, 0x800)),
        "mknod of memory": Call("mknodat", _mknod("memory", 0o020600, 0x101)),
        "mknod of the kernel's log": Call("mknodat", _mknod("log", 0o020600, 0x10B)),
    }
    names = (
        "mem", "kmem", "kmsg", "port", "sda", "sda1", "vda", "nvme0n1", "loop0", "loop-control", "fuse", "kvm",
        "net/tun", "vsock", "vhost-net", "userfaultfd", "uinput", "mapper/control", "btrfs-control", "rtc0",
    )  # fmt: skip
    opened = {name: f"head -c 1 /dev/{name} || : >> /dev/{name} && test -c /dev/{name}" for name in names}
    return all_of(refused(called(ground, calls), {EPERM, _EACCES}), refused(tried(ground, opened)))


def _mknod(name: str, mode: int, device: int) -> str:
    return f'-100, "/tmp/{name}", {mode}, {device}'


@probe(34, "clock, names, swap, reboot", KERNEL)
def machine(ground: Ground) -> Verdict:
    """What concerns the whole machine."""
    calls = {
        "clock_settime": Call("clock_settime", '0, pack("q q", 1, 0)'),
        "settimeofday": Call("settimeofday", 'pack("q q", 1, 0), 0'),
        "reboot": Call("reboot", "0xfee1dead, 672274793, 0, 0"),
        "sethostname": Call("sethostname", '"other", 5'),
        "setdomainname": Call("setdomainname", '"other", 5'),
        "swapon": Call("swapon", '"/tmp/swap", 0'),
        "swapoff": Call("swapoff", '"/tmp/swap"'),
    }
    return refused(called(ground, calls), BY_RIGHT)
