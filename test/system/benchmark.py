"""test/bench/run prints what it promises and leaves no process behind, however it ends."""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = os.path.join(os.path.dirname(HERE), "bench", "run")
MEMBERS = {"part", "name", "value", "unit", "peer", "ratio", "target", "ok"}


def command(folder):
    return [sys.executable, RUN, "--quick", "--seconds", "0.3", "--json", "--folder", folder,
            "ingest"]


def processes_of(folder):
    """Command lines that name the folder, this test's own left out."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.startswith(folder) for word in words):
            found.append(words)
    return found


def await_true(what, timeout):
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_each_figure_is_one_object():
    with tempfile.TemporaryDirectory(prefix="freehub-benchmark-") as folder:
        result = subprocess.run(command(folder), capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        figures = [json.loads(line) for line in result.stdout.splitlines()]
        names = [figure["name"] for figure in figures]
        assert "cpu_per_message" in names and "rate" in names, names
        for figure in figures:
            assert MEMBERS <= set(figure) and figure["part"] == "ingest", figure
        assert next(f for f in figures if f["name"] == "rate")["value"] > 0, figures
        assert not processes_of(folder), processes_of(folder)
        assert not os.listdir(folder), os.listdir(folder)


def test_nothing_outlives_it():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        with tempfile.TemporaryDirectory(prefix="freehub-benchmark-") as folder:
            child = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)

            def hub_runs():
                return any("freehubd" in words[0] for words in processes_of(folder))
            assert await_true(hub_runs, 60), "no freehubd was started"
            child.send_signal(number)
            child.wait(30)
            assert await_true(lambda: not processes_of(folder), 10), processes_of(folder)


def test_wrong_parts_are_refused():
    result = subprocess.run([sys.executable, RUN, "speed"], capture_output=True, text=True)
    assert result.returncode == 2 and "no such part" in result.stderr, result.stderr


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print("%s: ok" % name, flush=True)


if __name__ == "__main__":
    sys.exit(main())
