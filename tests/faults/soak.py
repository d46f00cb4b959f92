#!/usr/bin/env python3
"""Ten nodes under load for MINUTES (30), and a table that tells whether anything grows.

Usage: soak.py BIN

The wall clocks of all processes run faster (libfaketime), so that five hours pass in 30 minutes or more:
messages live one hour, their logs go away after one to two, and epochs turn over. In less than 30
minutes fewer hours pass, because epochs of less than 30 s are too short for ten nodes on a small
machine; then the disk, of which nothing may have gone away yet, is shown and not judged. What is
measured is judged by its peaks: those of the last third of the time may not stand above those of the
third before it, but for a tolerance that the last lines name. Exit code 1 if anything grew.
"""
import glob
import os
import sys
import threading
import time

from world import Load, World, leave_on_term, say, seeded, setting

MINUTES = setting("MINUTES", 30)
NODES, PEOPLE, THREADS, PERIOD_MS, SAMPLE_S = 10, 48, 8, 2000, 10
LONG = 30  # minutes, in which five hours pass
SPEED = 300 / max(MINUTES, LONG)
rng = seeded(MINUTES=MINUTES)
# name, unit, growth that is allowed: share, and absolute
COLUMNS = [("node memory, mean", "MiB", 0.05, 3), ("node memory, most", "MiB", 0.08, 4),
           ("chain memory", "MiB", 0.10, 6), ("client memory", "MiB", 0.10, 8),
           ("descriptors, most", "", 0.05, 4), ("logs", "MiB", 0.15, 2),
           ("indexes", "MiB", 0.15, 2), ("node databases", "MiB", 0.15, 2)]
DISK = ("logs", "indexes", "node databases")


class Clock(threading.Thread):
    """The wall clock of all that is started from here on runs SPEED times as fast."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not library:
            sys.exit("libfaketime is not installed: tools/bootstrap")
        self.file, self.begin = folder / "offset", time.monotonic()
        self.set()
        os.environ.update({"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": str(self.file),
                           "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                           "NO_FAKE_STAT": "1"})
        self.start()

    def hours(self):
        return (time.monotonic() - self.begin) * SPEED / 3600

    def set(self):
        offset = (time.monotonic() - self.begin) * (SPEED - 1)
        new = self.file.with_suffix(".new")
        new.write_text(f"+{offset:.3f}\n")
        new.rename(self.file)

    def run(self):
        while self.file.parent.exists():
            try:
                self.set()
            except OSError:
                return  # the folder is being removed
            time.sleep(0.05)


def mib(folder, *patterns):
    total = 0
    for pattern in patterns:
        for path in folder.glob(pattern):
            try:
                total += path.stat().st_size
            except OSError:
                pass  # expired meanwhile
    return total / 2**20


def sample(world, load):
    memory = [node.rss() for node in world.nodes]
    return [sum(memory) / NODES, max(memory), world.chain_proc.rss(), load.proc.rss(),
            max(node.fds() for node in world.nodes), mib(world.net, "node-*/data/seg/*/*.log"),
            mib(world.net, "node-*/data/idx/*"), mib(world.net, "node-*/data/meta.db*")]


def row(*cells):
    print("  ".join(f"{cell:>17}" for cell in cells), flush=True)


def measure(world, load, clock):
    """Samples over the time given, with a line of the table a minute."""
    samples, begin, before = [], time.monotonic(), load.stored()
    row("minute (hour)", "stored (a second)", *[name for name, *_ in COLUMNS])
    while (gone := time.monotonic() - begin) < MINUTES * 60:
        time.sleep(SAMPLE_S)
        assert load.proc.alive(), f"the load ended: {load.proc.tail()}"
        for proc in world.procs:
            assert proc.alive(), f"{proc.name} ended: {proc.tail()}"
        samples.append(sample(world, load))
        if len(samples) % (60 // SAMPLE_S) == 0:
            stored = load.stored()
            row(f"{gone / 60:.0f} ({clock.hours():.1f})", f"{stored} ({(stored - before) / 60:.0f})",
                *[f"{value:.1f}" for value in samples[-1]])
            before = stored
    return samples


def judge(samples):
    third = len(samples) // 3
    bad = 0
    print("\npeaks of the second and the last third of the time:")
    for i, (name, unit, share, absolute) in enumerate(COLUMNS):
        was = max(s[i] for s in samples[third:2 * third])
        now = max(s[i] for s in samples[2 * third:])
        flat = now <= was * (1 + share) + absolute
        judged = MINUTES >= LONG or name not in DISK
        bad += judged and not flat
        word = "flat" if flat else "GROWS" if judged else f"grows, not judged in less than {LONG} minutes"
        print(f"  {name:20} {was:9.1f} -> {now:9.1f} {unit:4} {word}"
              f"   (up to {share:.0%} and {absolute} {unit} more are allowed)")
    return bad == 0


def main():
    leave_on_term()
    world = World(sys.argv[1], "--nodes", NODES, "--epoch-seconds", 300, "--swarm-target", 10)
    clock = Clock(world.dir)
    with world:
        load = Load(world, PEOPLE)
        load.start(rng.randrange(2**32), THREADS, PERIOD_MS)
        samples = measure(world, load, clock)
        load.stop()
        result = load.proc.tail().strip().splitlines()[-1]
        say(f"the load: {result}")
        flat = judge(samples)
    print("soak: " + ("flat" if flat else "something grows"))
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
