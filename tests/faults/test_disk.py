#!/usr/bin/env python3
"""Disks that are lost, and full to the last byte, while messages are being stored.

Usage: test_disk.py BIN

The disk of one node is replaced by an empty one: it gets everything from the others. Then one is full,
then those of all; SES_CYCLES sets how often each (2). A node whose disk is full refuses and goes on
serving; killed and started then, it runs or says what is missing. Stores go on over the other nodes;
when there is room again, everything does. Afterwards all that tests/faults/world.py judges.
"""
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

from world import (LENIENT, Load, Skip, Tap, World, judge, own_mounts, say, seeded, setting,
                   small_disk, wait_for)

CYCLES = setting("SES_CYCLES", 2)
SIZE = f"{600 + 100 * CYCLES}m"  # above the nodes' mark (512 MiB) there is room for what they store
rng = seeded(SES_CYCLES=CYCLES)


def move(world, node, disk):
    """The node's directory goes to `disk`; a link stays."""
    node.stop()
    old = world.net / node.name
    subprocess.run(["cp", "-a", old, disk], check=True)
    subprocess.run(["rm", "-rf", old], check=True)
    old.symlink_to(disk / node.name)
    node.start()


def fill(disk):
    """To the last byte, while nodes write too: any step may be the one that finds no room."""
    for name, size in ("filler", 1 << 20), ("filler2", 4096):
        try:
            with open(disk / name, "wb", buffering=0) as f:
                while True:
                    f.write(bytes(size))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error


def empty(disk):
    for name in ("filler", "filler2"):
        (disk / name).unlink(missing_ok=True)


def status_of(world, load, node):
    """What a put of a stranger to this node is answered."""
    someone = (load.dir / "people").read_text().split()[0]
    return world.raw(world.node_ids[node.name], "put", someone, 100)["status"]


def starts_or_explains(node):
    """With a full disk: it serves, or it ended with a word about space."""
    time.sleep(1)
    if not node.alive():
        assert "space" in node.tail(), node.tail()


def one_full(world, load, node, disk):
    fill(disk)
    load.wait_stored(5)
    wait_for(lambda: status_of(world, load, node) == "disk-low", lambda: node.tail())
    node.kill()
    node.start()
    starts_or_explains(node)
    load.wait_stored(5)
    empty(disk)
    if not node.alive():
        node.start()
    wait_for(lambda: status_of(world, load, node) == "ok", lambda: node.tail())


def one_disk(world, disk):
    sizes, load, node = world.sizes(), Load(world), rng.choice(world.nodes)
    move(world, node, disk)
    world.wait_ready()
    load.start(rng.randrange(2**32), period_ms=50)
    for _ in range(CYCLES):
        one_full(world, load, node, disk)
    judge(world, load, sizes)


def all_full(world, load, disk):
    fill(disk)
    before = load.stored()
    wait_for(lambda: status_of(world, load, world.nodes[0]) == "disk-low")
    time.sleep(rng.uniform(0, 3))
    say(f"{load.stored() - before} messages were stored while the disk filled up")
    for node in rng.sample(world.nodes, 2):
        node.kill()
    empty(disk)
    world.start_all()
    load.wait_stored(10)


def all_disks(world, disk):
    sizes, load = world.sizes(), Load(world)
    for node in world.nodes:
        move(world, node, disk)
    world.wait_ready()
    load.start(rng.randrange(2**32), period_ms=50)
    for _ in range(CYCLES):
        load.wait_stored(5)
        all_full(world, load, disk)
    judge(world, load, sizes)


def lost_disk(world):
    """The disk of one node is replaced by an empty one; its key was kept elsewhere."""
    sizes, load, node = world.sizes(), Load(world), rng.choice(world.nodes)
    load.start(rng.randrange(2**32))
    load.wait_stored(30)
    node.kill()
    subprocess.run(["rm", "-rf", world.net / node.name / "data"], check=True)
    load.wait_stored(5)
    node.start()
    load.wait_stored(5)
    judge(world, load, sizes)


def on_disk(test, world, name):
    disk = world.dir / name
    small_disk(disk, SIZE)
    try:
        test(world, disk)
    finally:
        for node in world.nodes:
            node.kill()
        for node in world.nodes:  # back to where there is room
            link = world.net / node.name
            if link.is_symlink():
                target = Path(os.readlink(link))
                empty(disk)
                link.unlink()
                subprocess.run(["cp", "-a", target, link], check=True)
        subprocess.run(["umount", "--lazy", disk], check=True)
        world.start_all()


def main():
    tap = Tap()
    if not own_mounts():
        def skip():
            raise Skip("no right to mount small disks")
        tap.run("full disks", skip)
        tap.done()
    with World(sys.argv[1], "--nodes", 5, *LENIENT) as world:
        tap.run("the disk of one node is lost", lost_disk, world)
        tap.run("the disk of one node is full", on_disk, one_disk, world, "one")
        tap.run("the disk of all nodes is full", on_disk, all_disks, world, "all")
    tap.done()


if __name__ == "__main__":
    main()
