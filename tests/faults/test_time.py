#!/usr/bin/env python3
"""Processes that stand still (SIGSTOP), and one node whose clock jumps (libfaketime), under load.

Usage: test_time.py BIN

SES_CYCLES sets the number of stops (8). With one of five nodes stopped, or with a wrong clock,
stores go on. Afterwards all that tests/faults/world.py judges.
"""
import glob
import signal
import sys
import time

from world import LENIENT, Load, Skip, Tap, World, judge, say, seeded, setting, wait_for

CYCLES = setting("SES_CYCLES", 8)
PAUSE_MAX = 3 if CYCLES < 100 else 20
rng = seeded(SES_CYCLES=CYCLES)


def stand_still(world, load):
    kind = rng.choices(["node", "nodes", "all nodes", "chain"], [45, 20, 15, 20])[0]
    targets = {"node": [rng.choice(world.nodes)], "nodes": rng.sample(world.nodes, 3),
               "all nodes": world.nodes, "chain": [world.chain_proc]}[kind]
    load.wait_stored(1)
    time.sleep(rng.uniform(0, 0.5))
    for proc in targets:
        proc.signal(signal.SIGSTOP)
    time.sleep(rng.uniform(0.1, PAUSE_MAX))
    if kind == "node":
        load.wait_stored(2)
    for proc in targets:
        proc.signal(signal.SIGCONT)
    return kind


def stops(world):
    sizes, load, counts = world.sizes(), Load(world), {}
    load.start(rng.randrange(2**32))
    for _ in range(CYCLES):
        kind = stand_still(world, load)
        counts[kind] = counts.get(kind, 0) + 1
    say(f"stops: {counts}")
    judge(world, load, sizes)


class Clock:
    """The wall clock of one node, by libfaketime; its monotonic clock stays right."""

    def __init__(self, world, node):
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not library:
            raise Skip("libfaketime is not installed")
        self.node, self.file = node, world.dir / "offset"
        self.set(0)
        node.kill()
        node.env = {"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": str(self.file),
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        node.start()

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)


def is_felt(world, load, node, offset):
    """The node refuses what is fresh, and says what it thinks the time is."""
    someone = (load.dir / "people").read_text().split()[0]
    got = world.raw(world.node_ids[node.name], "put", someone, 100)
    return got["status"] == "clock" and abs(got["time_ms"] / 1000 - time.time() - offset) < 60


def clocks(world):
    sizes, load, node = world.sizes(), Load(world), rng.choice(world.nodes)
    clock = Clock(world, node)
    world.wait_ready()
    load.start(rng.randrange(2**32))
    # with the last one its own copies have expired when it starts: it gets them from the others
    for offset in (12, -130, 600, -600, -rng.randint(200, 3600), rng.randint(200, 3600), 4 * 3600):
        clock.set(offset)
        if abs(offset) > 130:
            wait_for(lambda: is_felt(world, load, node, offset), lambda: f"{offset} s: not felt")
        load.wait_stored(5)
        if offset > 3600 or rng.random() < 0.5:
            node.kill()
            node.start()
            load.wait_stored(5)
    clock.set(0)
    world.wait_ready()
    judge(world, load, sizes)


def main():
    tap = Tap()
    with World(sys.argv[1], "--nodes", 5, *LENIENT) as world:
        tap.run(f"{CYCLES} stops", stops, world)
        tap.run("clock jumps of one node", clocks, world)
    tap.done()


if __name__ == "__main__":
    main()
