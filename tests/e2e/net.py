"""A devnet for a test, and the programs run against it."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path


class Failed(Exception):
    def __init__(self, code, text):
        super().__init__(f"exit code {code}: {text}")
        self.code, self.text = code, text


class Net:
    """`with Net(bin, "--nodes", "6") as net:` starts one and removes it."""

    def __init__(self, bin_dir, *args, parent=None):
        self.bin = Path(bin_dir).resolve()
        self.dir = Path(tempfile.mkdtemp(prefix="session-test-"))
        self.net = (parent or self.dir) / "net"
        self.args = [str(a) for a in args]
        self.env = dict(os.environ)

    def __enter__(self):
        run = subprocess.run([self.bin / "session", "devnet", "up", "--dir", self.net, *self.args],
                             capture_output=True, text=True, timeout=240)
        if run.returncode:
            for log in sorted(self.net.glob("*.log")):
                print(f"# {log.name}: {log.read_text()[-1500:]}".replace("\n", "\n# "))
            shutil.rmtree(self.dir, ignore_errors=True)
            raise RuntimeError(run.stderr)
        self.status = self.session("devnet", "status", "--dir", self.net)[0]
        self.chain = self.status["chain"]
        self.env["SESSION_CHAIN"] = self.chain
        self.procs = {p["node_id"]: p for p in self.status["processes"] if "node_id" in p}
        return self

    def __exit__(self, *_):
        subprocess.run([self.bin / "session", "devnet", "down", "--dir", self.net],
                       capture_output=True, timeout=60)
        shutil.rmtree(self.dir, ignore_errors=True)

    def session(self, *args, env=None, program="session", prefix=()):
        """`session ARGS --json`: the parsed lines of its output; Failed otherwise."""
        run = subprocess.run([*prefix, self.bin / program, *map(str, args), "--json"],
                             capture_output=True, text=True, env=env or self.env, timeout=120)
        if run.returncode:
            text = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else ""
            try:
                text = json.loads(text)["error"]["message"]
            except (ValueError, KeyError):
                pass
            raise Failed(run.returncode, text)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def profile(self, name):
        return ["--profile", self.dir / name, "--no-passphrase"]

    def person(self, name):
        return self.session("id", "new", *self.profile(name), "--name", name)[0]["id"]

    def owner(self, name):
        return ["--owner-file", self.net / "owners" / f"{name}.identity", "--no-passphrase"]

    def members(self, session_id):
        return [m["nodeId"] for m in self.session("swarm", "--inbox", session_id)[0]["members"]]

    def page(self, node, path):
        """Status and text of a page of a node's local port."""
        config = (self.net / self.procs[node]["name"] / "sessiond.conf").read_text()
        address = re.search(r"^rpc-listen *= *(\S+)", config, re.M)[1]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def raw(self, *args):
        """tests/e2e/rawstore, which stands beside the programs' folder."""
        tool = self.bin.parent / "tests" / "rawstore"
        run = subprocess.run([tool, self.chain, *map(str, args)], capture_output=True, text=True,
                             timeout=120)
        if run.returncode:
            raise Failed(run.returncode, run.stderr)
        return json.loads(run.stdout)


def refused(code, *words):
    """A context that wants Failed with this exit code and all these words in the message."""
    class Context:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, _):
            if kind is None:
                raise AssertionError("it was not refused")
            if not issubclass(kind, Failed):
                return False
            assert error.code == code, f"exit code {error.code}, wanted {code}: {error.text}"
            missing = [w for w in words if w.lower() not in error.text.lower()]
            assert not missing, f"no {missing} in: {error.text}"
            return True
    return Context()
