#!/usr/bin/env python3
"""What an owner can take back and check, and what a sender can demand, through the real programs.

Usage: test_accountable.py BIN
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Tap  # noqa: E402
from net import Failed, Net, refused  # noqa: E402


class Accountable:
    """Tests on one network of six nodes in one swarm."""

    def __init__(self, net):
        self.net = net
        self.alice = self.bob = None

    def people(self):
        self.alice, self.bob = self.net.person("alice"), self.net.person("bob")

    def send(self, text):
        sent = self.net.session("send", self.bob, text, *self.net.profile("alice"))[0]
        assert sent["state"] == "stored", sent
        return sent["id"]

    def inbox(self, *args):
        got = self.net.session("inbox", *self.net.profile("bob"), *args)[0]
        return {r["id"] for r in got["records"]}

    def delete(self, *args):
        return self.net.session("delete", *args, *self.net.profile("bob"))[0]

    def everywhere(self, want, seconds=20):
        """Every member of bob's swarm holds exactly these, at the latest after `seconds`."""
        deadline = time.monotonic() + seconds
        members = self.net.members(self.bob)
        assert len(members) == 6, members
        while True:
            wrong = [m for m in members if not self.holds(m, want)]
            if not wrong:
                return
            assert time.monotonic() < deadline, f"{len(want)} wanted, others at {wrong}"
            time.sleep(0.2)

    def holds(self, node, want):
        try:
            return self.inbox("--node", node) == want
        except Failed as error:  # it is starting
            assert error.code == 5, error
            return False

    def inboxes(self):
        ids = {self.send(f"message {i}") for i in range(3)}
        assert self.inbox() == ids
        self.everywhere(ids)

    def by_id(self):
        ids = self.inbox()
        gone = sorted(ids)[0]
        got = self.delete(gone)
        assert got["deleted"] == got["found"] == got["statements"] == 1, got
        assert got["pending"] == got["unknown"] == 0, got
        self.everywhere(ids - {gone})
        texts = [m["id"] for m in self.net.session("receive", *self.net.profile("bob"))]
        assert set(texts) == ids - {gone}, (texts, ids, gone)

    def unknown(self):
        with refused(3, "inbox"):
            self.delete("00" * 32)
        with refused(2, "64 hex"):
            self.delete("xyz")
        with refused(2, "--all"):
            self.delete()
        with refused(2, "--before"):
            self.delete("--before", "yesterday or so")

    def by_time(self):
        before = self.inbox()
        assert len(before) == 2
        got = self.delete("--before", "1h")
        assert got["found"] == 0, got
        time.sleep(1.1)
        cut = time.strftime("%Y-%m-%d %H:%M:%S")
        time.sleep(1.1)
        kept = self.send("after the cut")
        got = self.delete("--before", cut)
        assert got["deleted"] == 2, got
        self.everywhere({kept})

    def everything(self):
        for i in range(70):  # more than one statement holds
            self.send(f"bulk {i}")
        got = self.delete("--all")
        assert got["deleted"] == got["found"] == 71 and got["statements"] == 2, got
        self.everywhere(set())

    def only_the_owner(self):
        kept = self.send("alice cannot take this back")
        with refused(3, "inbox"):
            self.net.session("delete", kept, *self.net.profile("alice"))
        self.everywhere({kept})

    def a_node_that_was_down(self):
        """It comes back with the message, and drops it."""
        gone = self.send("seen by all")
        ids = self.inbox()
        self.everywhere(ids)
        proc = self.net.procs[self.net.members(self.bob)[0]]
        os.kill(proc["pid"], signal.SIGKILL)
        assert self.delete(gone)["deleted"] == 1
        config = self.net.net / proc["name"] / "sessiond.conf"
        with subprocess.Popen([self.net.bin / "sessiond", "--config", config],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
            try:
                self.everywhere(ids - {gone}, seconds=60)
            finally:
                node.terminate()


class Checked(Accountable):
    """Tests on a network whose nodes commit, in epochs of ten seconds."""

    def verify(self, *args):
        """Exit code and report."""
        run = subprocess.run([self.net.bin / "session", "verify", "--json",
                              *map(str, self.net.profile("bob")), *map(str, args)],
                             capture_output=True, text=True, env=self.net.env, timeout=120)
        return run.returncode, json.loads(run.stdout or "null"), run.stderr

    def verified(self, good, seconds=90):
        """The first report for which good(code, report) holds."""
        deadline = time.monotonic() + seconds
        while True:
            code, report, text = self.verify()
            if report and good(code, report):
                return report
            assert time.monotonic() < deadline, (code, report, text)
            time.sleep(1)

    def honest(self):
        self.sent = [self.send(f"message {i}") for i in range(3)]
        report = self.verified(lambda code, r: code == 0 and r["records"] >= 5)
        assert report["ok"] and report["complete"] == report["members"] == 6, report
        assert {n["verdict"] for n in report["nodes"]} == {"complete"}, report
        assert {n["records"] for n in report["nodes"]} == {report["records"]}, report
        assert not report["findings"], report
        assert len({n["root"] for n in report["nodes"]}) == 1, report

    def receipts_are_kept(self):
        for sent in self.sent:
            kept = self.net.dir / "alice" / "receipts" / sent
            assert kept.stat().st_size > 5 * 3400, kept

    def deleted(self):
        """Tombstones are proven, too: the statement and its target."""
        records = self.verified(lambda code, r: code == 0)["records"]
        self.delete(self.sent[0])
        report = self.verified(lambda code, r: code == 0 and r["records"] > records)
        assert report["complete"] == 6 and not report["findings"], report

    def wrong_epochs(self):
        code, _, text = self.verify("--epoch", 10**9)
        assert code == 2 and "still to come" in text, (code, text)
        code, _, text = self.verify("--epoch", "next")
        assert code == 2, (code, text)
        code, _, text = self.verify("--epoch", 0)
        assert code == 3, (code, text)

    def demand(self, sent, node):
        run = subprocess.run([self.net.bin / "session", "demand", sent, "--node", node, "--wait",
                              "--json", *map(str, self.net.profile("alice")),
                              *map(str, self.net.owner("faucet"))],
                             capture_output=True, text=True, env=self.net.env, timeout=180)
        return run.returncode, json.loads(run.stdout or "null"), run.stderr

    def signers(self, sent):
        with refused(2, "--node"):
            self.net.session("demand", sent, *self.net.profile("alice"))
        return [m for m in self.net.members(self.bob)
                if self.has_receipt(sent, m)]

    def has_receipt(self, sent, node):
        run = subprocess.run([self.net.bin / "session", "demand", sent, "--node", node,
                              "--owner-file", "/nonexistent",
                              *map(str, self.net.profile("alice"))],
                             capture_output=True, text=True, env=self.net.env, timeout=60)
        return "no receipt of that node" not in run.stderr

    def shown(self):
        """An honest node shows what it signed for; a deleted record by its tombstone."""
        for sent in self.sent[:2]:
            code, got, text = self.demand(sent, self.signers(sent)[0])
            assert code == 0 and got["outcome"] == "shown", (code, got, text)

    def bad_demands(self):
        with refused(3, "receipt"):
            self.net.session("demand", "00" * 32, *self.net.profile("alice"))
        with refused(3, "64 hex digits"):
            self.net.session("demand", self.sent[1][:8], *self.net.profile("alice"))
        broken = self.net.dir / "broken"
        kept = (self.net.dir / "alice" / "receipts" / self.sent[1]).read_bytes()
        broken.write_bytes(kept[:-1])
        with refused(1, "no receipts"):
            self.net.session("demand", broken, *self.net.profile("alice"))
        first = kept[:97 + 5 + 32 * kept[101] + 20 + 3309]
        forged = bytearray(first)
        forged[80] ^= 1  # in what is promised
        broken.write_bytes(forged)
        with refused(1, "did not sign"):
            self.net.session("demand", broken, *self.net.profile("alice"))
        broken.write_bytes(first)
        with refused(4, "balance", "--owner-file"):  # it is fine, but alice cannot pay
            self.net.session("demand", broken, *self.net.profile("alice"))

    def gone(self):
        """A node that is away: no commitment, and it cannot show what it signed for."""
        node = self.signers(self.sent[2])[0]
        os.kill(self.net.procs[node]["pid"], signal.SIGKILL)

        def named(code, report):
            return code == 1 and [n["verdict"] for n in report["nodes"] if n["nodeId"] == node] \
                == ["no-commitment"]
        report = self.verified(named)
        assert report["complete"] == 5 and report["faulty"] == 1, report
        code, got, text = self.demand(self.sent[2], node)
        assert code == 1 and got["outcome"] == "missed" and int(got["slashed"]) > 0, (got, text)


def run(tap, name, tests, args, points):
    with Net(sys.argv[1], "--nodes", "6", *args) as net:
        a = tests(net)
        for point in points:
            tap.run(f"{name}/{point}", getattr(a, point))


def main():
    tap = Tap()
    run(tap, "deletes", Accountable, [],
        ("people", "inboxes", "by_id", "unknown", "by_time", "everything", "only_the_owner",
         "a_node_that_was_down"))
    run(tap, "checks", Checked, ["--epoch-seconds", "10"],
        ("people", "honest", "receipts_are_kept", "deleted", "wrong_epochs", "shown",
         "bad_demands", "gone"))
    tap.done()


if __name__ == "__main__":
    main()
