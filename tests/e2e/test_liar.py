#!/usr/bin/env python3
"""Entry nodes that say "stored" and keep nothing: nobody believes them, and the messages arrive; cards are
published, and messages deleted, where it is said that they are.

Usage: test_liar.py BIN
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

TEXTS = [f"message {i}" for i in range(8)]
QUORUM = 5
CARD, TOKEN = -1, -21  # namespaces


class Liars:
    """Four of six nodes lie (tests/e2e/liar.c): most messages meet one of them first."""

    def __init__(self, net):
        self.net = net
        self.alice, self.bob = net.person("alice"), net.person("bob")
        self.members = net.members(self.bob)
        self.liars = []

    @staticmethod
    def runs(pid):
        """Nobody may have waited for what has ended."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def start_one(self, node):
        proc = self.net.procs[node]
        os.kill(proc["pid"], signal.SIGKILL)
        while self.runs(proc["pid"]):
            time.sleep(0.05)
        config = self.net.net / proc["name"] / "sessiond.conf"
        liar = self.net.bin.parent / "tests" / "liar"
        log = self.net.dir / f"{proc['name']}.liar"
        with open(log, "wb") as out:
            child = subprocess.Popen([liar, "--config", config], stdout=out, stderr=out)
        self.liars.append((child, log))

    def is_ready(self, node):
        try:
            return self.net.page(node, "/readyz")[0] == 200
        except OSError:
            return False

    def start(self, nodes):
        for node in nodes:
            self.start_one(node)
        deadline = time.monotonic() + 60
        while not all(self.is_ready(node) for node in self.members):
            ended = [log.read_text()[-400:] for child, log in self.liars if child.poll() is not None]
            assert not ended, ended
            assert time.monotonic() < deadline, "the liars do not start"
            time.sleep(0.2)

    def stop(self):
        for child, _ in self.liars:
            child.terminate()
        for child, _ in self.liars:
            child.wait(timeout=30)
        self.liars = []

    def lies(self):
        return sum(log.read_text().count("says that a record is stored") for _, log in self.liars)

    def held(self, node):
        got = self.net.session("inbox", *self.net.profile("bob"), "--node", node)[0]
        return {r["id"] for r in got["records"]}

    def is_true(self, sent):
        """What is called stored is at a quorum."""
        holders = sum(sent["id"] in self.held(node) for node in self.members)
        assert holders >= QUORUM, (holders, sent)

    def start_four(self):
        self.start(self.members[:4])

    def send(self):
        for text in TEXTS:
            lies = self.lies()
            try:
                sent = self.net.session("send", self.bob, text, *self.net.profile("alice"))[0]
                assert sent["state"] == "stored" and self.lies() == lies, sent
                self.is_true(sent)
            except Failed as error:
                assert error.code == 5 and "no receipt of any node" in error.text, error
                assert self.lies() == lies + 1, error
        assert self.lies() > 0

    def retry(self):
        """False while something is pending."""
        try:
            self.net.session("outbox", "--retry", *self.net.profile("alice"))
        except Failed as error:
            assert error.code == 5, error
            return False
        return True

    def arrive(self):
        deadline = time.monotonic() + 120
        while not self.retry():
            assert time.monotonic() < deadline, "still pending"
            time.sleep(0.5)
        for sent in self.net.session("outbox", *self.net.profile("alice")):
            assert sent["state"] == "stored", sent
            self.is_true(sent)
        got = self.net.session("receive", *self.net.profile("bob"))
        assert sorted(m["text"] for m in got) == TEXTS, got

    def holders(self, person, namespace):
        """Members that have a record of it, each asked alone."""
        got = [self.net.raw(node, "count", person, namespace) for node in self.members]
        assert all(g["status"] == "ok" for g in got), got
        return sum(g["records"] > 0 for g in got)

    def is_published(self, person):
        assert self.holders(person, CARD) >= QUORUM and self.holders(person, TOKEN) >= QUORUM

    def make_offline(self, name):
        env = {k: v for k, v in self.net.env.items() if k != "SESSION_CHAIN"}
        return self.net.session("id", "new", *self.net.profile(name), "--name", name, env=env)[0]["id"]

    def publish(self):
        """Several, so that a liar is met first by some."""
        lies = self.lies()
        for i in range(6):
            person = self.make_offline(f"new-{i}")
            self.net.session("id", "card", "--publish", *self.net.profile(f"new-{i}"))
            self.is_published(person)
        assert self.lies() > lies

    def delete(self):
        deleted = 0
        for record in self.net.session("inbox", *self.net.profile("bob"))[0]["records"][1:]:
            got = self.net.session("delete", record["id"], *self.net.profile("bob"))[0]
            assert got["deleted"] + got["pending"] == 1, got
            if got["deleted"]:
                left = sum(record["id"] in self.held(node) for node in self.members)
                assert left <= len(self.members) - QUORUM, (left, record)
            deleted += got["deleted"]
        assert deleted > 0

    def nobody_honest(self):
        """What all swallow is not called published, and is published when somebody honest is back."""
        self.start(self.members[4:])
        carol = self.make_offline("carol")
        with refused(5, "no receipt of any node", "6 nodes tried"):
            self.net.session("id", "card", "--publish", *self.net.profile("carol"))
        assert self.holders(carol, CARD) == 0
        with refused(5, "no receipt of any node", "6 nodes tried"):
            self.net.session("delete", "--all", *self.net.profile("bob"))
        self.stop()
        self.net.session("devnet", "start", "--dir", self.net.net)
        self.net.session("receive", *self.net.profile("carol"))
        self.is_published(carol)


def main():
    tap = Tap()
    with Net(sys.argv[1], "--nodes", "6") as net:
        liars = Liars(net)
        try:
            for name in ("start_four", "send", "arrive", "publish", "delete", "nobody_honest"):
                tap.run(name, getattr(liars, name))
        finally:
            liars.stop()
    tap.done()


if __name__ == "__main__":
    main()
