"""A real sessionvm, its keys and its JSON-RPC, for tests."""
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import schema

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Skip, Tap  # noqa: E402,F401

BIN = Path(sys.argv[1]) if len(sys.argv) > 1 else None
SESSIONVM = str(BIN / "sessionvm") if BIN else None
TXTOOL = sys.argv[2] if len(sys.argv) > 2 else None
LUX = 10**9
FEE = 10**6
PATIENCE = 60  # seconds until a wait is a failure, never a measurement


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.name = error.get("data", {}).get("name")


def seed(number):
    return hashlib.sha256(b"test key %d" % number).hexdigest()


def txtool(*args):
    run = subprocess.run([TXTOOL, *map(str, args)], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def account(number):
    return txtool("account", seed(number))


def node_id(number):
    return txtool("nodeid", seed(number))


def run(*args, stdin=None, env=None):
    """One call of sessionvm that ends by itself: (exit code, stdout, stderr)."""
    done = subprocess.run([SESSIONVM, *map(str, args)], input=stdin, capture_output=True, text=True,
                          timeout=PATIENCE, env=env)
    return done.returncode, done.stdout, done.stderr


def wait_for(what, seconds=PATIENCE):
    """Calls `what` until it gives something true."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain")
        time.sleep(0.05)


class Chain:
    """One chain in a temporary directory. The accounts 1 and 2 own 1,000,000 LUX each."""

    def __init__(self, params=(), nodes=(), folder=None):
        self.dir = Path(tempfile.mkdtemp(prefix="sessionvm-test-", dir=folder))
        self.data = self.dir / "data"
        self.genesis = self.dir / "genesis.json"
        self.process = None
        self.port = None
        args = ["genesis", "--network-name", "test", "--timestamp", int(time.time()) - 5]
        for number in (1, 2):
            args += ["--allocation", f"{account(number)}=1000000"]
        for text in ("blockSeconds=1", *params):
            args += ["--param", text]
        for number in nodes:
            path = self.dir / f"node{number}.json"
            path.write_text(txtool("node", seed(number), seed(1), 100 * LUX, 2**40))
            args += ["--service-node", path]
        code, text, why = run(*args)
        assert code == 0, why
        self.genesis.write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, *more, listen="127.0.0.1:0", preexec=None, wait=True):
        self.log = self.dir / "log"
        command = [SESSIONVM, "standalone", "--genesis", str(self.genesis), "--data", str(self.data),
                   "--rpc-listen", listen, *more]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stderr=log, preexec_fn=preexec)
        if wait:
            wait_for(self.is_ready)
        return self

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        for line in self.log.read_text().splitlines():
            if " ready rpc_port=" in line:
                self.port = int(line.split("rpc_port=")[1].split()[0])
                return True
        return False

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE)

    def http(self, body, path="/rpc", headers=None, method="POST"):
        """(status, text) of one raw request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            given = {"Content-Type": "application/json"} if headers is None else headers
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def call(self, name, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": "sessionvm." + name, "params": params}
        status, text = self.http(json.dumps(request))
        answer = json.loads(text)
        assert answer["jsonrpc"] == "2.0" and answer["id"] == 1, text
        if "error" in answer:
            schema.check_error("sessionvm." + name, answer["error"]["data"]["name"])
            raise RpcError(answer["error"])
        assert status == 200
        schema.check_result("sessionvm." + name, answer["result"])
        return answer["result"]

    @property
    def chain_id(self):
        return hashlib.sha256(self.genesis.read_bytes()).hexdigest()

    def sign(self, command, key, nonce, *rest, fee=FEE, kind="first", chain_id=None):
        return txtool(command, chain_id or self.chain_id, seed(key), kind, nonce, fee, *rest)

    def submit(self, tx):
        return self.call("submitTx", tx=tx)["txId"]

    def accepted(self, tx_id):
        """The transaction once it is in an accepted block."""
        def look():
            try:
                return self.call("getTx", txId=tx_id)
            except RpcError as error:
                assert error.name == "not-found", error
                return None
        return wait_for(look)


def refused(name, call, *args, text=None, **more):
    """`call` must fail with the error `name` (or one of them), and a note that says something."""
    names = (name,) if isinstance(name, str) else name
    try:
        got = call(*args, **more)
    except RpcError as error:
        assert error.name in names, f"{error.name}: {error}"
        assert len(str(error)) > 8, str(error)
        assert text is None or text in str(error), str(error)
        return
    raise AssertionError(f"accepted: {got}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_root():
    return os.geteuid() == 0
