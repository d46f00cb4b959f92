"""sessiond as an operator meets it: configuration, keys, ports, signals, health."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tap import Tap  # noqa: E402

BIN = Path(sys.argv[1])
PATIENCE = 60  # seconds until a wait is a failure, never a measurement


def run(*args, env=None):
    done = subprocess.run([BIN / "sessiond", *map(str, args)], capture_output=True, text=True,
                          timeout=PATIENCE, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def wait_for(what, why=lambda: ""):
    end = time.monotonic() + PATIENCE
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"waited {PATIENCE} s in vain. {why()}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    """A chain without nodes, and directories for nodes."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="sessiond-test-"))
        self.processes = []
        genesis = subprocess.run(
            [BIN / "sessionvm", "genesis", "--network-name", "test", "--timestamp",
             str(int(time.time()) - 5), "--param", "blockSeconds=1"],
            capture_output=True, text=True, check=True).stdout
        (self.dir / "genesis.json").write_text(genesis)
        self.chain = f"http://127.0.0.1:{self.start_chain('chain')}/rpc"

    def start_chain(self, name):
        log = self.dir / f"{name}.log"
        self.spawn([BIN / "sessionvm", "standalone", "--genesis", self.dir / "genesis.json",
                    "--data", self.dir / name, "--rpc-listen", "127.0.0.1:0"], log)

        def port():
            for line in log.read_text().splitlines():
                if " ready rpc_port=" in line:
                    return int(line.split("rpc_port=")[1].split()[0])
            return None
        return wait_for(port, log.read_text)

    def spawn(self, command, log, env=None):
        with open(log, "a") as out:
            process = subprocess.Popen([str(c) for c in command], stderr=out, stdout=out,
                                       env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    def init(self, name, *more, chain=None, secret=("--no-passphrase",)):
        data = self.dir / name
        code, out, err = run("init", "--data", data, "--chain", chain or self.chain, "--listen",
                             f"/ip4/127.0.0.1/tcp/{free_port()}", "--rpc-listen",
                             f"127.0.0.1:{free_port()}", *secret, *more)
        assert code == 0, err
        return data

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def setting(data, key):
    for line in (data / "sessiond.conf").read_text().splitlines():
        if line.startswith(key + " = "):
            return line.split(" = ", 1)[1]
    raise AssertionError(f"{key} is not set")


def page(data, path):
    try:
        with urllib.request.urlopen(f"http://{setting(data, 'rpc-listen')}{path}", timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:
        return 0, ""


def call(data, method):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()
    request = urllib.request.Request(f"http://{setting(data, 'rpc-listen')}/rpc", body,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as r:
        return json.load(r)


def start(world, data, *more, env=None, log=None):
    log = log or data.with_suffix(".log")
    process = world.spawn([BIN / "sessiond", "--config", data / "sessiond.conf", *more], log, env)
    wait_for(lambda: page(data, "/healthz")[0] == 200 or process.poll() is not None, log.read_text)
    return process, log


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def must_fail(data, code, *words, more=(), command=()):
    got, out, err = run(*command, "--config", data / "sessiond.conf", *more)
    assert got == code, (got, out, err)
    for word in words:
        assert word in err, (word, err)


def test_usage(world):
    assert run()[0] == 2
    code, out, _ = run("--help")
    assert code == 0 and "Example" in out and "--rpc-listen" in out
    assert run("init", "--help")[0] == 0
    code, out, _ = run("version")
    assert code == 0 and out.startswith("sessiond ")
    code, _, err = run("frobnicate")
    assert code == 2 and "frobnicate" in err


def test_init(world):
    data = world.init("init")
    assert stat.S_IMODE(os.stat(data / "node.key").st_mode) == 0o600
    request = json.loads((data / "registration.json").read_text())
    assert request["nodeId"].startswith("NodeID-")
    assert len(request["publicKey"]) == 2 * 1952 and len(request["encryptionKey"]) == 2 * 1184
    assert request["config"] == str((data / "sessiond.conf").resolve())
    params = json.loads((data / "chain.json").read_text())
    assert params["networkName"] == "test"
    code, out, err = run("check-config", "--config", data / "sessiond.conf")
    assert code == 0 and request["nodeId"] in out, err
    # a second init must not touch the first node's key
    before = (data / "node.key").read_bytes()
    code, _, err = run("init", "--data", data, "--chain", world.chain, "--listen",
                       "/ip4/127.0.0.1/tcp/4001", "--no-passphrase")
    assert code == 4 and "node already" in err, err
    assert (data / "node.key").read_bytes() == before


def test_init_says_what_is_missing(world):
    common = ["init", "--data", world.dir / "no", "--chain", world.chain]
    code, _, err = run(*common, "--listen", "/ip4/127.0.0.1/tcp/4001")
    assert code == 2 and "--no-passphrase" in err, err
    code, _, err = run(*common, "--listen", "/ip4/0.0.0.0/tcp/4001", "--no-passphrase")
    assert code == 2 and "--announce" in err, err
    code, _, err = run(*common, "--listen", "nonsense", "--no-passphrase")
    assert code == 2 and "multiaddr" in err, err
    code, _, err = run(*common, "--listen", "/ip4/127.0.0.1/tcp/4001", "--no-passphrase", "--owner",
                       "LUX-wrong")
    assert code == 2 and "owner" in err, err
    assert not (world.dir / "no" / "node.key").exists()


def test_bad_config(world):
    data = world.init("bad")
    conf = data / "sessiond.conf"
    good = conf.read_text()
    conf.write_text(good + "frobnicate = 1\n")
    line = len(good.splitlines()) + 1
    must_fail(data, 2, "frobnicate", f"sessiond.conf:{line}", command=["check-config"])
    must_fail(data, 2, "frobnicate")
    conf.write_text(good.replace("capacity = 107374182400", "capacity = lots"))
    must_fail(data, 2, "capacity", command=["check-config"])
    conf.write_text(good)
    must_fail(data, 2, "log-level", command=["check-config"], more=["--log-level", "loud"])
    code, _, err = run("check-config", "--config", conf, env={"SESSIOND_LISTEN": "here"})
    assert code == 2 and "listen" in err, err
    code, _, err = run("check-config", "--config", data / "absent.conf")
    assert code == 2 and "absent.conf" in err, err
    code, _, err = run("check-config", "--config", conf, "stray")
    assert code == 2 and "stray" in err, err


def test_passphrase(world):
    secret = world.dir / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    wrong = world.dir / "wrong"
    wrong.write_text("battery staple\n")
    wrong.chmod(0o604)
    data = world.init("sealed", secret=("--passphrase-file", secret))
    assert b"correct horse" not in (data / "node.key").read_bytes()
    code, _, err = run("check-config", "--config", data / "sessiond.conf")
    assert code == 0, err
    must_fail(data, 4, "chmod 600", more=["--passphrase-file", wrong], command=["check-config"])
    wrong.chmod(0o640)  # a group may be meant to read it
    must_fail(data, 4, "passphrase", more=["--passphrase-file", wrong], command=["check-config"])
    (data / "node.key").chmod(0o640)
    must_fail(data, 4, "chmod 600", "node.key", command=["check-config"])
    must_fail(data, 4, "chmod 600", "node.key")
    (data / "node.key").chmod(0o600)
    must_fail(data, 4, "passphrase", more=["--passphrase-file", wrong])
    conf = data / "sessiond.conf"
    conf.write_text(conf.read_text().replace("passphrase-file", "# passphrase-file"))
    must_fail(data, 4, "passphrase-file", command=["check-config"])
    must_fail(data, 4, "passphrase-file")


def test_serves_and_drains(world):
    data = world.init("serves")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = str(world.dir / "notify")
    notify.bind(path)
    notify.settimeout(PATIENCE)
    process, log = start(world, data, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})
    said = set()
    while not {b"READY=1", b"WATCHDOG=1"} <= said:
        said.add(notify.recv(64))
    status = wait_for(lambda: (lambda s: s if s["chainOk"] else None)(
        call(data, "sessiond.status")["result"]), log.read_text)
    assert status["registered"] is False and status["swarm"] is None
    assert "session node register" in status["advice"]
    assert status["challenges"] == []
    assert call(data, "sessiond.challenges")["result"]["challenges"] == []
    code, text = page(data, "/readyz")
    assert code == 503 and "not registered" in text
    assert "sessiond_chain_ok 1" in page(data, "/metrics")[1]
    assert call(data, "sessiond.storage")["result"]["records"] == "0"
    head = call(data, "sessionvm.getHead")["result"]
    assert head["chainId"] == status["chainId"]
    assert "error" in call(data, "sessionvm.submitTx")
    code, out, err = run("status", "--config", data / "sessiond.conf")
    assert code == 0 and json.loads(out)["nodeId"] == status["nodeId"], err
    stop(process)
    while b"STOPPING=1" not in said:
        said.add(notify.recv(64))
    notify.close()
    assert run("status", "--config", data / "sessiond.conf")[0] == 5


def test_sign_registration(world):
    data = world.init("signs")
    terms = ["--owner", "LUX-9rzsLqG3zSSPiVzpRC1DXvmBfqQ3ULBu7", "--stake", 10**11, "--nonce", 3,
             "--fee", 10**6]
    code, _, err = run("sign-registration", "--config", data / "sessiond.conf", *terms[2:])
    assert code == 2 and "owner" in err, err
    owner = subprocess.run([BIN / "session", "id", "new", "--profile", world.dir / "owner",
                            "--no-passphrase", "--json"], capture_output=True, text=True)
    account = next((v for v in json.loads(owner.stdout or "{}").values()
                    if str(v).startswith("LUX-")), None)
    assert account, owner
    code, out, err = run("sign-registration", "--config", data / "sessiond.conf", "--owner",
                         account, *terms[2:])
    assert code == 0, err
    auth = bytes.fromhex(out.strip())
    assert len(auth) == 1 + 20 + 3309 and auth[0] == 2


def test_ports_in_use(world):
    data = world.init("ports")
    host, port = setting(data, "rpc-listen").split(":")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, int(port)))
        s.listen()
        must_fail(data, 1, port, "in use")
    port = int(setting(data, "listen").rsplit("/", 1)[1])
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
        must_fail(data, 1, str(port), "in use")
    process, _ = start(world, data)
    stop(process)


