#!/usr/bin/env python3
"""Every JSON-RPC method of a running sessionvm, and what it refuses."""
import json
import random

from chain import FEE, LUX, Chain, RpcError, Tap, account, node_id, refused, seed, txtool, wait_for

tap = Tap()
NODES = [11, 12, 13]
chain = Chain(nodes=NODES).start()


def head_and_params():
    head = chain.call("getHead")
    assert head["chainId"] == chain.chain_id
    assert len(head["blockId"]) == 64 and len(head["stateRoot"]) == 64
    params = chain.call("getParams")
    assert params["networkName"] == "test" and params["chainId"] == chain.chain_id
    assert params["params"]["blockSeconds"] == "1" and params["params"]["minStake"] == str(100 * LUX)
    assert len(params["params"]) == 23
    genesis = json.loads(chain.genesis.read_text())
    assert params["genesisTimestamp"] == str(genesis["timestamp"])


def genesis_nodes():
    page = chain.call("getServiceNodes")
    ids = [node["nodeId"] for node in page["nodes"]]
    assert sorted(ids) == sorted(node_id(n) for n in NODES) and page["next"] is None
    for node in page["nodes"]:
        assert node["status"] == "active" and node["owner"] == account(1)
        assert node["stake"] == node["principal"] == str(100 * LUX)
        assert node["swarmId"] == 0 and node["uptimeScore"] == 10000
    one = chain.call("getServiceNodes", limit=1)
    two = chain.call("getServiceNodes", limit=2, after=one["next"])
    assert [n["nodeId"] for n in one["nodes"] + two["nodes"]] == ids and two["next"] is None
    refused("invalid", chain.call, "getServiceNodes", limit=0)
    refused("invalid", chain.call, "getServiceNodes", limit=1001)
    refused("invalid", chain.call, "getServiceNodes", after="NodeID-x")


def one_node():
    want = json.loads(txtool("node", seed(11), seed(1), 100 * LUX, 2**40))
    node = chain.call("getServiceNode", nodeId=node_id(11))
    for key in ("owner", "nodeId", "publicKey", "encryptionKey", "endpoint"):
        assert node[key] == want[key], key
    assert node["prevEncryptionKey"] is None and node["capacity"] == str(2**40)
    refused("not-found", chain.call, "getServiceNode", nodeId=node_id(99))
    refused("invalid", chain.call, "getServiceNode", nodeId=node_id(11)[:-1] + "x")
    refused("invalid", chain.call, "getServiceNode")
    uptime = chain.call("getUptime", nodeId=node_id(11))
    assert uptime["uptimeScore"] == 10000 and uptime["window"] == 168
    assert uptime["uptimeBits"] == "00" * 21
    refused("not-found", chain.call, "getUptime", nodeId=node_id(99))


def swarms():
    swarm = chain.call("getSwarm", swarmId=0)
    assert swarm["numSwarms"] == 1 and len(swarm["members"]) == 3
    refused("not-found", chain.call, "getSwarm", swarmId=1)
    inbox = chain.call("getSwarmForInbox", sessionId="07" + "ab" * 32)
    assert inbox == swarm
    refused("invalid", chain.call, "getSwarmForInbox", sessionId="05" + "ab" * 32)
    refused("invalid", chain.call, "getSwarmForInbox", sessionId="07ab")


def epochs():
    epoch = chain.call("getEpoch")
    assert epoch["epoch"] == "0" and epoch["activeCount"] == "3" and epoch["numSwarms"] == 1
    assert epoch["totalBonded"] == str(300 * LUX) and epoch["canonicalRoots"] == []
    assert chain.call("getEpoch", epoch="0") == epoch
    several = chain.call("getEpochs", **{"from": 0, "count": 10})
    assert several["epochs"] == [epoch] and several["current"] == "0"
    assert chain.call("getEpochs", **{"from": str(2**64 - 1)})["epochs"] == []
    refused("not-found", chain.call, "getEpoch", epoch=5)
    refused("not-found", chain.call, "getEpoch", epoch=str(2**64 - 1))
    refused("invalid", chain.call, "getEpochs", **{"from": 0, "count": 169})
    refused("invalid", chain.call, "getEpochs")


