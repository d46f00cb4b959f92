"""Test Anything Protocol for tests of the real programs."""
import sys
import traceback


class Skip(Exception):
    """Raised by a test that cannot run here, with the reason."""


class Tap:
    def __init__(self):
        self.count = self.bad = 0

    def run(self, name, test, *args):
        """One test point: passes unless `test` raises."""
        self.count += 1
        try:
            test(*args)
            print(f"ok {self.count} - {name}", flush=True)
        except Skip as why:
            print(f"ok {self.count} - {name} # SKIP {why}", flush=True)
        except Exception:
            self.bad += 1
            print(f"not ok {self.count} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)

    def done(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.bad else 0)