def test_second_process(world):
    data = world.init("twice")
    process, log = start(world, data)
    must_fail(data, 1, "another process",
              more=["--rpc-listen", f"127.0.0.1:{free_port()}", "--listen",
                    f"/ip4/127.0.0.1/tcp/{free_port()}"])
    stop(process)


def test_directory_of_another_node(world):
    one, two = world.init("one"), world.init("two")
    process, _ = start(world, one)
    stop(process)
    shutil.copy(two / "node.key", one / "node.key")
    must_fail(one, 1, "another node")


def test_chain_unreachable(world):
    data = world.init("alone", chain=f"http://127.0.0.1:{free_port()}/rpc")
    assert not (data / "chain.json").exists()
    process, log = start(world, data)
    code, text = wait_for(lambda: (lambda p: p if "connect" in p[1] else None)(
        page(data, "/readyz")), log.read_text)
    assert code == 503 and "chain" in text
    stop(process)
    # once known, the chain may be away at a start
    shutil.copy(world.dir / "init" / "chain.json", data / "chain.json")
    process, log = start(world, data)
    wait_for(lambda: "listening on" in log.read_text(), log.read_text)
    status = call(data, "sessiond.status")["result"]
    assert status["chainOk"] is False
    stop(process)


def test_verify_store(world):
    data = world.init("verified")
    config = ("verify-store", "--config", data / "sessiond.conf")
    code, _, err = run(*config)
    assert code == 3 and "never served" in err, err
    process, log = start(world, data)
    wait_for(lambda: "listening on" in log.read_text(), log.read_text)
    code, _, err = run(*config)
    assert code == 4 and "stop it first" in err, err
    stop(process)
    code, out, err = run(*config)
    assert code == 0 and "damaged     nothing" in out, out + err
    (data / "data" / "seg" / "1" / "stray").write_text("x")
    code, out, err = run(*config)
    assert code == 1 and "seg/1/stray" in err and "damaged     1," in out, out + err


def test_log_file(world):
    data = world.init("logs")
    log = world.dir / "node.log"
    process, _ = start(world, data, "--log-file", log, "--log-json")
    wait_for(lambda: "listening on" in log.read_text())
    for line in log.read_text().splitlines():
        json.loads(line)
    moved = world.dir / "node.log.1"
    log.rename(moved)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: log.exists() and "reopened" in log.read_text())
    stop(process)
    assert "stopped" in log.read_text() and "stopped" not in moved.read_text()


def main():
    tap = Tap()
    world = World()
    try:
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                tap.run(name, test, world)
    finally:
        world.close()
    tap.done()


main()
