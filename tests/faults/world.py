"""A devnet whose processes are this test's own children, people who write to each other on it, and
what must hold when the faults are over.

Everything that a world started ends with it: a child dies with its parent (PR_SET_PDEATHSIG), also
when the test itself is killed.
"""
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from net import Net  # noqa: E402
from tap import Skip, Tap  # noqa: E402,F401

PATIENCE = 120  # seconds until a wait is a failure, never a measurement
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS = 0x00020000
# An instrumented program gives memory back soon, and lets libfaketime be loaded before its runtime.
os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [
    os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=4", "allocator_release_to_os_interval_ms=500",
    "verify_asan_link_order=0"]))


def seeded(**settings):
    """A generator from SES_TEST_SEED (else a new seed), with a line that says how to replay."""
    given = os.environ.get("SES_TEST_SEED", str(random.SystemRandom().randrange(2**32)))
    if not given.isdecimal():
        sys.exit(f"SES_TEST_SEED={given}: must be a number")
    seed = int(given)
    more = "".join(f" {name}={value}" for name, value in settings.items())
    print(f"# seed SES_TEST_SEED={seed}{more}", flush=True)
    return random.Random(seed)


def setting(name, default):
    """How many: a test that does nothing must not pass."""
    given = os.environ.get(name, str(default))
    if not given.isdecimal() or int(given) < 1:
        sys.exit(f"{name}={given}: must be a number from 1")
    return int(given)


def say(text):
    print(f"# {text}", flush=True)


def leave_on_term():
    """SIGTERM unwinds, so that `with` blocks clean up; orphans come to this process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_for(what, why=lambda: "", seconds=PATIENCE):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"waited {seconds} s in vain: {why()}"
        time.sleep(0.05)


def reap(pid):
    """The end of a process that came to this one as an orphan."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            done, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return not Path(f"/proc/{pid}").exists()
        if done == pid:
            return True
        time.sleep(0.02)
    return False


