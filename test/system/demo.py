"""`freehub demo` starts, shows what to try, and leaves nothing behind however it ends."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.path.abspath(os.environ.get("FREEHUB_BIN", "build/debug/bin"))


class Demo:
    def __init__(self, *args):
        self.folder = tempfile.mkdtemp(prefix="freehub-test-")
        self.process = subprocess.Popen(
            [os.path.join(BIN, "freehub"), "demo", *args], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=dict(os.environ, TMPDIR=self.folder))
        self.text = ""

    def read_until(self, word):
        while word not in self.text:
            line = self.process.stdout.readline()
            assert line, "ended before it said %r:\n%s" % (word, self.text)
            self.text += line

    def end(self):
        self.text += self.process.stdout.read()
        return self.process.wait(60)

    def left(self):
        """Processes that know the folder's name."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    if self.folder.encode() in file.read():
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def check_nothing_left(self):
        deadline = time.monotonic() + 30
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left() == [], self.left()
        os.rmdir(self.folder)  # fails unless it is empty


def test_ends_by_itself():
    demo = Demo("--seconds", "6")
    code = demo.end()
    assert code == 0, demo.text
    assert "first message stored" in demo.text, demo.text
    stored = re.search(r"stopped after \d+ messages, (\d+) records on disk", demo.text)
    assert stored and int(stored.group(1)) > 0, demo.text
    demo.check_nothing_left()


def test_what_it_says_can_be_copied():
    demo = Demo()
    demo.read_until("Ctrl-C stops it all")
    commands = [line.strip() for line in demo.text.splitlines()
                if re.match(r" +(\S+/freehub|mosquitto_sub) ", line)]
    assert len(commands) == 5, demo.text
    for command in commands:
        words = shlex.split(command)
        if words[0] == "mosquitto_sub":
            words += ["-C", "1", "-W", "30"]
        deadline = time.monotonic() + 30  # the first samples come after some seconds
        while True:
            result = subprocess.run(words, capture_output=True, text=True, timeout=60)
            if result.returncode == 0 and result.stdout:
                break
            assert time.monotonic() < deadline, (command, result)
            time.sleep(0.2)
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.text
    demo.check_nothing_left()


def test_a_hub_that_dies_is_told_and_cleaned_up():
    demo = Demo()
    demo.read_until("Ctrl-C stops it all")
    hubs = []
    for pid in demo.left():
        with open("/proc/%d/comm" % pid) as file:
            if file.read() == "freehubd\n":
                hubs.append(pid)
    assert len(hubs) == 1, hubs
    os.kill(hubs[0], signal.SIGKILL)
    assert demo.end() == 1, demo.text
    assert "freehubd ended" in demo.text, demo.text
    demo.check_nothing_left()


def main():
    tests = [value for name, value in sorted(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
        print("ok %s" % test.__name__)
    print("%d tests passed" % len(tests))


if __name__ == "__main__":
    sys.exit(main())
