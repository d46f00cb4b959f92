#!/usr/bin/env python3
"""One message end to end through the real programs, and everything that can be wrong with it.

Usage: test_spine.py BIN
"""
import glob
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Skip, Tap  # noqa: E402
from net import Failed, Net, refused  # noqa: E402

STRANGER = "07" + "ab" * 32


class Spine:
    """Tests on one network of twelve nodes in two swarms."""

    def __init__(self, net):
        self.net = net
        self.alice = self.bob = None

    def people(self):
        self.alice, self.bob = self.net.person("alice"), self.net.person("bob")
        assert len(self.alice) == 66 and self.alice.startswith("07")

    def send(self, text, *args, to=None):
        return self.net.session("send", to or self.bob, text, *self.net.profile("alice"), *args)[0]

    def receive(self, *args):
        return self.net.session("receive", *self.net.profile("bob"), *args)

    def text(self):
        sent = self.send("Hello", "--verify")
        assert sent["state"] == "stored" and sent["replicas"] >= sent["quorum"] == 5, sent
        got = self.receive()
        assert [(m["from"], m["text"]) for m in got] == [(self.alice, "Hello")], got
        assert self.receive() == [], "a message came twice"

    def outbox_text(self):
        """What a person reads: the id that a demand needs, and no empty answer."""
        sent = self.net.session("outbox", *self.net.profile("alice"))[0]
        lines = self.said("outbox", *self.net.profile("alice"))
        assert f"    id {sent['id']}" in lines and max(map(len, lines)) <= 100, lines
        assert self.said("outbox", *self.net.profile("bob")) == ["The outbox is empty."]

    def said(self, *args):
        run = subprocess.run([self.net.bin / "session", *map(str, args)], capture_output=True,
                             text=True, env=self.net.env, timeout=60, check=True)
        return run.stdout.splitlines()

    def file(self):
        source = self.net.dir / "file.bin"
        source.write_bytes(os.urandom(60_000))
        sent = self.net.session("send", self.bob, "--file", source, *self.net.profile("alice"))[0]
        assert sent["state"] == "stored", sent
        got = self.receive("--files", self.net.dir / "bob")
        assert Path(got[0]["path"]).read_bytes() == source.read_bytes()
        self.net.session("send", self.bob, "--file", source, *self.net.profile("alice"))
        with refused(1, "absent"):
            self.receive("--files", self.net.dir / "absent")
        kept = Path(self.receive()[0]["path"])
        assert kept.parent == self.net.dir / "bob" / "files", kept
        assert kept.read_bytes() == source.read_bytes()

    def stdin_binary(self):
        run = subprocess.run([self.net.bin / "session", "send", self.bob,
                              *map(str, self.net.profile("alice"))],
                             input=b"a\0b", capture_output=True, env=self.net.env, timeout=60)
        assert run.returncode == 2 and b"--file" in run.stderr, run.stderr

    def device(self):
        """A device behind --out is written to; root must not replace it."""
        card = self.net.dir / "device.card"
        self.net.session("id", "card", "--out", card, *self.net.profile("bob"))
        node = self.net.dir / "pipe"
        os.mkfifo(node)
        with subprocess.Popen(["cat", node], stdout=subprocess.PIPE) as reader:
            self.net.session("id", "card", "--out", node, *self.net.profile("bob"))
            got = reader.stdout.read()
        assert node.is_fifo() and len(got) == card.stat().st_size > 3000

    def swarms(self):
        nodes = self.net.session("nodes")[0]["nodes"]
        assert len(nodes) == 12 and len({n["owner"] for n in nodes}) == 12
        assert sorted(n["swarmId"] for n in nodes) == [0] * 6 + [1] * 6, nodes
        assert all(n["stake"] == "100000000000" for n in nodes)

    def audit(self):
        swarm = self.net.session("swarm", "--inbox", self.bob)[0]
        mine = self.net.session("audit", "swarm", "--id", self.bob, "--num-swarms", 2)[0]
        assert mine["swarm"] == swarm["swarmId"], (mine, swarm)

    def watch(self):
        command = [self.net.bin / "session", "receive", "--watch", "--json",
                   *map(str, self.net.profile("bob"))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.net.env) as watch:
            try:
                time.sleep(1)
                self.send("while watching")
                line = watch.stdout.readline()
            finally:
                watch.send_signal(signal.SIGINT)
            assert "while watching" in line, line
            assert watch.wait(timeout=10) == 0

    def seal_open(self):
        card, plain, sealed = (self.net.dir / n for n in ("bob.card", "plain", "sealed"))
        plain.write_bytes(os.urandom(5000))
        self.net.session("id", "card", "--out", card, *self.net.profile("bob"))
        for version in ([], ["--v0"]):
            self.net.session("seal", "--to", card, "--in", plain, "--out", sealed, *version,
                             *self.net.profile("alice"))
            out = self.net.dir / "opened"
            self.net.session("open", "--in", sealed, "--out", out, *version,
                             *self.net.profile("bob"))
            assert out.read_bytes() == plain.read_bytes()
            with refused(1, "cannot be opened"):
                self.net.session("open", "--in", sealed, "--out", out, *version,
                                 *self.net.profile("alice"))
            sealed.write_bytes(sealed.read_bytes()[:-7])
            with refused(1, "cannot be opened"):
                self.net.session("open", "--in", sealed, "--out", out, *version,
                                 *self.net.profile("bob"))

    def transfer(self):
        to = self.net.session("id", "show", *self.net.profile("bob"))[0]["account"]
        self.net.session("transfer", to, "12.5", *self.net.owner("faucet"))
        got = self.net.session("balance", to)[0]
        assert got["balance"] == "12500000000", got
        with refused(4, "13 LUX and the fee of 0.001 LUX exceed the balance of 12.5 LUX",
                     "--owner-file"):
            self.net.session("transfer", to, "13", *self.net.profile("bob"))
        for nothing in ("0", "0.000", "0nLUX"):
            with refused(2, "nothing was sent"):
                self.net.session("transfer", to, nothing, *self.net.profile("bob"))
        assert self.net.session("balance", to)[0]["balance"] == "12500000000"
        with refused(2, "LUX-"):
            self.net.session("transfer", to[:-1] + ("1" if to[-1] != "1" else "2"), "1",
                             *self.net.owner("faucet"))

    # ---- bad input ----

    def first_use(self):
        """A fresh home has none of the folders, and an option that is wrong leaves none behind."""
        home = self.net.dir / "home"
        home.mkdir()
        env = dict(self.net.env, HOME=str(home))
        env.pop("XDG_DATA_HOME", None)
        made = self.net.session("id", "new", "--no-passphrase", "--name", "first", env=env)[0]["id"]
        assert self.net.session("id", "show", env=env)[0]["id"] == made
        nowhere = self.net.dir / "nowhere"
        for command in (["verify"], ["receive"], ["demand", "ab" * 32]):
            with refused(3, f"id new --profile {nowhere}"):
                self.net.session(*command, "--profile", nowhere)
            assert not nowhere.exists(), f"{command} made a profile"
        with refused(2, "epoch-seconds"):
            self.net.session("devnet", "up", "--epoch-seconds", "1", env=env)
        assert not (home / ".local" / "share" / "session-devnet").exists()

    def bad_ids(self):
        with refused(2, "05"):
            self.send("x", to="05" + "ab" * 32)
        with refused(2, "66"):
            self.send("x", to="07abcd")
        with refused(2, "0-9"):
            self.send("x", to="07" + "zz" * 32)

    def unknown_recipient(self):
        with refused(3, "card"):
            self.send("x", to=STRANGER)
        assert not any(m["to"] == STRANGER for m in
                       self.net.session("outbox", *self.net.profile("alice")))

    def wrong_passphrase(self):
        right, wrong = self.net.dir / "right", self.net.dir / "wrong"
        right.write_text("correct horse\n")
        wrong.write_text("battery staple\n")
        wrong.chmod(0o600)
        carol = ["--profile", self.net.dir / "carol"]
        right.chmod(0o644)
        with refused(4, "chmod 600"):
            self.net.session("id", "new", *carol, "--passphrase-file", right)
        right.chmod(0o600)
        made = self.net.session("id", "new", *carol, "--passphrase-file", right)[0]["id"]
        with refused(4, "passphrase"):
            self.net.session("id", "export", *carol, "--passphrase-file", wrong)
        shown = self.net.session("id", "show", *carol)[0]["id"]  # public: no passphrase
        assert shown == made, "the identity was lost"
        old = self.net.dir / "old" / "identity"  # version 1 shows nothing: it has to be unlocked
        old.parent.mkdir(mode=0o700)
        old.write_bytes(b"SESVAULT" + bytes([1, 1, 1, 0]) + (1).to_bytes(4, "big") +
                        (8192).to_bytes(8, "big") + bytes(16 + 24 + 32 + 16))
        old.chmod(0o600)
        with refused(4, "--passphrase-file"):
            self.net.session("id", "show", "--profile", old.parent, prefix=("setsid", "--wait"))
        assert (self.net.dir / "carol" / "identity").stat().st_mode & 0o77 == 0

    def truncated_files(self):
        identity = self.net.dir / "carol" / "identity"
        whole = identity.read_bytes()
        identity.write_bytes(whole[:40])
        try:
            with refused(1, "identity"):
                self.net.session("id", "show", "--profile", self.net.dir / "carol",
                                 "--passphrase-file", self.net.dir / "right")
        finally:
            identity.write_bytes(whole)
        request = self.net.dir / "registration.json"
        request.write_text((self.net.net / "node-01" / "registration.json").read_text()[:500])
        with refused(1, "JSON"):
            self.net.session("node", "register", "--request", request, *self.net.owner("owner-01"))

    def restore(self):
        phrase = subprocess.run(
            [self.net.bin / "session", "id", "export", *map(str, self.net.profile("bob"))],
            capture_output=True, text=True, check=True).stdout
        file = self.net.dir / "phrase"
        file.write_text(phrase)
        got = self.net.session("id", "restore", file, *self.net.profile("bob2"))[0]["id"]
        assert got == self.bob
        words = phrase.split("-") if "-" in phrase else phrase.split()
        words[3], words[4] = words[4], words[3]
        file.write_text("-".join(words))
        with refused(1, "phrase"):
            self.net.session("id", "restore", file, *self.net.profile("bob3"))

    def oversize(self):
        big = self.net.dir / "big"
        big.write_bytes(bytes(200_000))
        with refused(4, "larger"):
            self.net.session("send", self.bob, "--file", big, *self.net.profile("alice"))

    def chain_unreachable(self):
        env = dict(self.net.env, SESSION_CHAIN="http://127.0.0.1:1/rpc")
        with refused(5, "127.0.0.1:1"):
            self.net.session("nodes", env=env)
        with refused(2, "SESSION_CHAIN"):
            env.pop("SESSION_CHAIN")
            self.net.session("nodes", env=env)

    def wrong_swarm(self):
        mine = self.net.members(self.bob)
        other = next(n for n in self.net.procs if n not in mine)
        got = self.net.raw(other, "put", self.bob, 1000)
        assert got["status"] == "wrong-swarm" and got["members"] == 6, got
        with refused(4, "serves swarm"):
            self.net.session("inbox", "--node", other, *self.net.profile("bob"))
        assert self.net.raw(mine[0], "put", self.bob, 1000)["status"] == "ok"

    def clock(self):
        node = self.net.members(self.bob)[0]
        for offset in (-600_000, 600_000):
            got = self.net.raw(node, "put", self.bob, 1000, offset)
            assert got["status"] == "clock" and got["time_ms"] > 0, got
        library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not library:
            raise Skip("libfaketime is not installed")
        # A sanitizer's runtime must not insist on being the first library.
        env = dict(self.net.env, ASAN_OPTIONS="verify_asan_link_order=0", LD_PRELOAD=library[0],
                   FAKETIME="+10m")
        with refused(4, "clock"):
            self.net.session("send", self.bob, "late", *self.net.profile("alice"), env=env)

    def no_stamp(self):
        node = self.net.members(self.bob)[0]
        got = self.net.raw(node, "put", self.bob, 1000, 0, "no-stamp")
        assert got["status"] == "work" and got["work_bits"] == 16, got

    def malformed(self):
        node = self.net.members(self.bob)[0]
        got = self.net.raw(node, "garbage", 300)
        assert got["status"] == "ok", got
        with socket.create_connection(("127.0.0.1", int(
                self.net.procs[node]["listen"].rsplit("/", 1)[1]))) as s:
            s.sendall(os.urandom(100_000))
        assert self.net.raw(node, "garbage", 6)["status"] == "ok"

    def devnet_in_a_full_folder(self):
        """`devnet down` removes its directory, so `up` takes none that holds something."""
        full = self.net.dir / "full"
        full.mkdir()
        (full / "thesis.tex").write_text("years of work")
        with refused(4, "not empty"):
            self.net.session("devnet", "up", "--dir", full, "--nodes", "1")
        assert [f.name for f in full.iterdir()] == ["thesis.tex"]

    def port_in_use(self):
        port = int(self.net.chain.rsplit(":", 1)[1].split("/")[0])
        run = subprocess.run(
            [self.net.bin / "sessionvm", "standalone", "--genesis", self.net.net / "genesis.json",
             "--data", self.net.dir / "chain2", "--rpc-listen", f"127.0.0.1:{port}"],
            capture_output=True, text=True, timeout=30)
        assert run.returncode != 0 and "use" in run.stderr, run.stderr
        listen = next(iter(self.net.procs.values()))["listen"]
        data = self.net.dir / "node2"
        subprocess.run([self.net.bin / "sessiond", "init", "--data", data, "--chain",
                        self.net.chain, "--listen", listen, "--rpc-listen", "127.0.0.1:0",
                        "--no-passphrase"], check=True, capture_output=True, timeout=30)
        run = subprocess.run([self.net.bin / "sessiond", "--config", data / "sessiond.conf"],
                             capture_output=True, text=True, timeout=30)
        assert run.returncode != 0 and "use" in run.stderr, run.stderr

    def registration(self):
        request = self.net.net / "node-01" / "registration.json"
        with refused(4, "registered"):
            self.net.session("node", "register", "--request", request, *self.net.owner("faucet"))
        fresh = self.net.dir / "node2" / "registration.json"
        with refused(4, "stake"):
            self.net.session("node", "register", "--request", fresh, *self.net.owner("owner-01"),
                             "--stake", "99.9")
        with refused(4, "balance"):
            self.net.session("node", "register", "--request", fresh, *self.net.owner("owner-01"),
                             "--stake", "100")
        nodes = self.net.session("nodes")[0]["nodes"]
        mine = nodes[0]["nodeId"]
        with refused(4, "belongs to"):
            self.net.session("node", "topup", mine, "1", *self.net.owner("faucet"))

    def survivors(self):
        """One of six gone: stores and reads go on. Two: no card is published. All: pending, nothing is lost."""
        mine = self.net.members(self.bob)
        for node in mine[:1]:
            os.kill(self.net.procs[node]["pid"], signal.SIGKILL)
        assert self.send("one down")["state"] == "stored"
        assert [m["text"] for m in self.receive()][-1] == "one down"
        os.kill(self.net.procs[mine[1]]["pid"], signal.SIGKILL)
        with refused(5, "valid receipts of 5 wanted"):
            self.net.session("id", "card", "--publish", *self.net.profile("bob"))
        for node in mine[2:]:
            os.kill(self.net.procs[node]["pid"], signal.SIGKILL)
        with refused(5, "6"):
            self.send("all down")
        waiting = self.net.session("outbox", *self.net.profile("alice"))
        assert "pending" in [m["state"] for m in waiting], waiting
        with refused(5, "still pending: "):
            self.net.session("outbox", "--retry", *self.net.profile("alice"))
        with refused(5):
            self.receive()

    def back_again(self):
        """The killed nodes start again with what they acknowledged; the outbox is delivered."""
        children = []
        try:
            for node in self.net.members(self.bob):
                config = self.net.net / self.net.procs[node]["name"] / "sessiond.conf"
                children.append(subprocess.Popen(
                    [self.net.bin / "sessiond", "--config", config], stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL))
            for _ in range(100):
                try:
                    self.net.session("outbox", "--retry", *self.net.profile("alice"))
                    states = [m["state"] for m in
                              self.net.session("outbox", *self.net.profile("alice"))]
                    if "pending" not in states:
                        break
                except Failed:
                    pass
                time.sleep(0.3)
            assert "all down" in [m["text"] for m in self.receive()]
            subprocess.run(["rm", "-rf", self.net.dir / "bob2"], check=True)
            self.net.session("id", "restore", self.net.dir / "bob.phrase", *self.net.profile("bob2"))
            again = [m["text"] for m in self.net.session("receive", *self.net.profile("bob2"))]
            assert {"Hello", "one down", "all down"} <= set(again), again
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(timeout=20)

    def start_again(self):
        """`devnet start`: one process by its name, then all that is missing, the chain too."""
        start = ("devnet", "start", "--dir", self.net.net)
        with refused(3, "devnet status"):
            self.net.session(*start, "node-99")
        down = [p for p in self.net.session("devnet", "status", "--dir", self.net.net)[0]["processes"]
                if p["state"] == "stopped"]
        assert len(down) > 1, "the tests before kill a swarm"
        for name, left in ((down[0]["name"], len(down) - 1), (None, 0)):
            after = self.net.session(*start, *([name] if name else []))[0]["processes"]
            assert sum(p["state"] == "stopped" for p in after) == left, after
        chain = next(p for p in after if p["name"] == "chain")
        os.kill(chain["pid"], signal.SIGKILL)
        for _ in range(200):
            states = {p["name"]: p["state"] for p in
                      self.net.session("devnet", "status", "--dir", self.net.net)[0]["processes"]}
            if states["chain"] == "stopped":
                break
            time.sleep(0.1)
        after = self.net.session(*start)[0]
        assert all(p["state"] == "running" for p in after["processes"]), after
        assert after["chain"] == self.net.chain
        assert self.net.session("nodes")[0]["nodes"], "the chain does not serve"

    def remember_phrase(self):
        phrase = subprocess.run(
            [self.net.bin / "session", "id", "export", *map(str, self.net.profile("bob"))],
            capture_output=True, text=True, check=True).stdout
        (self.net.dir / "bob.phrase").write_text(phrase)


