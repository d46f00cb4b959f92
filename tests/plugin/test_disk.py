#!/usr/bin/env python3
"""A disk that is full: nothing is accepted and everybody is told; it goes on when there is room."""
import resource
import subprocess

from chain import FEE, LUX, Chain, RpcError, Skip, Tap, account, is_root, refused, wait_for

tap = Tap()


def fill(chain):
    """Submits until the chain refuses for lack of space; the number of transfers accepted."""
    nonce = int(chain.call("getNonce", account=account(1))["nonce"])
    for _ in range(2000):
        nonce += 1
        try:
            tx_id = chain.submit(chain.sign("transfer", 1, nonce, account(3), LUX))
        except RpcError as error:
            assert error.name == "no-space" and "free some space" in str(error), error
            return
        wait_for(lambda: settled(chain, tx_id))
    raise AssertionError("the disk did not fill")


def settled(chain, tx_id):
    """Accepted, or the chain has said that it cannot."""
    if not chain.call("health")["healthy"]:
        return True
    try:
        return chain.call("getTx", txId=tx_id)
    except RpcError as error:
        assert error.name == "not-found"
        return False


def consistent(chain):
    mine = chain.call("getBalance", account=account(1))
    count = int(mine["nonce"])
    assert int(mine["balance"]) == 10**6 * LUX - count * (LUX + FEE)
    assert int(chain.call("getBalance", account=account(3))["balance"]) == count * LUX
    return count


def while_full(chain):
    fill(chain)
    health = chain.call("health")
    assert health["healthy"] is False and "space" in health["fault"]
    status, text = chain.http(None, "/readyz", method="GET")
    assert status == 503 and "space" in text
    assert chain.http(None, "/healthz", method="GET")[0] == 200
    head = chain.call("getHead")
    refused("no-space", chain.submit, chain.sign("transfer", 2, 1, account(3), 1))
    assert chain.call("getHead") == head and chain.process.poll() is None
    return consistent(chain)


def goes_on(chain, before):
    after = consistent(chain)
    assert after >= before
    chain.accepted(chain.submit(chain.sign("transfer", 1, after + 1, account(3), LUX)))
    assert consistent(chain) == after + 1 and chain.call("health")["healthy"]


def limited_file():
    with Chain(nodes=[11]) as chain:
        size = 200 * 1024

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        chain.start(preexec=limit)
        before = while_full(chain)
        assert chain.stop() == 0
        chain.start()
        goes_on(chain, before)
        assert chain.stop() == 0


def full_file_system():
    """With a small file system of its own; room is made while sessionvm runs."""
    if not is_root():
        raise Skip("needs root to mount a small tmpfs")
    with Chain(nodes=[11]) as chain:
        chain.data.mkdir()
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", chain.data],
                               capture_output=True, text=True)
        if mount.returncode != 0:
            raise Skip("mount: " + mount.stderr.strip())
        try:
            ballast = chain.data / "ballast"
            ballast.write_bytes(bytes(300 * 1024))
            chain.start()
            before = while_full(chain)
            ballast.unlink()
            wait_for(lambda: chain.call("health")["healthy"])
            goes_on(chain, before)
            assert chain.stop() == 0
            chain.start()
            goes_on(chain, before + 1)
            assert chain.stop() == 0
        finally:
            if chain.process and chain.process.poll() is None:
                chain.process.kill()
                chain.process.wait()
            subprocess.run(["umount", chain.data], check=True)


tap.run("a file that may not grow", limited_file)
tap.run("a file system without room", full_file_system)
tap.done()
