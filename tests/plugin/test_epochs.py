#!/usr/bin/env python3
"""Epochs of a few seconds in a real sessionvm: boundaries pass, new nodes get seats, restarts too."""
from chain import LUX, Chain, Tap, account, node_id, refused, seed, wait_for

EPOCH = 4
PARAMS = (f"epochSeconds={EPOCH}", "settleSeconds=1", "freezeSeconds=1", "unbondEpochs=1")
NODES = [11, 12, 13]
tap = Tap()


def epoch_reached(chain, number):
    wait_for(lambda: int(chain.call("getHead")["epoch"]) >= number)


def boundaries_pass_by_themselves(chain):
    first = int(chain.call("getHead")["epoch"])
    epoch_reached(chain, first + 2)
    records = chain.call("getEpochs", **{"from": 0})["epochs"]
    assert [int(r["epoch"]) for r in records][0] == 0 and len(records) >= 2
    assert len({r["seed"] for r in records}) == len(records)
    for record in records:
        assert chain.call("getEpoch", epoch=record["epoch"]) == record


def blocks_have_reasons(chain):
    """Without transactions: at most one block at the settle moment and one at the boundary."""
    head = chain.call("getHead")
    params = chain.call("getParams")
    start = int(params["genesisTimestamp"])
    per_epoch = {}
    last = 0
    for height in range(1, int(head["height"]) + 1):
        block = chain.call("getBlock", height=height)
        time = int(block["timestamp"])
        assert time >= last + 1 or height == 1, "closer than blockSeconds"
        last = time
        number = (time - start) // EPOCH
        per_epoch[number] = per_epoch.get(number, 0) + (not block["transactions"])
    assert max(per_epoch.values()) <= 2, per_epoch


def new_node_gets_a_seat(chain):
    chain.accepted(chain.submit(chain.sign("register", 2, 1, seed(21), 100 * LUX, 2**40)))
    new = node_id(21)
    assert chain.call("getServiceNode", nodeId=new)["swarmId"] is None
    now = int(chain.call("getHead")["epoch"])
    wait_for(lambda: chain.call("getServiceNode", nodeId=new)["swarmId"] is not None)
    node = chain.call("getServiceNode", nodeId=new)
    assert int(node["swarmFromEpoch"]) > now
    # the lists and the snapshot may be of different epochs while one passes
    wait_for(lambda: new in [n["nodeId"] for n in chain.call("getSwarm", swarmId=node["swarmId"])
                             ["members"]])
    delta = chain.call("getRegistry", since=now)
    assert new in [row["nodeId"] for row in delta["rows"]]
    assert len(chain.call("getRegistry")["rows"]) == 4
    plan = chain.call("getTesters", nodeId=new)
    assert sorted(plan["testers"]) == sorted(node_id(n) for n in NODES)
    refused("not-found", chain.call, "getTesters", nodeId=new, epoch=0)


def decommissioned_node_is_paid(chain):
    before = int(chain.call("getBalance", account=account(2))["balance"])
    chain.accepted(chain.submit(chain.sign("decommission", 2, 2, node_id(21))))

    def retired():
        return chain.call("getServiceNode", nodeId=node_id(21))["status"] == "retired"
    wait_for(retired)
    after = int(chain.call("getBalance", account=account(2))["balance"])
    stake = 100 * LUX - int(chain.call("getServiceNode", nodeId=node_id(21))["slashed"])
    assert after == before - 10**6 + stake, (before, after, stake)


def restarts_within_and_across_epochs(chain):
    for _ in range(3):
        head = chain.call("getHead")
        assert chain.stop() == 0
        chain.start()
        again = chain.call("getHead")
        assert int(again["height"]) >= int(head["height"])
        block = chain.call("getBlock", height=head["height"])
        assert block["blockId"] == head["blockId"]
        epoch_reached(chain, int(head["epoch"]) + 1)


with Chain(params=PARAMS, nodes=NODES) as chain:
    chain.start()
    for test in (boundaries_pass_by_themselves, blocks_have_reasons, new_node_gets_a_seat,
                 decommissioned_node_is_paid, restarts_within_and_across_epochs):
        tap.run(test.__name__, test, chain)
tap.done()