def quota(net):
    """A quarter of the inbox for strangers; the owner still reads."""
    bob = net.person("bob")
    node = net.members(bob)[0]
    got = [net.raw(node, "put", bob, 60_000)["status"] for _ in range(6)]
    assert got[0] == "ok" and got[-1] == "strangers", got
    net.person("alice")
    with refused(4, "strangers"):
        net.session("send", bob, "--file", net.bin / ".." / "big.bin", *net.profile("alice"))


def disk_full(net):
    """Stops acknowledging, keeps serving what it has."""
    bob = net.person("bob")
    net.person("alice")
    net.session("send", bob, "before", *net.profile("alice"))
    filler = net.net / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(bytes(1 << 20))
                f.flush()
        except OSError:
            pass
    node = net.members(bob)[0]
    status = net.raw(node, "put", bob, 1000)["status"]
    assert status == "disk-low", status # at once: nothing is taken below the mark
    time.sleep(1.5)
    code, text = net.page(node, "/readyz")
    assert code == 503 and "disk" in text, (code, text)
    got = net.session("receive", *net.profile("bob"))
    assert [m["text"] for m in got] == ["before"], got
    filler.unlink()
    status = net.raw(node, "put", bob, 1000)["status"]
    assert status == "ok", status
    time.sleep(1.5)
    assert net.page(node, "/readyz")[0] == 200


