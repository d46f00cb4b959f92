#!/usr/bin/env python3
"""Stock js-libp2p against our host, both ways (network page, Conformance).

Usage: test_js.py PEER, where PEER is the program of peer.c. Skips unless tools/bootstrap --interop
has installed Node and the packages of package.json into tests/interop/node_modules.
"""
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NODE = HERE / "node_modules" / "node" / "bin" / "node"
WAIT = 60


class Process:
    """A peer that runs until its standard input is closed; its first line is its address."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, cwd=HERE)
        self.line = self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def js(*arguments):
    return [str(NODE), "peer.mjs", *arguments]


def output(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT, cwd=HERE,
                          check=False).stdout


def js_dials_us(peer):
    with Process([peer, "listen"]) as ours:
        address = ours.line.strip()
        result = json.loads(output(js("dial", address)))
    assert result["ok"], result
    assert result["peer"] == address.split("/p2p/")[1], result
    assert result["agent"] == "session-interop/1", result
    assert result["pings"] == 10, result
    assert result["encryption"] == "/tls/1.0.0", result
    assert result["multiplexer"] == "/yamux/1.0.0", result
    assert "/ipfs/ping/1.0.0" in result["protocols"], result
    assert "/session/auth/1" in result["protocols"], result


def we_dial_js(peer):
    with Process(js("listen")) as theirs:
        address = json.loads(theirs.line)["address"]
        first, *protocols = output([peer, "ping", address]).splitlines()
    words = first.split(" ", 3)
    assert words[0] == "ok", first
    assert words[1] == address.split("/p2p/")[1], first
    assert words[2] == "X25519MLKEM768", first
    assert "js-libp2p" in words[3], first
    assert "/ipfs/ping/1.0.0" in protocols, protocols


def we_refuse_another_peer(peer):
    with Process(js("listen")) as theirs, Process([peer, "listen"]) as ours:
        address = json.loads(theirs.line)["address"].split("/p2p/")[0]
        other = ours.line.strip().split("/p2p/")[1]
        assert output([peer, "ping", f"{address}/p2p/{other}"]) == "failed peer-identity\n"


def classical_listener_is_refused(peer):
    with Process(js("listen", "X25519")) as theirs:
        address = json.loads(theirs.line)["address"]
        result = output([peer, "ping", address])
    # Node may reset the connection before its alert is read: then all we know is that it failed.
    assert result in ("failed not-post-quantum\n", "failed unreachable\n"), result


def classical_dialler_is_refused(peer):
    with Process([peer, "listen"]) as ours:
        result = json.loads(output(js("dial", ours.line.strip(), "X25519")))
        assert not result["ok"], result
        # and the listener is none the worse for it
        assert json.loads(output(js("dial", ours.line.strip())))["ok"]


def main():
    peer = Path(sys.argv[1]).resolve()
    tests = [js_dials_us, we_dial_js, we_refuse_another_peer, classical_listener_is_refused,
             classical_dialler_is_refused]
    if not NODE.exists() or not (HERE / "node_modules" / "libp2p").exists():
        print("1..0 # SKIP js-libp2p is not installed; run tools/bootstrap --interop")
        return 0
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test(peer)
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception as error:  # a test must not keep the others from running
            failed += 1
            print(f"# {type(error).__name__}: {error}\nnot ok {number} - {test.__name__}",
                  flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
