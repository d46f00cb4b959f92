#!/usr/bin/env python3
"""`session audit forest` and `session audit proof`, held to the golden output of the model, and to
the model itself on inputs that it draws anew.

Usage: test_audit_forest.py BIN       vectors: SES_VECTORS, else ../shared/vectors; SALT: another salt
"""
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Skip, Tap  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT.parent / "shared" / "model"
REFUSED = 4


def run(bin_dir, command, value):
    done = subprocess.run([Path(bin_dir) / "session", "audit", command, "-"],
                          input=json.dumps(value).encode(), capture_output=True, timeout=60)
    return done.returncode, json.loads(done.stdout or b"null"), done.stderr.decode()


def answer(bin_dir, command, value):
    code, result, text = run(bin_dir, command, value)
    assert code == 0, (code, text)
    return result


def model():
    if not (MODEL / "model.py").exists():
        raise Skip("no model at ../shared/model")
    if str(MODEL) not in sys.path:
        sys.path.insert(0, str(MODEL))
    import forest
    import model as module
    import proof
    import record
    return module, forest, proof, record


def leaf_object(encoded):
    raw = bytes.fromhex(encoded)
    return {"key": raw[:64].hex(), "ts_ms": int.from_bytes(raw[64:72], "big"),
            "ttl_class": raw[72], "kind": raw[73], "size": int.from_bytes(raw[74:], "big")}


# --- sets ---

def leaves_of(vectors, case):
    """The encoded leaves of a set: as given, or made by the model."""
    if "encoded_leaves" in case or not case["leaves"]:
        return case.get("encoded_leaves", [])
    module, *_ = model()
    module.SALT = vectors["salt"]
    return [leaf.encode().hex() for leaf in module.leaf_set(case["set"])]


def forest_set(bin_dir, vectors, case):
    leaves = leaves_of(vectors, case)
    base = {"swarm": vectors["forest"]["swarm"], "epoch": vectors["forest"]["epoch"]}
    shuffled = random.Random(7).sample(leaves, len(leaves))
    for form in (leaves, shuffled, [leaf_object(leaf) for leaf in leaves]):
        got = answer(bin_dir, "forest", base | {"leaves": form})
        for key in ("count", "bytes", "root", "segments"):
            assert got[key] == case[key], (key, got[key], case[key])


def bad_sets(bin_dir):
    good = {"key": "00" * 64, "ts_ms": 1800000000000, "ttl_class": 3, "kind": 0, "size": 5}
    base = {"swarm": 5, "epoch": 77}
    for value in (base, {"leaves": []}, base | {"leaves": {}}, base | {"leaves": ["00"]},
                  base | {"leaves": [good, good]}, base | {"leaves": [good | {"kind": 2}]},
                  base | {"leaves": [good | {"ttl_class": 5}]},
                  base | {"leaves": [good | {"size": 1 << 32}]},
                  base | {"leaves": [good | {"ts_ms": -1}]},
                  base | {"leaves": [{"key": "00" * 64}]}, base | {"leaves": [7]},
                  {"swarm": 1 << 32, "epoch": 77, "leaves": []}, []):
        code, _, text = run(bin_dir, "forest", value)
        assert code == 2 and text, (value, code, text)


# --- proofs ---

def claim(vectors, case):
    keep = ("question", "root", "segment", "key", "slot", "position", "proof")
    return {"swarm": vectors["forest"]["swarm"], "epoch": vectors["forest"]["epoch"]} | {
        key: case[key] for key in keep if key in case}


def proof(bin_dir, vectors, case):
    got = answer(bin_dir, "proof", claim(vectors, case))
    assert got["valid"] is True and got["question"] == case["question"]
    if case["question"] == "completeness":
        assert got["ids"] == case["ids"]
    elif case["question"] == "position":
        assert got["leaf"] == case["leaf"] and got["segment"] == case["segment"]
    else:
        assert got["present"] is (case["question"] == "membership")
    whole = claim(vectors, case) | case           # with what it says the answer is
    assert answer(bin_dir, "proof", whole)["valid"] is True


def refused(bin_dir, value):
    code, got, text = run(bin_dir, "proof", value)
    assert code == REFUSED and got["valid"] is False and "refused" in text, (code, got, text)


def bad_proofs(bin_dir, vectors, case):
    good = claim(vectors, case)
    raw = bytearray.fromhex(case["proof"])
    damaged = [raw[:-1], raw + b"\0", b""]
    for at in random.Random(len(raw)).sample(range(2, len(raw)), min(4, len(raw) - 2)):
        damaged.append(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1:])
    for bad in damaged:
        refused(bin_dir, good | {"proof": bytes(bad).hex()})
    refused(bin_dir, good | {"epoch": good["epoch"] + 1})
    refused(bin_dir, good | {"swarm": good["swarm"] + 1})
    refused(bin_dir, good | {"root": "00" * 32})
    if case["question"] == "membership":
        refused(bin_dir, good | {"question": "absence"})
        refused(bin_dir, good | {"key": "ff" * 64})
    if case["question"] == "completeness":
        refused(bin_dir, good | {"ids": case["ids"][1:]})
    if case["question"] == "position":
        refused(bin_dir, good | {"position": 1 << 40})
        refused(bin_dir, good | {"leaf": "00" * 78})


