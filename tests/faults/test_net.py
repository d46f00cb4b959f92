#!/usr/bin/env python3
"""Partitions, loss, delay, repetition and reordering between nodes under load.

Usage: test_net.py BIN

Each node has a network namespace of its own; all packets pass through tests/faults/wire.c. SES_CYCLES
sets the number of faults (8). Chain and clients stand at one place of their own. Afterwards all that
tests/faults/world.py judges.
"""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from world import LIBC, Load, Skip, Tap, World, judge, say, seeded, setting, wait_for

CYCLES = setting("SES_CYCLES", 8)
HOLD_MAX = 3 if CYCLES < 100 else 15
NODES = 5
CLONE_NEWNET = 0x40000000
rng = seeded(SES_CYCLES=CYCLES)


class Wire:
    """Place 0 is this test's (with chain and clients), place i that of node i."""

    def __init__(self, bin_dir):
        for need in ("ip", "nsenter"):
            if shutil.which(need) is None:
                raise Skip(f"{need} is not installed")
        tool = Path(bin_dir).resolve().parent / "tests" / "faults" / "wire"
        self.child = subprocess.Popen([tool, str(NODES + 1), str(rng.randrange(2**63))],
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

    def heal(self):
        self.rule("*", "*")

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=20)


def address(i):
    return f"10.77.0.{i + 1}"


class Spread(World):
    """Set up at place 0, which has everybody's address then; started each at its own place."""

    def __init__(self, bin_dir, wire):
        super().__init__(bin_dir, "--nodes", NODES, "--first-address", address(0))
        self.wire = wire
        for i in range(1, NODES + 1):
            subprocess.run(["ip", "address", "add", f"{address(i)}/32", "dev", "lo"], check=True)

    def place(self):
        for i, node in enumerate(self.nodes, 1):
            subprocess.run(["ip", "address", "del", f"{address(i)}/32", "dev", "lo"], check=True)
            node.prefix = ["nsenter", f"--net={self.wire.places[i]}"]


def fault(wire):
    """One fault of the network and the nodes without which the swarm has no quorum any more."""
    kind = rng.choice(["one node cut off", "one-way cut", "halves", "members cut in pairs", "loss",
                       "loss of all", "slow and out of order", "chain out of reach"])
    one = rng.randint(1, NODES)
    others = [i for i in range(NODES + 1) if i != one]
    if kind == "one node cut off":
        for i in others:
            wire.rule(one, i, loss=1000)
            wire.rule(i, one, loss=1000)
    elif kind == "one-way cut":  # it hears, and is not heard by the other nodes
        for i in others[1:]:
            wire.rule(one, i, loss=1000)
    elif kind == "halves":
        part = rng.sample(range(1, NODES + 1), 2)
        for a in part:
            for b in range(1, NODES + 1):
                if b not in part:
                    wire.rule(a, b, loss=1000)
                    wire.rule(b, a, loss=1000)
    elif kind == "members cut in pairs":
        for _ in range(3):
            a, b = rng.sample(range(1, NODES + 1), 2)
            wire.rule(a, b, loss=1000)
    elif kind == "loss":
        for i in others:
            wire.rule(one, i, loss=300, twice=100)
            wire.rule(i, one, loss=300, twice=100)
    elif kind == "loss of all":
        wire.rule("*", "*", loss=rng.randint(10, 100), twice=50)
    elif kind == "slow and out of order":
        wire.rule("*", "*", delay=rng.randint(1, 150), jitter=rng.randint(1, 60), loss=5, twice=20)
    else:
        for i in range(1, NODES + 1):
            wire.rule(i, 0, loss=700)
    return kind


def faults(world):
    wire, sizes, load, counts = world.wire, world.sizes(), Load(world), {}
    load.start(rng.randrange(2**32))
    for _ in range(CYCLES):
        load.wait_stored(2)
        kind = fault(wire)
        counts[kind] = counts.get(kind, 0) + 1
        if kind in ("one node cut off", "one-way cut", "loss", "slow and out of order"):
            load.wait_stored(3)  # a quorum is there: stores go on
        time.sleep(rng.uniform(0.2, HOLD_MAX))
        wire.heal()
    say(f"faults: {counts}")
    judge(world, load, sizes)


def delays_are_felt(world):
    """The wire does what it is told: else nothing above says anything."""
    def seconds():
        start = time.monotonic()
        world.nodes[0].call("sessiond.status", timeout=20)
        return time.monotonic() - start
    seconds()
    world.wire.rule(0, 1, delay=700)
    slow = seconds()
    world.wire.rule(0, 1, loss=1000)
    try:
        world.nodes[0].call("sessiond.status", timeout=2)
        cut = False
    except OSError:
        cut = True
    world.wire.heal()
    assert slow >= 1.4 and cut, (slow, cut)  # a handshake and a request
    wait_for(lambda: world.is_ready(world.nodes[0]))


def main():
    tap = Tap()
    try:
        wire = Wire(sys.argv[1])
    except Skip as why:
        def skip():
            raise why
        tap.run("faults of the network", skip)
        tap.done()
    try:
        wire.enter(0)
        with Spread(sys.argv[1], wire) as world:
            tap.run("the wire obeys", delays_are_felt, world)
            tap.run(f"{CYCLES} faults of the network", faults, world)
    finally:
        wire.close()
    tap.done()


if __name__ == "__main__":
    main()
