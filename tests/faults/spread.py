"""A devnet whose nodes have a network namespace each, joined by tests/faults/wire.c."""
import os
import shutil
import subprocess
from pathlib import Path

from world import LIBC, Skip, World

CLONE_NEWNET = 0x40000000


class Wire:
    """Place 0 is this test's (with chain and clients), place i that of node i."""

    def __init__(self, bin_dir, nodes, rng):
        for need in ("ip", "nsenter"):
            if shutil.which(need) is None:
                raise Skip(f"{need} is not installed")
        tool = Path(bin_dir).resolve().parent / "tests" / "faults" / "wire"
        self.child = subprocess.Popen([tool, str(nodes + 1), str(rng.randrange(2**63))],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        words = self.child.stdout.readline().split()
        if not words:
            code = self.child.wait()
            why = self.child.stderr.read().strip()
            if code == 77:
                raise Skip(f"no right to make network namespaces ({why})")
            raise RuntimeError(why)
        self.places = [f"/proc/{self.child.pid}/fd/{fd}" for fd in words[1:]]

    def enter(self, i):
        """Moves this process, and whatever it starts from here on."""
        fd = os.open(self.places[i], os.O_RDONLY)
        assert LIBC.setns(fd, CLONE_NEWNET) == 0
        os.close(fd)

    def rule(self, a, b, loss=0, delay=0, jitter=0, twice=0):
        """For packets from a to b; per thousand, and milliseconds."""
        self.child.stdin.write(f"{a} {b} {loss} {delay} {jitter} {twice}\n")
        self.child.stdin.flush()

    def cut(self, one, others):
        """Both ways."""
        for i in others:
            self.rule(one, i, loss=1000)
            self.rule(i, one, loss=1000)

    def heal(self):
        self.rule("*", "*")

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=20)


def address(i):
    return f"10.77.0.{i + 1}"


class Spread(World):
    """Set up at place 0, which has everybody's address then; started each at its own place."""

    def __init__(self, bin_dir, wire, nodes, *args):
        super().__init__(bin_dir, "--nodes", nodes, "--first-address", address(0), *args)
        self.wire = wire
        for i in range(1, nodes + 1):
            subprocess.run(["ip", "address", "add", f"{address(i)}/32", "dev", "lo"], check=True)

    def place(self):
        for i, node in enumerate(self.nodes, 1):
            subprocess.run(["ip", "address", "del", f"{address(i)}/32", "dev", "lo"], check=True)
            node.prefix = ["nsenter", f"--net={self.wire.places[i]}"]