def registry():
    epoch = chain.call("getEpoch")
    snapshot = chain.call("getRegistry")
    assert snapshot["registryRoot"] == epoch["registryRoot"] and snapshot["seed"] == epoch["seed"]
    rows = snapshot["rows"]
    assert [row["nodeId"] for row in rows] == [n["nodeId"] for n in
                                               chain.call("getServiceNodes")["nodes"]]
    for row in rows:
        assert len(row["publicKey"]) == 2 * 1952 and len(row["encryptionKey"]) == 2 * 1184
        assert len(row["keysHash"]) == 64 and row["endpoint"]["addrs"] == ["047f000001060009"]
    refused("invalid", chain.call, "getRegistry", since=-1)


def testers():
    plan = chain.call("getTesters", nodeId=node_id(11))
    others = sorted(node_id(n) for n in NODES if n != 11)
    assert sorted(plan["testers"]) == others and sorted(plan["tests"]) == others
    refused("not-found", chain.call, "getTesters", nodeId=node_id(99))
    refused("not-found", chain.call, "getTesters", nodeId=node_id(11), epoch=7)


def duties():
    plan = chain.call("getTesters", nodeId=node_id(11))
    assert plan["counts"] == "03" + 31 * "00", "one owner of all: nobody else could test them"
    got = chain.call("getChallenges", nodeId=node_id(11))
    assert got == {"duty": {"nodeId": node_id(11), "epoch": "0", "committed": False,
                            "responded": False, "shown": [], "root": None, "owed": [],
                            "demanded": []}, "history": []}
    assert chain.call("getCommitments", swarmId=0, epoch=0) == {"swarmId": 0, "epoch": "0",
                                                                "commitments": []}
    refused("not-found", chain.call, "getCommitment", nodeId=node_id(11), epoch=0)
    refused("not-found", chain.call, "getCommitments", swarmId=0, epoch=1)
    refused("not-found", chain.call, "getChallenges", nodeId=node_id(99))
    refused("invalid", chain.call, "getChallenges", nodeId=node_id(11), epochs=169)
    refused("invalid", chain.call, "getCommitment", nodeId=node_id(11))


def accounts():
    got = chain.call("getBalance", account=account(1))
    assert got == {"account": account(1), "balance": str(10**6 * LUX), "nonce": "0",
                   "pendingNonce": "0", "hasKey": False}
    assert chain.call("getBalance", account=account(77))["balance"] == "0"
    assert chain.call("getNonce", account=account(1))["nonce"] == "0"
    assert chain.call("getTotalBonded")["totalBonded"] == str(300 * LUX)
    refused("invalid", chain.call, "getBalance", account="LUX-nonsense")
    refused("invalid", chain.call, "getBalance", account=node_id(11))


def transfer():
    before = chain.call("getHead")
    tx = chain.sign("transfer", 1, 1, account(3), 5 * LUX)
    tx_id = chain.submit(tx)
    got = chain.accepted(tx_id)
    assert got["bytes"] == tx and got["index"] == 0 and got["txId"] == tx_id
    assert got["tx"]["type"] == "transfer" and got["tx"]["body"]["to"] == account(3)
    assert got["tx"]["body"]["amount"] == str(5 * LUX) and got["tx"]["auth"][0]["kind"] == "first"
    assert chain.call("getBalance", account=account(3))["balance"] == str(5 * LUX)
    mine = chain.call("getBalance", account=account(1))
    assert mine["balance"] == str(10**6 * LUX - 5 * LUX - FEE) and mine["nonce"] == "1"
    assert mine["hasKey"] and mine["pendingNonce"] == "1"
    assert chain.call("getTotalBonded")["totalBurned"] == str(FEE)
    after = chain.call("getHead")
    assert int(after["height"]) == int(before["height"]) + 1 == int(got["height"])
    assert after["stateRoot"] != before["stateRoot"]
    # the chain knows the key now: the short form is enough
    assert chain.accepted(chain.submit(chain.sign("transfer", 1, 2, account(3), 1, kind="known")))


