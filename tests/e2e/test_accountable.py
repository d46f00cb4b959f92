#!/usr/bin/env python3
"""What an owner can check and take back, through the real programs: deletes on every node.

Usage: test_accountable.py BIN
"""
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


def main():
    tap = Tap()
    with Net(sys.argv[1], "--nodes", "6") as net:
        a = Accountable(net)
        for name in ("people", "inboxes", "by_id", "unknown", "by_time", "everything",
                     "only_the_owner", "a_node_that_was_down"):
            tap.run(f"accountable/{name}", getattr(a, name))
    tap.done()


if __name__ == "__main__":
    main()