class Proc:
    """A program that can be started again and again; its output is appended to one log."""

    def __init__(self, name, argv, log, rpc=None):
        self.name, self.argv, self.log, self.rpc = name, [str(a) for a in argv], log, rpc
        self.prefix, self.env, self.child = [], {}, None

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(
                [*self.prefix, *self.argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.env},
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number):
        if self.alive():
            self.child.send_signal(number)

    def kill(self):
        """SIGKILL, and its end."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def stop(self, ask=True):
        """SIGTERM (unless it was asked before); the exit code. A second signal would mean "now"."""
        if ask:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
        try:
            return self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within 30 s of SIGTERM: {self.tail()}")

    def tail(self):
        return self.log.read_text(errors="replace")[-800:]

    def pid(self):
        return self.child.pid

    def rss(self):
        """MiB of memory."""
        for line in Path(f"/proc/{self.pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid()}/fd"))

    def call(self, method, timeout=5):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()
        request = urllib.request.Request(self.rpc, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)["result"]

    def metrics(self):
        """{name: value} of the metrics without labels."""
        with urllib.request.urlopen(self.rpc.replace("/rpc", "/metrics"), timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {a: float(b) for a, b in (line.split() for line in lines
                                         if not line.startswith("#") and "{" not in line)}


# For tests that hurt nodes for most of the time: nobody loses the seat or the stake for it.
LENIENT = ("--params", "missBps=1,seatLostMisses=168")


class World(Net):
    """`with World(bin, "--nodes", "5") as world:`; world.chain_proc and world.nodes can be hurt."""

    def __enter__(self):
        leave_on_term()
        super().__enter__()
        try:
            self.adopt()
        except BaseException:
            self.__exit__()
            raise
        return self

    def adopt(self):
        """The processes that devnet started are replaced by children of this one."""
        entries = self.status["processes"]
        for entry in reversed(entries):
            os.kill(entry["pid"], signal.SIGTERM)
        for entry in entries:
            assert reap(entry["pid"]), f"{entry['name']} did not end"
        listen = entries[0]["rpc"].split("//")[1].split("/")[0]
        self.chain_proc = Proc("chain", [
            self.bin / "sessionvm", "standalone", "--genesis", self.net / "genesis.json", "--data",
            self.net / "chain", "--rpc-listen", listen], self.net / "chain.log", entries[0]["rpc"])
        self.nodes = [Proc(e["name"], [self.bin / "sessiond", "--config",
                                       self.net / e["name"] / "sessiond.conf"],
                           self.net / f"{e['name']}.log", e["rpc"]) for e in entries[1:]]
        self.node_ids = {e["name"]: e["node_id"] for e in entries[1:]}
        self.procs = [self.chain_proc, *self.nodes]
        self.loads = []
        self.place()
        for proc in self.procs:
            proc.start()
        self.wait_ready()

    def place(self):
        """Hook: where the processes run."""

    def __exit__(self, *_):
        own = [load.proc for load in getattr(self, "loads", [])] + list(getattr(self, "nodes", []))
        for proc in own + ([self.chain_proc] if hasattr(self, "chain_proc") else []):
            proc.kill()
        super().__exit__()

    def is_ready(self, node):
        """Has its seat and is connected to all other members."""
        try:
            status = node.call("sessiond.status")
        except (OSError, ValueError, KeyError):
            return False
        return isinstance(status["swarm"], int) and all(x["open"] for x in status["links"])

    def wait_ready(self, nodes=None):
        for node in self.nodes if nodes is None else nodes:
            wait_for(lambda: self.is_ready(node),
                     lambda: f"{node.name} is not ready: {node.tail()}")

    def wait_same(self):
        """All members hold the same number of records: what one missed it got from the others."""
        def counts():
            return {node.name: node.call("sessiond.storage")["records"] for node in self.nodes}
        wait_for(lambda: len(set(counts().values())) == 1, lambda: str(counts()), 180)

    def start_all(self):
        for proc in self.procs:
            if not proc.alive():
                proc.start()
        self.wait_ready()

    def verify_stores(self):
        """Every node ends in order, its store is whole, and it starts again."""
        for node in self.nodes:
            node.signal(signal.SIGTERM)
        for node in self.nodes:
            code = node.stop(ask=False)
            assert code == 0, f"{node.name} ended with {code}: {node.tail()}"
        for node in self.nodes:
            run = subprocess.run([self.bin / "sessiond", "verify-store", *node.argv[1:]],
                                 capture_output=True, text=True, timeout=PATIENCE)
            assert run.returncode == 0, f"{node.name}: {run.stdout}{run.stderr}"
        self.start_all()

    def sizes(self):
        """{name: (MiB, descriptors)} of what runs."""
        return {p.name: (p.rss(), p.fds()) for p in self.procs}

    def sizes_are_back(self, before, mib=48, fds=16):
        """Polls, because connections of clients that left take some seconds to be closed."""
        if b"__asan_init" in (self.bin / "sessiond").read_bytes():
            mib *= 8  # shadow memory and red zones around everything
        def grown():
            return [f"{name}: {before[name][0]:.0f} -> {m:.0f} MiB, {before[name][1]} -> {f} fds"
                    for name, (m, f) in self.sizes().items()
                    if m > before[name][0] + mib or f > before[name][1] + fds]
        wait_for(lambda: not grown(), lambda: "; ".join(grown()), 60)


class Load:
    """tests/faults/load.c on a world: a number of people, and what they saw stored."""

    def __init__(self, world, people=12):
        self.world = world
        self.dir = world.dir / f"people-{len(world.loads)}"
        self.dir.mkdir()
        self.tool = world.bin.parent / "tests" / "faults" / "load"
        self.base = [self.tool, world.chain, self.dir]
        self.proc = Proc("load", [], self.dir / "log")
        world.loads.append(self)
        self.once("make", people)

    def once(self, *args):
        run = subprocess.run([*map(str, self.base), *map(str, args)], capture_output=True,
                             text=True, timeout=600)
        assert run.returncode == 0, f"load {args[0]}: {run.stdout[-300:]}{run.stderr[-1500:]}"
        return json.loads(run.stdout) if run.stdout else None

    def start(self, seed, threads=4, period_ms=0):
        self.proc.argv = [str(a) for a in [*self.base, "run", threads, seed, period_ms]]
        self.proc.start()

    def stored(self):
        """Lines of the journal: what was seen stored so far."""
        journal = self.dir / "journal"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def wait_stored(self, more, seconds=PATIENCE):
        goal = self.stored() + more
        wait_for(lambda: self.stored() >= goal or not self.proc.alive(), self.proc.tail, seconds)
        assert self.proc.alive(), f"the load ended: {self.proc.tail()}"

    def stop(self):
        """The exit code matters: it ends with 3 if a message opened to something else."""
        if self.proc.alive():
            self.wait_stored(1)  # one that has just been started would die of SIGTERM
            code = self.proc.stop()
            assert code == 0, f"load ended with {code}: {self.proc.tail()}"

    def settle(self):
        """Whatever was queued is delivered once the network is whole."""
        end = time.monotonic() + PATIENCE
        while (left := self.once("flush")["pending"]) > 0:
            assert time.monotonic() < end, f"{left} messages stay in the outbox"
            time.sleep(0.5)

    def check(self):
        """Every message seen stored is fetched with fresh profiles, and opens to what it said."""
        got = self.once("check")
        assert got["missing"] == got["wrong"] == got["failed"] == got["short_reads"] == 0, got
        return got


def judge(world, load, sizes):
    """After the faults. Twice: from running nodes, and from nodes that read their disks again."""
    world.start_all()
    load.stop()
    load.settle()
    first = load.check()
    begin = time.monotonic()
    world.wait_same()
    same_s = time.monotonic() - begin
    world.verify_stores()
    second = load.check()
    assert second["stored"] == first["stored"]
    world.sizes_are_back(sizes)
    say(f"{first['stored']} messages were seen stored; each was fetched and opened twice; "
        f"every node had every record {same_s:.0f} s later")
    return first["stored"]


def own_mounts():
    """Whatever is mounted from here on is seen by this test and its children only, and goes with
    them. False without the rights."""
    if LIBC.unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


def small_disk(path, size):
    """Mounts a tmpfs at `path`."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "session-test", path], check=True)
