#!/usr/bin/env python3
"""The command line of sessionvm: genesis, decode, help, exit codes, starts that must be refused."""
import hashlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from chain import (FEE, LUX, SESSIONVM, Chain, Skip, Tap, account, free_port, is_root, node_id, run,
                   seed, txtool, wait_for)

tap = Tap()
ALLOCATION = ("--allocation", f"{account(1)}=10.5")
BASE = ("genesis", "--network-name", "dev", "--timestamp", "1800000000")


def usage():
    assert run()[0] == 2
    assert run("nonsense")[0] == 2
    for args in (("--help",), ("standalone", "--help"), ("genesis", "--help"), ("decode", "-h")):
        code, out, why = run(*args)
        assert code == 0 and "Example" in out and why == "", args
    code, out, _ = run("--version")
    assert code == 0 and out.startswith("sessionvm ")
    code, out, _ = run("--version-json")
    assert code == 0 and json.loads(out) == {"rpcchainvm": 45}


def full_output_is_an_error():
    with open("/dev/full", "w") as full:
        for args in (["--help"], [*BASE]):
            assert subprocess.run([SESSIONVM, *args], stdout=full, stderr=subprocess.DEVNULL
                                  ).returncode == 1


def genesis():
    code, text, why = run(*BASE, *ALLOCATION, "--param", "epochSeconds=2000", "--param=txFee=7")
    assert code == 0, why
    got = json.loads(text)
    assert got == {"networkName": "dev", "timestamp": 1800000000,
                   "params": {"epochSeconds": 2000, "txFee": 7},
                   "allocations": [{"account": account(1), "amount": 10500000000}],
                   "serviceNodes": []}
    assert run(*BASE, *ALLOCATION)[1] == run(*BASE, *ALLOCATION)[1]


def genesis_refusals():
    bad = [
        ("genesis",), (*BASE, "extra"), (*BASE, "--colour", "red"), (*BASE, "--param"),
        ("genesis", "--network-name", "", "--timestamp", "1"),
        ("genesis", "--network-name", "bad name!", "--timestamp", "1"),
        ("genesis", "--network-name", "x" * 64, "--timestamp", "1"),
        ("genesis", "--network-name", "dev", "--timestamp", "yesterday"),
        ("genesis", "--network-name", "dev", "--timestamp", "-1"),
        (*BASE, "--param", "epochSeconds"), (*BASE, "--param", "epochSeconds=x"),
        (*BASE, "--param", "epochSeconds=-1"), (*BASE, "--param", "epochSeconds=1.5"),
        (*BASE, "--param", "epochSeconds=0"), (*BASE, "--param", "epochSeconds=100"),
        (*BASE, "--param", "colour=1"), (*BASE, "--param", "txFee=99999999999999999999"),
        (*BASE, "--param", "txFee=1", "--param", "txFee=1"),
        (*BASE, "--allocation", "LUX-x=1"), (*BASE, "--allocation", account(1)),
        (*BASE, "--allocation", f"{account(1)}="), (*BASE, "--allocation", f"{account(1)}=0"),
        (*BASE, "--allocation", f"{account(1)}=-5"),
        (*BASE, "--allocation", f"{account(1)}=1.0000000001"),
        (*BASE, "--allocation", f"{account(1)}=1.2.3"),
        (*BASE, "--allocation", f"{account(1)}=99999999999"),
        (*BASE, "--allocation", f"{node_id(1)}=1"), (*BASE, *ALLOCATION, *ALLOCATION),
    ]
    for args in bad:
        code, out, why = run(*args)
        assert code == 2 and out == "" and len(why) > 15, (args, code, out, why)
    assert run(*BASE, "--service-node", "/nonexistent")[0] == 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.json"
        node = json.loads(txtool("node", seed(11), seed(1), 100 * LUX, 2**40))
        for change in ({"stake": 1}, {"colour": 1}, {"nodeId": node_id(12)}, {"publicKey": "00"},
                       {"capacity": -1}, {"stake": 1e11}):
            path.write_text(json.dumps({**node, **change}))
            code, out, why = run(*BASE, "--service-node", path)
            assert code == 2 and out == "" and len(why) > 15, (change, code, why)
        path.write_text("[]")
        assert run(*BASE, "--service-node", path)[0] == 2
        path.write_text(json.dumps(node))
        assert run(*BASE, "--service-node", path)[0] == 0
        assert run(*BASE, "--service-node", path, "--service-node", path)[0] == 2


