#!/usr/bin/env python3
"""The auditing commands of `session`, held to the golden output of the model.

Usage: test_audit.py BIN          vectors: SES_VECTORS, else ../shared/vectors
"""
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Skip, Tap  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
NONE = 0xFFFFFFFF


def session(bin_dir, *args, data=b""):
    run = subprocess.run([Path(bin_dir) / "session", "audit", *args], input=data,
                         capture_output=True, timeout=60)
    if run.returncode:
        raise RuntimeError(run.stderr.decode())
    return json.loads(run.stdout)


def pattern(n):
    return bytes(i % 251 for i in range(n))


def record(bin_dir, case):
    got = session(bin_dir, "record", "--header", case["header"], "--payload", "-",
                  data=pattern(case["size"]))
    for key in ("payload_root", "id", "segment", "expires_ms"):
        assert got[key] == case[key], (key, got[key], case[key])


def swarm(bin_dir, case):
    for num_swarms, want in case["swarm"].items():
        got = session(bin_dir, "swarm", "--id", case["session_id"], "--num-swarms", num_swarms)
        assert got == {"digest": case["digest"], "swarm": want}, got


def network(scenario, vectors):
    """The starting network of a transition, from the text that describes it."""
    names = vectors["names"]
    n, start = scenario["nodes"], scenario["start"]
    swarms = scenario["num_swarms"]
    nodes = []
    for i in range(n):
        if "i*i mod" in start:
            seat = NONE if i % 30 == 7 else i * i % swarms
            status = 2 if i % 31 == 30 else 1
        else:
            seat, status = i % swarms, 1
        nodes.append({"node_id": names("node", i), "owner": names("owner", i // 3),
                      "status": status, "swarm": seat})
    return {"num_swarms": swarms, "params": scenario["params"], "seed": scenario["seed"],
            "nodes": nodes}


def epoch(bin_dir, scenario, vectors):
    got = session(bin_dir, "epoch", "-", data=json.dumps(network(scenario, vectors)).encode())
    after = scenario["after"]
    assert got["num_swarms"] == after["num_swarms"]
    digest = hashlib.sha256(b"".join(
        bytes.fromhex(node) + got["assignment"][node].to_bytes(4, "big")
        for node in sorted(got["assignment"]))).hexdigest()
    assert digest == after["assignment_sha256"], "another assignment"
    if "assignment" in after:
        assert got["assignment"] == after["assignment"]
    assert sorted(got["order"]) == sorted(set(got["order"])) and len(got["offsets"]) > 0


def testers(bin_dir, case, vectors, genesis):
    """Steps 4 to 6 on a network that step 5 leaves as it is: the tester plan of the model."""
    names = vectors["names"]
    nodes = [{"node_id": node, "owner": names("owner", i // 3), "status": 1, "swarm": swarm}
             for i, node, swarm in genesis]
    got = session(bin_dir, "epoch", "-", data=json.dumps(
        {"num_swarms": 1, "params": {"rotatePerSwarmEpochs": 0}, "seed": case["seed"],
         "nodes": nodes}).encode())
    assert got["offsets"] == case["offsets"]
    digest = hashlib.sha256(b"".join(map(bytes.fromhex, got["order"]))).hexdigest()
    assert digest == case["order_sha256"]


def blake3_20(text, i):
    """Names of the model's nodes: computed by the command under test's own record digest would be
    circular, so the model itself is asked."""
    model = str(ROOT.parent / "shared" / "model")
    if model not in sys.path:
        sys.path.insert(0, model)
    import blake3
    return blake3.blake3(text.encode() + blake3.u32(i))[:20].hex()


def main():
    bin_dir, tap = sys.argv[1], Tap()
    folder = Path(os.environ.get("SES_VECTORS", ROOT.parent / "shared" / "vectors"))
    file = folder / "model" / "vectors.json"
    if not file.exists():
        def skip():
            raise Skip("no vectors at ../shared/vectors")
        tap.run("audit", skip)
        tap.done()
    vectors = json.loads(file.read_text())
    vectors["names"] = blake3_20
    for i, case in enumerate(vectors["records"]):
        tap.run(f"record {i}", record, bin_dir, case)
    for i, case in enumerate(vectors["inbox_swarm"]):
        tap.run(f"swarm {i}", swarm, bin_dir, case)
    for case in vectors["registry"]["transition"]:
        tap.run(f"epoch: {case['name']}, {case['nodes']} nodes", epoch, bin_dir, case, vectors)
    small = vectors["registry"]["testers"][0]
    order = vectors["registry"]["genesis"][0]["assignment"]
    ids = {blake3_20("node", i): i for i in range(10)}
    tap.run("epoch: testers of 10 nodes", testers, bin_dir, small, vectors,
            [(ids[node], node, seat) for node, seat in order.items()])
    tap.done()


if __name__ == "__main__":
    main()
