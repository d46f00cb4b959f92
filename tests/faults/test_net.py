#!/usr/bin/env python3
"""Partitions, loss, delay, repetition and reordering between nodes under load.

Usage: test_net.py BIN

Each node has a network namespace of its own; all packets pass through tests/faults/wire.c. SES_CYCLES
sets the number of faults (8). Chain and clients stand at one place of their own. Afterwards all that
tests/faults/world.py judges.
"""
import sys
import time

from spread import Spread, Wire
from world import LENIENT, Load, Skip, Tap, judge, say, seeded, setting, wait_for

CYCLES = setting("SES_CYCLES", 8)
HOLD_MAX = 3 if CYCLES < 100 else 15
NODES = 5
rng = seeded(SES_CYCLES=CYCLES)


def fault(wire):
    """One fault of the network and the nodes without which the swarm has no quorum any more."""
    kind = rng.choice(["one node cut off", "one-way cut", "halves", "members cut in pairs", "loss",
                       "loss of all", "slow and out of order", "chain out of reach"])
    one = rng.randint(1, NODES)
    others = [i for i in range(NODES + 1) if i != one]
    if kind == "one node cut off":
        wire.cut(one, others)
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
        wire = Wire(sys.argv[1], NODES, rng)
    except Skip as why:
        def skip():
            raise why
        tap.run("faults of the network", skip)
        tap.done()
    try:
        wire.enter(0)
        with Spread(sys.argv[1], wire, NODES, *LENIENT) as world:
            tap.run("the wire obeys", delays_are_felt, world)
            tap.run(f"{CYCLES} faults of the network", faults, world)
    finally:
        wire.close()
    tap.done()


if __name__ == "__main__":
    main()
