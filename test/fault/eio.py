"""A disk that fails: the Nth write or sync of the store answers EIO, once, and everything after it
would succeed again, which is how a kernel reports lost pages. The hub must not believe the later
success: it ends at once, says why, and a restart shows every acknowledged sample once. The same run
with a hub that acknowledges before its commit must report a loss, else the test sees nothing."""

import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time

from hub import BIN, Hub, logged
from publisher import Publisher, Tally, load_until

TEST_BIN = os.path.join(os.path.dirname(os.path.abspath(BIN)), "test")
SYNC, WRITE = 1, 2
NOT_THE_WRITER = 2
EXIT_IO = 74
NTH_MAX = int(os.environ.get("FREEHUB_EIO_NTH", "20"))
PUBLISHERS = 6


class Control:
    """What fail_io.c shares: kind, countdown, failed, commits_after."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(bytes(16))
        self.file.flush()
        self.map = mmap.mmap(self.file.fileno(), 16)

    def arm(self, kind, nth):
        self.map[0:16] = struct.pack("=IiII", 0, nth, 0, 0)
        self.map[0:4] = struct.pack("=I", kind)

    def disarm(self):
        self.map[0:16] = bytes(16)

    def result(self):
        return struct.unpack("=IiII", self.map[0:16])[2:]


def new_hub(control, daemon=None):
    return Hub(daemon=daemon, env={"LD_PRELOAD": os.path.join(TEST_BIN, "libfail_io.so"),
                                   "FREEHUB_FAIL_IO": control.file.name})


def fail_once(hub, control, publishers, kind, nth):
    """Start, load, fail; returns what is wrong with how it ended."""
    hub.start()
    warm, *publishers = publishers
    load_until([warm], hub.port, time.monotonic() + 0.1)  # past what a start writes
    warm.socket.close()
    control.arm(kind, nth)
    try:
        load_until(publishers, hub.port, time.monotonic() + 10)
    except OSError:
        pass
    for publisher in publishers:
        publisher.drain()
    failed, commits_after = control.result()
    control.disarm()
    if not failed:
        hub.kill()
        return "the failure was never met"
    try:
        code = hub.process.wait(20)
    except subprocess.TimeoutExpired:
        hub.kill()
        return "it goes on after a failure"
    said = logged(hub, "store_failed")
    hub.process = None
    hub.log_file.close()
    os.truncate(hub.log_path, 0)
    if code != EXIT_IO:
        return "exit status %d" % code
    if len(said) != 1 or "Input/output error" not in said[0]["why"]:
        return "log: %r" % said
    if commits_after > (failed == NOT_THE_WRITER):  # a commit may be under way in the writer
        return "%d commits after the failure" % commits_after
    return None


def campaign(daemon, cases):
    control = Control()
    publishers = [Publisher(number, "eio") for number in range(1 + PUBLISHERS)]
    hub = new_hub(control, daemon)
    wrong = []
    for kind, nth in cases:
        fault = fail_once(hub, control, publishers, kind, nth)
        if fault:
            wrong.append("%s %d: %s" % ("sync" if kind == SYNC else "write", nth, fault))
    with hub:
        return Tally(hub, publishers), wrong


def a_failure_at_start_is_told():
    """The first writes and syncs of a new folder: no hub, and a message that names the file."""
    control = Control()
    for kind in (SYNC, WRITE):
        for nth in range(1, 6):
            hub = new_hub(control)
            control.arm(kind, nth)
            hub.start(wait=False)
            try:
                code = hub.process.wait(3)
            except subprocess.TimeoutExpired:
                code = None  # it was met by what is prepared ahead, not yet needed
            failed, _ = control.result()
            control.disarm()
            if code is not None:
                hub.process = None
                assert code != 0 and failed, "exit status %d, failed %d" % (code, failed)
                assert "Input/output error" in hub.log(), hub.log()
                assert ".mdb" in hub.log(), hub.log()
            hub.__exit__(None, None, None)


def main():
    cases = [(kind, nth) for nth in range(1, NTH_MAX + 1) for kind in (SYNC, WRITE)]
    cases += [(kind, nth) for nth in (50, 100, 150, 200) for kind in (SYNC, WRITE)]
    tally, wrong = campaign(None, cases)
    print("%d failures: %s" % (len(cases), tally))
    for line in wrong:
        print("FAILED", line)
    assert not wrong
    assert tally.acked > len(cases), "the load did not load"
    assert tally.is_clean()

    early = os.path.join(TEST_BIN, "freehubd_ack_early")
    tally, _ = campaign(early, cases[:8])
    print("acknowledging before the commit, 8 failures: %s" % tally)
    assert tally.missing > 0, "the harness cannot see a loss: its first result means nothing"

    a_failure_at_start_is_told()
    print("ok a_failure_at_start_is_told")
    return 0


if __name__ == "__main__":
    sys.exit(main())
