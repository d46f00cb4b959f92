#!/usr/bin/env python3
"""kill -9 at random moments of nodes, chain and clients while messages are being stored.

Usage: test_kill.py BIN

SES_CYCLES sets the number of kills (20), of which 25 at a time share their people. After each round:
every message that was seen stored is fetched and opened, from the nodes as they are and again after
they were started anew; every store is whole; memory and descriptors are back. At the end all rounds
once more.
"""
import sys
import time

from world import LENIENT, Load, Tap, World, judge, say, seeded, setting

CYCLES = setting("SES_CYCLES", 20)
ROUND = 25
NODES = 5
rng = seeded(SES_CYCLES=CYCLES)


def victims(world, load):
    """Mostly nodes, alone or together; sometimes all of them at once."""
    kind = rng.choices(["node", "nodes", "all nodes", "chain", "client", "everything"],
                       [40, 15, 10, 15, 15, 5])[0]
    if kind == "node":
        return kind, [rng.choice(world.nodes)]
    if kind == "nodes":
        return kind, rng.sample(world.nodes, rng.randint(2, NODES - 1))
    if kind == "all nodes":
        return kind, list(world.nodes)
    if kind == "chain":
        return kind, [world.chain_proc]
    if kind == "client":
        return kind, [load.proc]
    return kind, [*world.procs, load.proc]


def cycle(world, load, counts):
    """The wait before the kill begins when a message was stored: the load runs, then."""
    load.wait_stored(1)
    time.sleep(rng.uniform(0, 0.6))
    kind, targets = victims(world, load)
    for proc in targets:
        proc.kill()
    counts[kind] = counts.get(kind, 0) + 1
    time.sleep(rng.uniform(0, 0.8))
    for proc in targets:
        proc.start()
    if rng.random() < 0.3:  # and again while it reads its disk, whenever that is
        time.sleep(rng.uniform(0, 0.15))
        for proc in targets:
            proc.kill()
            proc.start()


def kills(world):
    sizes, loads, counts, stored = world.sizes(), [], {}, 0
    for start in range(0, CYCLES, ROUND):
        load = Load(world)
        loads.append(load)
        load.start(rng.randrange(2**32))
        for _ in range(start, min(start + ROUND, CYCLES)):
            cycle(world, load, counts)
        stored += judge(world, load, sizes)
        say(f"{min(start + ROUND, CYCLES)} of {CYCLES} cycles: {counts}")
    for load in loads[:-1]:
        load.check()
    assert stored >= CYCLES, f"only {stored} messages were stored: the kills hit nothing"


def main():
    tap = Tap()
    with World(sys.argv[1], "--nodes", NODES, *LENIENT) as world:
        tap.run(f"{CYCLES} kills", kills, world)
    tap.done()


if __name__ == "__main__":
    main()