def blocks():
    head = chain.call("getHead")
    block = chain.call("getBlock", height=head["height"])
    assert block["blockId"] == head["blockId"] and block["stateRoot"] == head["stateRoot"]
    assert chain.call("getBlock", blockId=head["blockId"]) == block
    assert len(block["transactions"]) == 1 and "bytes" not in block
    raw = chain.call("getBlock", height=head["height"], bytes=True)["bytes"]
    assert len(raw) == 2 * block["size"]
    first = chain.call("getBlock", height=0)
    assert first["parent"] == chain.chain_id and first["transactions"] == []
    height = int(head["height"])
    while height > 0:
        parent = chain.call("getBlock", height=height - 1)
        assert parent["blockId"] == block["parent"]
        block, height = parent, height - 1
    refused("not-found", chain.call, "getBlock", height=10**6)
    refused("not-found", chain.call, "getBlock", blockId="00" * 32)
    refused("invalid", chain.call, "getBlock")
    refused("invalid", chain.call, "getBlock", height=0, blockId="00" * 32)
    refused("not-found", chain.call, "getTx", txId="00" * 32, text="no accepted block")


def proofs():
    absent = chain.call("getProof", key="ff00")
    assert absent["present"] is False and absent["value"] is None
    assert absent["stateRoot"] == chain.call("getHead")["stateRoot"] and len(absent["proof"]) > 0
    refused("invalid", chain.call, "getProof", key="")
    refused("invalid", chain.call, "getProof", key="abc")
    refused("too-large", chain.call, "getProof", key="00" * 129)


def transfer_refusals():
    submit, sign, to = chain.submit, chain.sign, account(3)
    refused("nonce", submit, sign("transfer", 1, 9, to, 1), text="3 is next")
    refused("nonce", submit, sign("transfer", 1, 1, to, 1))
    refused("funds", submit, sign("transfer", 77, 1, to, 1))
    refused("funds", submit, sign("transfer", 1, 3, to, 10**6 * LUX))
    refused("fee", submit, sign("transfer", 1, 3, to, 1, fee=FEE - 1))
    refused("signature", submit, sign("transfer", 1, 3, to, 1, chain_id="00" * 32))
    good = sign("transfer", 1, 3, to, 1)
    refused("signature", submit, good[:-2] + ("00" if good[-2:] != "00" else "01"))
    for bad in (good[:-2], good + "00", "ff" + good[2:], "01", ""):
        try:
            submit(bad)
            raise AssertionError("accepted")
        except RpcError as error:
            assert error.name in ("malformed", "truncated", "version", "invalid"), error.name
    refused("too-large", submit, "00" * 32769)
    refused("invalid", submit, "0g")
    refused("invalid", chain.call, "submitTx")
    assert chain.call("getNonce", account=account(1))["nonce"] == "2"


def registration():
    submit, sign = chain.submit, chain.sign
    refused("stake", submit, sign("register", 2, 1, seed(21), 100 * LUX - 1, 2**40))
    refused("registered", submit, sign("register", 2, 1, seed(11), 100 * LUX, 2**40))
    chain.accepted(submit(sign("register", 2, 1, seed(21), 100 * LUX, 2**40)))
    node = chain.call("getServiceNode", nodeId=node_id(21))
    assert node["status"] == "active" and node["swarmId"] is None and node["owner"] == account(2)
    refused("registered", submit, sign("register", 2, 2, seed(21), 100 * LUX, 2**40))
    assert chain.call("getTotalBonded")["totalBonded"] == str(400 * LUX)
    refused("not-owner", submit, sign("topup", 1, 3, node_id(21), LUX), text=account(2))
    refused("not-owner", submit, sign("decommission", 1, 3, node_id(21)))
    refused("not-found", submit, sign("topup", 2, 2, node_id(99), LUX))
    chain.accepted(submit(sign("topup", 2, 2, node_id(21), 7 * LUX)))
    node = chain.call("getServiceNode", nodeId=node_id(21))
    assert node["stake"] == node["principal"] == str(107 * LUX)
    chain.accepted(submit(sign("decommission", 2, 3, node_id(21))))
    assert chain.call("getServiceNode", nodeId=node_id(21))["status"] == "decommissioning"
    refused("status", submit, sign("decommission", 2, 4, node_id(21)))


