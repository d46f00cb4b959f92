#!/usr/bin/env python3
"""What nodes owe every epoch, on real processes: honest ones pass, a killed one misses and is told why.

Usage: test_duties.py BIN
"""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Tap  # noqa: E402
from net import Net  # noqa: E402

STAKE = 100 * 10 ** 9


class Duties:
    """Tests on one network of six nodes in one swarm, with epochs of ten seconds."""

    def __init__(self, net):
        self.net = net
        self.victim = sorted(net.procs)[0]

    def node(self, node_id):
        return self.net.session("node", "status", node_id)[0]

    def epoch(self):
        return int(self.net.session("epoch")[0]["epoch"])

    def until(self, epoch, seconds=240):
        deadline = time.monotonic() + seconds
        while self.epoch() < epoch:
            assert time.monotonic() < deadline, f"epoch {epoch} does not come"
            time.sleep(0.5)

    def misses(self, node_id):
        return {int(h["epoch"]): set(h["causes"]) for h in self.node(node_id)["history"]
                if h["missed"]}

    def config(self, node_id):
        return self.net.net / self.net.procs[node_id]["name"] / "sessiond.conf"

    def inside(self, node_id):
        run = subprocess.run([self.net.bin / "sessiond", "status", "--config", self.config(node_id)],
                             capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)["challenges"]

    def metric(self, node_id, name):
        for line in self.config(node_id).read_text().splitlines():
            if line.startswith("rpc-listen"):
                listen = line.split("=")[1].strip()
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return int(line.split()[1])
        raise AssertionError(name)

    def honest(self):
        alice, bob = self.net.person("alice"), self.net.person("bob")
        for i in range(5):
            sent = self.net.session("send", bob, f"message {i}", *self.net.profile("alice"))[0]
            assert sent["state"] == "stored", sent
        assert alice != bob
        self.until(8)
        for node_id in self.net.procs:
            status = self.node(node_id)
            assert not self.misses(node_id), status["history"]
            assert status["slashed"] == "0" and status["stake"] == str(STAKE), status

    def told(self):
        """The node tells of itself what the chain says of it; the last full epoch had openings."""
        reports = [r for r in self.inside(self.victim) if r["outcome"] != "open"]
        last = reports[0]
        assert last["outcome"] == "passed" and last["causes"] == [], last
        for part in ("commitment", "response"):
            assert last[part]["owed"] and last[part]["included"] and last[part]["why"] == "", last
        assert int(last["commitment"]["records"]) >= 5, last
        response = last["response"]
        assert response["openingsSent"] == response["openingsOwed"] >= 1, last
        assert response["nodesReached"] == response["nodesToTest"] == 5, last

    def killed(self):
        os.kill(self.net.procs[self.victim]["pid"], signal.SIGKILL)
        self.gone = self.epoch()
        self.until(self.gone + 4)
        misses = self.misses(self.victim)
        for epoch in (self.gone + 1, self.gone + 2):
            assert {"commitment", "response"} <= misses[epoch], misses
        for node_id in self.net.procs:
            assert node_id == self.victim or not self.misses(node_id), node_id
        status = self.node(self.victim)
        assert int(status["slashed"]) > 0, status
        assert int(status["stake"]) == STAKE - int(status["slashed"]), status

    def returned(self):
        with subprocess.Popen([self.net.bin / "sessiond", "--config", self.config(self.victim)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as node:
            try:
                back = self.epoch()
                self.until(back + 4)
                reports = {int(r["epoch"]): r for r in self.inside(self.victim)}
                missed = reports[self.gone + 1]
                assert missed["outcome"] == "missed" and int(missed["slashed"]) > 0, missed
                causes = {c["cause"]: c["why"] for c in missed["causes"]}
                assert {"commitment", "response"} <= set(causes) and all(causes.values()), causes
                assert reports[back + 2]["outcome"] == "passed", reports[back + 2]
                assert self.metric(self.victim, "sessiond_missed_epochs_total") >= 2
            finally:
                node.terminate()
                log = node.stderr.read()
        warned = [line for line in log.splitlines() if f"missed epoch {self.gone + 1}," in line]
        assert len(warned) == 1 and "commitment" in warned[0], warned


def main():
    tap = Tap()
    with Net(sys.argv[1], "--nodes", "6", "--swarm-target", "6", "--epoch-seconds", "10") as net:
        duties = Duties(net)
        tap.run("honest nodes pass", duties.honest)
        tap.run("a node tells what it did", duties.told)
        tap.run("a killed node misses", duties.killed)
        tap.run("it is told why when it is back", duties.returned)
    tap.done()


if __name__ == "__main__":
    main()