def run_spine(tap, bin_dir):
    with Net(bin_dir, "--nodes", "12") as net:
        s = Spine(net)
        for name in ("people", "swarms", "text", "outbox_text", "file", "stdin_binary", "device", "watch",
                     "audit", "seal_open", "transfer",
                     "first_use", "bad_ids", "unknown_recipient", "wrong_passphrase", "truncated_files",
                     "restore", "oversize", "chain_unreachable", "wrong_swarm", "clock", "no_stamp",
                     "malformed", "devnet_in_a_full_folder", "port_in_use", "registration", "remember_phrase", "survivors",
                     "back_again", "start_again"):
            tap.run(f"spine/{name}", getattr(s, name))


def run_quota(tap, bin_dir):
    with Net(bin_dir, "--nodes", "1", "--params", "inboxQuotaBytes=1000000") as net:
        (net.bin.parent / "big.bin").write_bytes(os.urandom(50_000))
        tap.run("quota", quota, net)


def run_disk_full(tap, bin_dir):
    mount = Path(bin_dir).resolve().parent / "small-disk"
    mount.mkdir(exist_ok=True)
    made = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700m", "session-test", mount],
        capture_output=True).returncode == 0
    if not made:
        def skip():
            raise Skip("no right to mount a small tmpfs")
        tap.run("disk full", skip)
        return
    try:
        with Net(bin_dir, "--nodes", "1", parent=mount) as net:
            tap.run("disk full", disk_full, net)
    finally:
        subprocess.run(["umount", mount], check=True)


def main():
    tap = Tap()
    run_spine(tap, sys.argv[1])
    run_quota(tap, sys.argv[1])
    run_disk_full(tap, sys.argv[1])
    tap.done()


if __name__ == "__main__":
    main()