def mempool():
    nonce = int(chain.call("getNonce", account=account(1))["nonce"])
    ids = [chain.submit(chain.sign("transfer", 1, nonce + i, account(3), 1)) for i in (1, 2, 3)]
    seen = chain.call("getMempool", limit=1000)
    assert set(seen["txIds"]) <= set(ids) and seen["txCount"] == len(seen["txIds"])
    # pending: known already; accepted in the meantime: its nonce is used
    refused(("exists", "nonce"), chain.submit, chain.sign("transfer", 1, nonce + 3, account(3), 1))
    for tx_id in ids:
        chain.accepted(tx_id)
    empty = wait_for(lambda: chain.call("getMempool")["txCount"] == 0)
    assert empty
    refused("invalid", chain.call, "getMempool", limit=1025)


def health():
    got = chain.call("health")
    assert got["healthy"] is True and got["fault"] is None and int(got["height"]) > 0
    assert chain.http(None, "/healthz", method="GET") == (200, "ok\n")
    assert chain.http(None, "/readyz", method="GET") == (200, "ready\n")
    assert chain.http(None, "/other", method="GET")[0] == 404


def unknown_things():
    for name in ("getPing", "resolveDID", "GetHead", ""):
        try:
            chain.call(name)
            raise AssertionError("answered")
        except RpcError as error:
            assert error.code == -32601
    for name in ("getHead", "getParams", "health", "getTotalBonded"):
        refused("invalid", chain.call, name, colour="red", text="colour")


def gorilla():
    def ask(method, params, number=1):
        body = json.dumps({"method": method, "params": params, "id": number})
        status, text = chain.http(body)
        return status, json.loads(text)

    status, answer = ask("sessionvm.getBalance", [{"account": account(2)}])
    assert status == 200 and set(answer) == {"result", "error", "id"}
    assert answer["error"] is None and answer["result"]["account"] == account(2)
    status, answer = ask("sessionvm.getBalance", [{"account": "x"}], 5)
    assert status == 400 and answer["result"] is None and answer["id"] == 5
    assert isinstance(answer["error"], str) and "LUX-" in answer["error"]
    status, answer = ask("sessionvm.none", [{}])
    assert status == 400 and isinstance(answer["error"], str)


def under_a_host():
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sessionvm.getHead"})
    assert chain.http(body, "/ext/bc/anything/rpc")[0] == 200
    assert chain.http(body, "/nothing")[0] == 404
    assert chain.http(body, headers={"Content-Type": "text/plain"})[0] == 415
    assert chain.http(body, headers={"Content-Type": "application/json",
                                     "Origin": "https://example.org"})[0] == 403
    status, text = chain.http("[" + ",".join([body] * 3) + "]")
    assert status == 200 and len(json.loads(text)) == 3


def hostile_bodies():
    rng = random.Random(46)
    good = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sessionvm.getBalance",
                       "params": {"account": account(1)}})
    for _ in range(300):
        text = bytearray(good.encode())
        for _ in range(rng.randrange(1, 6)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        status, answer = chain.http(bytes(text))
        assert status in (200, 204, 400), status
    assert chain.http("[" * 100000)[0] == 400
    assert chain.call("health")["healthy"]


with chain:
    for test in (head_and_params, genesis_nodes, one_node, swarms, epochs, registry, testers, duties,
                 accounts, transfer, blocks, proofs, transfer_refusals, registration, mempool,
                 health, unknown_things, gorilla, under_a_host, hostile_bodies):
        tap.run(test.__name__, test)
    tap.run("clean stop", lambda: (chain.stop() == 0) or 1 / 0)
tap.done()