def bad_claims(bin_dir, vectors, case):
    good = claim(vectors, case)
    for key in ("question", "root", "segment", "key", "proof", "swarm", "epoch"):
        value = dict(good)
        del value[key]
        assert run(bin_dir, "proof", value)[0] == 2, key
    for change in ({"question": "what"}, {"proof": "0"}, {"proof": "zz"}, {"root": "00"},
                   {"epoch": -1}, {"segment": "00"}):
        assert run(bin_dir, "proof", good | change)[0] == 2, change


# --- against the model, drawn anew ---

def drawn_leaves(rng, forest, count):
    """Leaves whose keys share prefixes of every length, in a few segments."""
    made = {}
    for _ in range(count):
        shared = rng.randrange(60)
        key = b"\x5a" * shared + rng.randbytes(64 - shared)
        ts = 1_800_000_000_000 + 1000 * rng.randrange(3 * 3600)
        kind = rng.randrange(2)
        leaf = forest.Leaf(key, ts, rng.randrange(5), kind, 0 if kind else rng.randrange(90113))
        made[key, leaf.ttl_class, ts // 3_600_000] = leaf
    return list(made.values())


def drawn_claims(rng, modules, leaves):
    """Questions about a set, the model's proofs and its answers."""
    _, forest, pf, rec = modules
    grown = forest.forest(leaves)
    order = forest.leaves_in_order(grown)
    for _ in range(3):
        leaf = rng.choice(order)
        seg = rec.segment(leaf.ttl_class, leaf.ts_ms)
        name = rec.segment_bytes(seg).hex()
        key = leaf.key if rng.randrange(2) else leaf.key[:rng.randrange(64)].ljust(64, b"\x77")
        found = any(l.key == key and rec.segment(l.ttl_class, l.ts_ms) == seg for l in order)
        yield {"question": "membership" if found else "absence", "segment": name,
               "key": key.hex(), "proof": pf.prove(grown, pf.key_question(seg, key)).hex()}
        ids = [l.key[32:].hex() for l in order
               if l.key[:32] == key[:32] and rec.segment(l.ttl_class, l.ts_ms) == seg]
        yield {"question": "completeness", "segment": name, "slot": key[:32].hex(), "ids": ids,
               "proof": pf.prove(grown, pf.slot_question(seg, key[:32])).hex()}
        at = rng.randrange(len(order))
        # a proof of several positions at once, of which one is asked about
        want = pf.Want(positions=(at, *(rng.randrange(len(order)) for _ in range(3))))
        yield {"question": "position", "position": at, "leaf": order[at].encode().hex(),
               "proof": pf.prove(grown, want).hex()}


def drawn(bin_dir, seed):
    modules = model()
    _, forest, _, _ = modules
    rng = random.Random(seed)
    for count in (1, 16, 17, 18, 60, 200):
        leaves = drawn_leaves(rng, forest, count)
        total = forest.forest_sum(forest.forest(leaves))
        swarm, epoch = rng.randrange(1 << 32), rng.randrange(1 << 63)
        base = {"swarm": swarm, "epoch": epoch}
        root = forest.root(swarm, epoch, total).hex()
        got = answer(bin_dir, "forest", base | {"leaves": [l.encode().hex() for l in leaves]})
        assert (got["root"], got["count"], got["bytes"]) == (root, total.count, total.bytes)
        for value in drawn_claims(rng, modules, leaves):
            assert answer(bin_dir, "proof", base | {"root": root} | value)["valid"] is True


# --- damaged proofs, judged by the model ---

def model_answer(modules, value):
    """What the model answers: ids or a leaf; None where it refuses."""
    _, _, pf, _ = modules
    data, seg = bytes.fromhex(value["proof"]), bytes.fromhex(value["segment"])
    try:
        items = pf.check(data, value["swarm"], value["epoch"], bytes.fromhex(value["root"]))
        if value["question"] == "position":
            return pf.leaf_at(items, value["position"])[1].encode().hex()
        want = pf.slot_question((seg[0], int.from_bytes(seg[1:], "big")),
                                bytes.fromhex(value["slot"]))
        return [l.key[32:].hex() for l in pf.keys_between(items, want.segment, want.low, want.high)]
    except (pf.Bad, OverflowError, IndexError):
        return None


def own_answer(bin_dir, value):
    if value["question"] == "position":       # which segment it is in is the proof's to say
        value = {key: value[key] for key in value if key != "segment"}
    code, got, text = run(bin_dir, "proof", value)
    assert code in (0, REFUSED) and got["valid"] is (code == 0), (code, got, text)
    return got.get("leaf", got.get("ids")) if got["valid"] else None


def first_bytes(bin_dir, vectors, case):
    """The number of segments is a hint: a wrong one is harmless or refused, as in the model."""
    modules = model()
    for bit in range(16):
        raw = bytearray.fromhex(case["proof"])
        raw[bit // 8] ^= 1 << bit % 8
        value = claim(vectors, case) | {"proof": raw.hex()}
        assert own_answer(bin_dir, value) == model_answer(modules, value), bit


def liars(bin_dir, vectors, seed):
    """Damaged proofs under the roots that they lead to, which a liar could commit to."""
    modules = model()
    _, forest, pf, _ = modules
    rng = random.Random(seed)
    cases = [c for c in vectors["proofs"] if c["question"] in ("completeness", "position")]
    compared = refused_by_both = 0
    for _ in range(600):
        case = rng.choice(cases)
        raw = bytearray.fromhex(case["proof"])
        for _ in range(rng.randrange(1, 3)):
            raw[rng.randrange(len(raw))] = rng.choice((0, 1, 2, 3, rng.randrange(256)))
        reader = pf.Reader(bytes(raw))
        try:
            _, total = reader.mt(reader.uint(2), reader.segment)
            root = forest.root(vectors["forest"]["swarm"], vectors["forest"]["epoch"], total)
        except (pf.Bad, OverflowError):
            continue
        value = claim(vectors, case) | {"proof": raw.hex(), "root": root.hex()}
        if value["question"] == "position":
            value["position"] = rng.choice((case["position"], rng.randrange(1000)))
        want = model_answer(modules, value)
        assert own_answer(bin_dir, value) == want, value
        compared += 1
        refused_by_both += want is None
    print(f"# {compared} proofs of liars, {refused_by_both} refused")
    assert compared > 100


def other_salt(bin_dir, tap):
    """All vectors again from another salt, here and in the C tests of the forest and its proofs."""
    salt = os.environ.get("SALT", "another")

    def build(folder):
        model()
        (Path(folder) / "model").mkdir()
        made = subprocess.run([sys.executable, MODEL / "model.py", "vectors", "--salt", salt],
                              capture_output=True, timeout=300, check=True)
        (Path(folder) / "model" / "vectors.json").write_bytes(made.stdout)

    def native(name, folder):
        program = Path(bin_dir).parent / f"test_crypto_{name}"
        if not program.exists():
            raise Skip(f"{program.name} is not built")
        done = subprocess.run([program], env=os.environ | {"SES_VECTORS": folder},
                              capture_output=True, timeout=120, cwd=ROOT)
        assert done.returncode == 0, done.stdout.decode()
        assert b"SKIP" not in done.stdout.upper(), done.stdout.decode()

    with tempfile.TemporaryDirectory() as folder:
        tap.run("model: vectors of another salt", build, folder)
        file = Path(folder) / "model" / "vectors.json"
        if not file.exists():
            return
        cases(bin_dir, tap, json.loads(file.read_text()), "salted ")
        for name in ("forest", "proof"):
            tap.run(f"salted: test_crypto_{name}", native, name, folder)


def cases(bin_dir, tap, vectors, prefix=""):
    for case in vectors["forest"]["sets"]:
        tap.run(f"{prefix}forest: {case['set']}", forest_set, bin_dir, vectors, case)
    for i, case in enumerate(vectors["proofs"]):
        tap.run(f"{prefix}proof {i}: {case['question']}, {case['set']}", proof, bin_dir, vectors,
                case)


def main():
    bin_dir, tap = sys.argv[1], Tap()
    folder = Path(os.environ.get("SES_VECTORS", ROOT.parent / "shared" / "vectors"))
    file = folder / "model" / "vectors.json"
    seed = int(os.environ.get("SES_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"# seed SES_TEST_SEED={seed}")
    tap.run("forest: refused input", bad_sets, bin_dir)
    if file.exists():
        vectors = json.loads(file.read_text())
        cases(bin_dir, tap, vectors)
        for i, case in enumerate(vectors["proofs"]):
            tap.run(f"proof {i}: refused", bad_proofs, bin_dir, vectors, case)
        for i, case in enumerate(vectors["proofs"]):
            if case["question"] in ("completeness", "position"):
                tap.run(f"proof {i}: another number of segments", first_bytes, bin_dir, vectors,
                        case)
        tap.run("proof: claims that are none", bad_claims, bin_dir, vectors, vectors["proofs"][2])
        tap.run("proof: roots of liars", liars, bin_dir, vectors, seed)
    else:
        def skip():
            raise Skip("no vectors at ../shared/vectors")
        tap.run("proof", skip)
    tap.run("forest and proof: drawn anew", drawn, bin_dir, seed)
    other_salt(bin_dir, tap)
    tap.done()


if __name__ == "__main__":
    main()