def decode():
    chain_id = hashlib.sha256(b"x").hexdigest()
    tx = txtool("transfer", chain_id, seed(1), "first", 3, FEE, account(2), 17)
    code, out, why = run("decode", "tx", tx)
    assert code == 0, why
    got = json.loads(out)
    assert got["kind"] == "tx" and got["type"] == "transfer" and got["body"]["amount"] == "17"
    assert got["txId"] == hashlib.sha256(bytes.fromhex(tx)).hexdigest()
    assert json.loads(run("decode", tx)[1]) == got
    assert json.loads(run("decode", "-", stdin=f" {tx}\n")[1]) == got
    assert json.loads(run("decode", "tx", "-", stdin=tx)[1]) == got
    text = run(*BASE, *ALLOCATION)[1]
    got = json.loads(run("decode", "-", stdin=text)[1])
    assert got["chainId"] == hashlib.sha256(text.encode()).hexdigest()
    assert got["kind"] == "genesis" and got["genesis"] == json.loads(text)
    assert run("decode", "block", tx)[0] == 1
    assert run("decode", tx[:-2])[0] == 1
    assert run("decode", "tx", tx + "00")[0] == 1
    for args in (("decode",), ("decode", "0x01"), ("decode", "abc"), ("decode", "colour", "00"),
                 ("decode", ""), ("decode", "tx", "00", "00")):
        code, out, why = run(*args)
        assert code == 2 and out == "" and len(why) > 15, (args, code, why)


def decode_a_block():
    with Chain(nodes=[11]) as chain:
        chain.start()
        block = chain.call("getBlock", height=0, bytes=True)
        got = json.loads(run("decode", "block", block["bytes"])[1])
        del block["bytes"], got["kind"]
        assert got == block


def start_refusals():
    with Chain() as chain:
        standalone = ("standalone", "--genesis", chain.genesis, "--data", chain.data)
        bad = chain.dir / "bad.json"
        assert run("standalone")[0] == 2
        assert run("standalone", "--data", chain.data)[0] == 2
        assert run("standalone", "--genesis", chain.genesis)[0] == 2
        assert run(*standalone, "--log-level", "loud")[0] == 2
        assert run(*standalone, "--rpc-threads", "0")[0] == 2
        assert run(*standalone, "--colour", "red")[0] == 2
        assert run("standalone", "--genesis", "/nonexistent", "--data", chain.data)[0] == 3
        for text in ("", "{", "[]", '{"networkName":"x"}', chain.genesis.read_text()[:-5]):
            bad.write_text(text)
            code, _, why = run("standalone", "--genesis", bad, "--data", chain.dir / "other")
            assert code in (1, 2) and len(why) > 15, (text, code, why)
        bad.write_text(" " * (2**20 + 1))
        code, _, why = run("standalone", "--genesis", bad, "--data", chain.data)
        assert code == 1 and "1048576" in why
        for listen in ("9652", "example.org:1", "127.0.0.1:70000"):
            code, _, why = run(*standalone, "--rpc-listen", listen)
            assert code == 2 and "listen" in why, why


def bad_genesis_names_the_key():
    with Chain() as chain:
        genesis = json.loads(chain.genesis.read_text())
        bad = chain.dir / "bad.json"
        for change, word in (({"colour": 1}, "colour"), ({"timestamp": -5}, "timestamp"),
                             ({"networkName": 7}, "networkName"), ({"allocations": 1}, "allocations"),
                             ({"params": {"epochSeconds": 1.5}}, "epochSeconds"),
                             ({"params": {"speed": 1}}, "speed")):
            bad.write_text(json.dumps({**genesis, **change}))
            code, _, why = run("standalone", "--genesis", bad, "--data", chain.data)
            assert code in (1, 2) and word in why, (change, code, why)


def port_in_use():
    with Chain() as chain, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = "127.0.0.1:%d" % other.getsockname()[1]
        code, _, why = run("standalone", "--genesis", chain.genesis, "--data", chain.data,
                           "--rpc-listen", address)
        assert code == 4 and address in why and "in use" in why, (code, why)
        # nothing is left behind that would keep the next start from working
        chain.start()


