"""What the Python drivers share: a driver is a list of steps, each of which prints one JSON line.

A step returns a few words about what it saw; it raises None_ where the driver has no such thing.
The server is that of the PG* variables; COMPAT_TABLE is a table of the driver's own.
"""
import contextlib
import json
import os
import signal
import threading
import time

TABLE = os.environ["COMPAT_TABLE"]
ROWS = 1000
LARGE = 10 << 20  # bytes of the large value
MARK = "/* cancel %s */" % TABLE
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%%pg_sleep%%%s%%' AND pid <> pg_backend_pid()" % TABLE


class None_(Exception):
    """The driver has no such thing."""


def report(step, status, detail):
    print(json.dumps({"step": step, "status": status, "detail": str(detail).strip()}), flush=True)


def about(driver, version, library=""):
    print(json.dumps({"driver": driver, "version": version, "library": library}), flush=True)


def refused(connect):
    """Prints the error of a login that must fail, if the harness asks for that."""
    if not os.environ.get("COMPAT_REFUSED"):
        return False
    try:
        connect()
    except Exception as e:
        report("refused", "ok", e)
    else:
        report("refused", "fail", "the login succeeded")
    return True


def run(steps):
    signal.alarm(90)  # a driver that hangs ends as a failure of its step
    for name, step in steps:
        try:
            report(name, "ok", step() or "")
        except None_ as e:
            report(name, "none", e)
        except Exception as e:
            report(name, "fail", "%s: %s" % (type(e).__name__, e))


def expect(got, want):
    if got != want:
        raise AssertionError("got %.100r, want %.100r" % (got, want))


def until(ok, what):
    deadline = time.monotonic() + 20
    while not ok():
        if time.monotonic() > deadline:
            raise AssertionError("waited 20 s for " + what)
        time.sleep(0.01)


def lines():
    """The rows of the COPY steps in COPY's text format."""
    return "".join("%d\trow %d\n" % (i, i) for i in range(ROWS))


@contextlib.contextmanager
def thread(f):
    """Runs f beside the body; its exception ends the step."""
    failed = []

    def body():
        try:
            f()
        except Exception as e:
            failed.append(e)

    t = threading.Thread(target=body)
    t.start()
    try:
        yield
    finally:
        t.join()
    if failed:
        raise failed[0]


def threads(all):
    """Runs them beside each other to their ends; an exception of any ends the step."""
    with contextlib.ExitStack() as running:
        for f in all:
            running.enter_context(thread(f))
