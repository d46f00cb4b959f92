#!/usr/bin/env python3
"""kill -9 at random moments while transfers come in: the chain goes on at its last accepted block.

SES_KILLS sets the number of kills (20). After each start: what had been accepted is there, byte for
byte; nonce and balances agree with the accepted blocks; every transaction stands in one block only.
"""
import os
import random
import signal
import time
from http.client import HTTPException

from chain import FEE, LUX, Chain, RpcError, Tap, account

KILLS = int(os.environ.get("SES_KILLS", "20"))
SEED = int(os.environ.get("SES_TEST_SEED", random.SystemRandom().randrange(2**32)))
print(f"# seed SES_TEST_SEED={SEED} SES_KILLS={KILLS}", flush=True)
rng = random.Random(SEED)
tap = Tap()
ME, TO = account(1), account(3)


class State:
    """What a client has seen accepted so far."""
    blocks = []  # ids by height
    sent = 0  # highest nonce that was ever signed


def submit_for(chain, seconds):
    """Submits one transfer after the other; ends early if the chain is gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        nonce = int(chain.call("getNonce", account=ME)["pendingNonce"]) + 1
        try:
            chain.submit(chain.sign("transfer", 1, nonce, TO, LUX))
            State.sent = max(State.sent, nonce)
        except RpcError as error:
            assert error.name in ("nonce", "full", "exists"), error


def kill_once(chain):
    chain.start()
    check(chain)
    try:
        submit_for(chain, rng.uniform(0.05, 1.6))
        if rng.randrange(4) == 0:
            time.sleep(rng.uniform(0, 1.2))
        State.blocks = block_ids(chain)
    finally:
        chain.process.send_signal(signal.SIGKILL)
        assert chain.process.wait() == -signal.SIGKILL


def block_ids(chain):
    height = int(chain.call("getHead")["height"])
    known = len(State.blocks)
    return State.blocks + [chain.call("getBlock", height=h)["blockId"]
                           for h in range(known, height + 1)]


def check(chain):
    """Walks all blocks and compares them with what the state says."""
    head = chain.call("getHead")
    height = int(head["height"])
    assert height >= len(State.blocks) - 1, "accepted blocks are gone"
    for h, block_id in enumerate(State.blocks):
        assert chain.call("getBlock", height=h)["blockId"] == block_id, f"block {h} changed"
    nonces, parent = [], chain.chain_id
    for h in range(height + 1):
        block = chain.call("getBlock", height=h)
        assert block["parent"] == parent
        parent = block["blockId"]
        for tx in block["transactions"]:
            nonces.append(int(tx["body"]["nonce"]))
            got = chain.call("getTx", txId=tx["txId"])
            assert got["height"] == str(h) and got["blockId"] == parent
    assert parent == head["blockId"] and block["stateRoot"] == head["stateRoot"]
    assert nonces == list(range(1, len(nonces) + 1)), "nonces are not one row"
    mine = chain.call("getBalance", account=ME)
    assert int(mine["nonce"]) == len(nonces) <= State.sent
    assert int(mine["balance"]) == 10**6 * LUX - len(nonces) * (LUX + FEE)
    assert int(chain.call("getBalance", account=TO)["balance"]) == len(nonces) * LUX
    assert int(chain.call("getTotalBonded")["totalBurned"]) == len(nonces) * FEE
    return len(nonces)


def kill_at_start(chain):
    """While it opens, or makes, its database."""
    for _ in range(max(KILLS // 2, 3)):
        chain.start(wait=False)
        time.sleep(rng.uniform(0, 0.15))
        chain.process.send_signal(signal.SIGKILL)
        chain.process.wait()


def goes_on(chain):
    chain.start()
    before = check(chain)
    nonce = int(chain.call("getNonce", account=ME)["nonce"])
    chain.accepted(chain.submit(chain.sign("transfer", 1, nonce + 1, TO, LUX)))
    State.sent = max(State.sent, nonce + 1)
    assert check(chain) == before + 1 and chain.stop() == 0


def all_kills(chain):
    for number in range(KILLS):
        try:
            kill_once(chain)
        except (OSError, HTTPException) as error:
            raise AssertionError(f"kill {number}: {error}") from error
    print(f"# {len(State.blocks)} blocks, {State.sent} transfers signed", flush=True)
    assert len(State.blocks) > KILLS // 4, "hardly a block was made: the test shows nothing"


with Chain(nodes=[11]) as chain:
    tap.run("kills while a new database is made", kill_at_start, chain)
    tap.run(f"{KILLS} kills while transfers come in", all_kills, chain)
    tap.run("kills while the database is opened", kill_at_start, chain)
    tap.run("the chain goes on", goes_on, chain)
tap.done()
