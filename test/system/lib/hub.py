"""Start, kill and stop a freehubd of its own in a folder of its own; run the tool beside it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BIN = os.environ.get("FREEHUB_BIN", "build/debug/bin")
SKIPPED = 77
SANITIZED = bool(os.environ.get("FREEHUB_SANITIZE"))  # figures of memory mean nothing then


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Hub:
    """`daemon`: another program to run instead of freehubd; `tls`: an mqtts listener as well."""

    def __init__(self, daemon=None, tls=False, config="", prefix=(), env=None, folder=None):
        self.temporary = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="freehub-test-")
        self.data = os.path.join(self.folder, "data")
        self.daemon = daemon or os.path.join(BIN, "freehubd")
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.prefix = list(prefix)
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.log_path = os.path.join(self.folder, "freehubd.log")
        listeners = "  plain: {url: 'mqtt://127.0.0.1:%d', allow_anonymous: true}\n" % self.port
        if tls:
            listeners += "  bikes: {url: 'mqtts://127.0.0.1:%d'}\n" % self.tls_port
        self.config = os.path.join(self.folder, "hub.yaml")
        with open(self.config, "w") as file:
            file.write("data: %s\nlisteners:\n%s%s" % (self.data, listeners, config))

    def start(self, wait=True):
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            self.prefix + [self.daemon, "--config", self.config], stdin=subprocess.DEVNULL,
            stdout=self.log_file, stderr=self.log_file, env=self.env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=30.0):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("freehubd ended with %d:\n%s" % (self.process.returncode,
                                                                    self.log()))
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.005)
        raise RuntimeError("freehubd did not listen:\n" + self.log())

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log_file.close()
        self.process = None

    def stop(self, timeout=30.0):
        """SIGTERM; the exit status."""
        if not self.process:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.log_file.close()
        self.process = None
        return code

    def tool(self, *args, check=True, timeout=120):
        """`freehub ARGS` on this hub's data folder."""
        result = subprocess.run([os.path.join(BIN, "freehub"), *args, "--data", self.data],
                                capture_output=True, text=True, timeout=timeout, env=self.env)
        if check and result.returncode != 0:
            raise AssertionError("freehub %s ended with %d:\n%s%s" % (
                " ".join(args), result.returncode, result.stdout, result.stderr))
        return result

    def rows(self, *args):
        """`freehub export telemetry` as a list of dicts."""
        return list(csv.DictReader(io.StringIO(self.tool("export", "telemetry", *args).stdout)))

    def status(self):
        """`freehub status` as a dict; its exit status says whether an alarm is raised."""
        return json.loads(self.tool("status", "-o", "json", check=False).stdout)

    def rss_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as file:
            return [int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS")][0]

    def fd_count(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        try:
            if self.process and exc[0] is None:
                self.stop()
            elif self.process:
                self.kill()
        finally:
            if self.temporary and exc[0] is None:
                shutil.rmtree(self.folder, ignore_errors=True)
            elif exc[0] is not None:
                print("kept for a look: %s" % self.folder)
                print("\n".join(self.log().splitlines()[-20:]))


def await_true(what, timeout=20.0):
    """Call `what` until it returns something true, and return that."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("did not come true in %g s" % timeout)


def logged(hub, event):
    """Fields of the log lines of an event, as dicts (logfmt)."""
    found = []
    for line in hub.log().splitlines():
        fields = {key: value.strip('"') for key, value in
                  re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)}
        if fields.get("event") == event:
            found.append(fields)
    return found