def second_process_on_one_database():
    with Chain() as chain:
        chain.start()
        code, _, why = run("standalone", "--genesis", chain.genesis, "--data", chain.data,
                           "--rpc-listen", "127.0.0.1:0")
        assert code == 4 and "another process" in why, (code, why)
        assert chain.call("health")["healthy"]


def another_genesis():
    with Chain() as chain:
        chain.start()
        assert chain.stop() == 0
        chain.genesis.write_text(chain.genesis.read_text() + "\n")
        code, _, why = run("standalone", "--genesis", chain.genesis, "--data", chain.data)
        assert code == 1 and "genesis" in why, (code, why)


def foreign_and_damaged_databases():
    with Chain() as chain:
        def start():
            return run("standalone", "--genesis", chain.genesis, "--data", chain.data,
                       "--rpc-listen", "127.0.0.1:0")
        path = chain.data / "chain.db"
        chain.data.mkdir()
        path.write_bytes(b"this is no database at all" * 400)
        code, _, why = start()
        assert code == 1 and str(path) in why and "restore" in why, why
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE cake(flavour)")
        db.close()
        code, _, why = start()
        assert code == 1 and "another program" in why, why
        path.unlink()
        chain.start()
        assert chain.stop() == 0
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + b"\xff" * 200 + whole[4296:])
        code, _, why = start()
        assert code == 1 and "damaged" in why, why
        path.write_bytes(whole)
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 9")
        db.close()
        code, _, why = start()
        assert code == 1 and "format 9" in why, why


def directory_behind_a_link():
    with Chain() as chain:
        (chain.dir / "disk").mkdir()
        chain.data.symlink_to(chain.dir / "disk")
        chain.start()
        assert chain.stop() == 0 and (chain.dir / "disk" / "chain.db").exists()


def every_stop_is_clean():
    with Chain(nodes=[11]) as chain:
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            chain.start()
            assert chain.stop(how) == 0
            assert not (chain.data / "chain.db-wal").exists()


def directory_without_permission():
    with Chain() as chain:
        blocked = chain.dir / "file"
        blocked.write_text("")
        code, _, why = run("standalone", "--genesis", chain.genesis, "--data", blocked / "data")
        assert code == 1 and str(blocked) in why, (code, why)
        if is_root():
            raise Skip("root may write everywhere")
        locked = chain.dir / "locked"
        locked.mkdir(mode=0o500)
        code, _, why = run("standalone", "--genesis", chain.genesis, "--data", locked / "data")
        assert code == 4 and str(locked) in why, (code, why)


def configuration():
    with Chain() as chain:
        config = chain.dir / "sessionvm.conf"
        port = free_port()
        config.write_text(f"# a chain\ngenesis = {chain.genesis}\ndata = {chain.data}\n"
                          f"rpc-listen = 127.0.0.1:1\nlog-json = true\n")
        env = {**os.environ, "SESSIONVM_RPC_LISTEN": f"127.0.0.1:{port}"}
        log = chain.dir / "log"
        with open(log, "w") as out:
            chain.process = subprocess.Popen([SESSIONVM, "standalone", "--config", config],
                                             stderr=out, env=env)
        chain.log = log
        wait_for(lambda: f"ready rpc_port={port}" in log.read_text())
        for line in log.read_text().splitlines():
            json.loads(line)
        chain.port = port
        assert chain.call("health")["healthy"] and chain.stop() == 0
        config.write_text("genesis = x\ncolour = red\n")
        code, _, why = run("standalone", "--config", config)
        assert code == 2 and f"{config}:2" in why and "colour" in why, why
        assert run("standalone", "--config", "/nonexistent")[0] == 3


def notifies_systemd():
    with Chain() as chain, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = chain.dir / "notify"
        manager.bind(str(path))
        manager.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(path)
        try:
            chain.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"
        assert chain.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


for test in (usage, full_output_is_an_error, genesis, genesis_refusals, decode, decode_a_block,
             start_refusals, bad_genesis_names_the_key, port_in_use,
             second_process_on_one_database, another_genesis, foreign_and_damaged_databases,
             directory_behind_a_link, every_stop_is_clean,
             directory_without_permission, configuration, notifies_systemd):
    tap.run(test.__name__, test)
tap.done()
