"""A whole machine under software emulation: a disk to boot from comes in, commands' output goes out.

It needs no virtualisation by hardware, so it runs wherever the tests do, some ten times slower than the machine itself.
Its second disk is empty, as the launch template's is. Outside, it reaches what the test machine reaches, and the test
machine itself at `OUTSIDE`.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from infra.ground.packages import Say, ensure_programs, find
from infra.ground.ports import unclaimed_port
from infra.local.processes import Child
from tests.aws import ROOT
from tests.fleet.debian import MACHINE_MAC, METADATA_MAC, Debian

ADDRESS = "10.0.2.15"
OUTSIDE = "10.0.2.2"
MEMORY_MB = 4096
PROCESSORS = 2
DATA_BYTES = 20 * 1024**3
BOOT_SECONDS = 300
COMMAND_SECONDS = 600


def outside(url: str) -> str:
    """An address on this side's loopback, as the machine reaches it."""
    return url.replace("127.0.0.1", OUTSIDE)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has run on the machine: its output with its errors, and how it ended."""

    output: str
    exit_code: int


class Machine:
    """One machine; what it writes is gone with it."""

    def __init__(self, debian: Debian, folder: Path, metadata: Path, port: int, say: Say, more: Path | None) -> None:
        """`port` of the machine is `self.port` here; `more` is a third disk."""
        ensure_programs(["qemu-system-x86_64", "ssh"], say)
        self._debian = debian
        self._folder = folder
        self._more = more
        self._ssh_port = unclaimed_port()
        self.port = unclaimed_port()
        self._forward: Child | None = None
        with (folder / "data").open("wb") as data:
            data.truncate(DATA_BYTES)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = Child("machine", self._command(metadata, port), environment, folder / "qemu.log")

    @property
    def engine_url(self) -> str:
        """Where the machine's engine answers, once `forward_engine` has been called."""
        return f"unix://{self._folder}/docker.sock"

    def await_boot(self) -> None:
        """Return when it takes commands."""
        ends = time.monotonic() + BOOT_SECONDS
        while self._process.exit_code is None and time.monotonic() < ends:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self.run("true", seconds=20).exit_code == 0:
                    return
            time.sleep(1)
        raise AssertionError(f"the machine does not come up: {self._console()}")

    def run(self, command: str, content: str = "", seconds: float = COMMAND_SECONDS) -> Done:
        """Run it as root, with this as its input."""
        done = subprocess.run(
            [*self._ssh(), "root@127.0.0.1", command],
            input=content.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        return Done(done.stdout.decode(errors="replace"), done.returncode)

    def ask(self, command: str) -> str:
        """Its output without the last line's end; it has to succeed."""
        done = self.run(command)
        assert done.exit_code == 0, f"{command}: {done.output[-2000:]}"
        return done.output.rstrip("\n")

    def put(self, path: str, content: str) -> None:
        self.run(f"cat > {path}", content)

    def follow(self, command: str, say: Say, seconds: float) -> Done:
        """Run it as root and say its lines as they come."""
        lines: list[str] = []
        with subprocess.Popen(
            [*self._ssh(), "root@127.0.0.1", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            over = threading.Timer(seconds, process.kill)
            over.start()
            for line in process.stdout or ():
                lines.append(line)
                say(line.rstrip("\n"))
            over.cancel()
        return Done("".join(lines), process.returncode)

    def reboot(self) -> None:
        """As after a loss of power: nothing is asked to end."""
        before = self.ask("cat /proc/sys/kernel/random/boot_id")
        self.run("nohup sh -c 'sleep 1; echo b > /proc/sysrq-trigger' > /dev/null 2>&1 &")
        time.sleep(2)
        self.await_boot()
        assert self.ask("cat /proc/sys/kernel/random/boot_id") != before

    def forward_engine(self) -> None:
        """Have its engine's socket here."""
        self.stop_forwarding()
        socket = self._folder / "docker.sock"
        socket.unlink(missing_ok=True)
        command = [*self._ssh(), "-N", "-L", f"{socket}:/var/run/docker.sock", "root@127.0.0.1"]
        self._forward = Child("forward", command, os.environ, self._folder / "forward.log")
        ends = time.monotonic() + 30
        while not socket.exists() and time.monotonic() < ends:
            time.sleep(0.1)

    def stop_forwarding(self) -> None:
        if self._forward is not None:
            self._forward.stop()

    def stop(self) -> None:
        self.stop_forwarding()
        self._process.kill()

    def _ssh(self) -> list[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10", "LogLevel=ERROR")
        words = [word for each in options for word in ("-o", each)]
        return [find("ssh") or "ssh", "-i", str(self._debian.key), "-p", str(self._ssh_port), *words]

    def _command(self, metadata: Path, port: int) -> list[str]:
        forwards = f"hostfwd=tcp:127.0.0.1:{self._ssh_port}-:22,hostfwd=tcp:127.0.0.1:{self.port}-:{port}"
        program = f"{sys.executable} -m tests.fleet.metadata {metadata}"
        service = f"guestfwd=tcp:169.254.169.254:80-cmd:{program}"
        return [
            find("qemu-system-x86_64") or "qemu-system-x86_64", "-nodefaults", "-display", "none",
            "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(PROCESSORS),
            "-m", str(MEMORY_MB), "-serial", f"file:{self._folder}/console.log",
            "-kernel", str(self._debian.kernel), "-initrd", str(self._debian.initrd),
            "-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off",
            "-drive", f"file={self._debian.disk},format=raw,if=virtio,snapshot=on,cache=unsafe",
            "-drive", f"file={self._folder}/data,format=raw,if=virtio,cache=unsafe,discard=unmap",
            *(["-drive", f"file={self._more},format=raw,if=virtio,snapshot=on,cache=unsafe"] if self._more else []),
            "-netdev", f"user,id=machine,{forwards}", "-device", f"virtio-net-pci,netdev=machine,mac={MACHINE_MAC}",
            "-netdev", f"user,id=metadata,net=169.254.169.0/24,host=169.254.169.2,{service}",
            "-device", f"virtio-net-pci,netdev=metadata,mac={METADATA_MAC}",
        ]  # fmt: skip

    def _console(self) -> str:
        texts = [file.read_text(errors="replace")[-1500:] for file in self._folder.glob("*.log")]
        return "\n".join(texts)
