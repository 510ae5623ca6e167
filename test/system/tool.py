"""`freehub` beside a running hub: what it prints is true, copyable and ends with the right code."""

import json
import os
import re
import shlex
import subprocess
import sys
import time

from batch import batch
from hub import Hub


def code_of(hub, *args):
    return hub.tool(*args, check=False).returncode


def shown_command(text, program):
    """The line of `program` that the tool printed for copying."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith(program + " ")]
    assert len(lines) == 1, text
    return shlex.split(lines[0])


def run(command, **options):
    return subprocess.run(command, capture_output=True, timeout=30, **options)


def await_true(what, timeout=20.0):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError("did not come true in %g s" % timeout)


def test_status_tells_a_running_hub_from_none():
    hub = Hub(tls=True)
    assert code_of(hub, "status") == 5
    with hub:
        await_true(lambda: code_of(hub, "status") == 0)
        text = hub.tool("status").stdout
        assert re.search(r"^version +\d", text, re.M), text
        assert "mqtts://127.0.0.1:%d (bikes)" % hub.tls_port in text, text
        status = json.loads(hub.tool("status", "-o", "json").stdout)
        assert status["alarms"] == [] and status["store"]["failed"] is False, status
        assert {one["name"] for one in status["listeners"]} == {"plain", "bikes"}, status
        hub.kill()
        assert code_of(hub, "status") == 5, "a socket that a dead hub left is no hub"
        hub.start()
        await_true(lambda: code_of(hub, "status") == 0)


def publish(hub, added, topic, payload):
    """With the command `bikes add` printed, another topic and payload."""
    command = shown_command(added, "mosquitto_pub")
    command[command.index("-t") + 1] = topic
    command[command.index("-m"):] = ["-s"]
    result = run(command, input=payload)
    assert result.returncode == 0, result.stderr


def test_a_new_bike_publishes_at_once():
    with Hub(tls=True) as hub:
        added = hub.tool("bikes", "add", "bike-1").stdout
        assert run(shown_command(added, "mosquitto_pub")).returncode == 0
        assert code_of(hub, "bikes", "show", "bike-1") == 3, "a log line is no telemetry"
        publish(hub, added, "v1/b/bike-1/tel", batch(7, 1, speeds_cms=(500, 510, 495)))
        await_true(lambda: len(hub.rows("--bike", "bike-1")) == 3)
        bikes = json.loads(hub.tool("bikes", "list", "-o", "json").stdout)
        assert [(b["bike"], b["samples"]) for b in bikes] == [("bike-1", 3)], bikes
        values = json.loads(hub.tool("bikes", "show", "bike-1", "-o", "json").stdout)
        last = hub.rows()[-1]
        assert values, "no values"
        for value in values:
            assert float(last[value["name"]]) == value["value"], (value, last)
        assert hub.rows("--bike", "bike-1", "--from", "2001-01-01", "--to", "2001-01-02") == []
        assert code_of(hub, "export", "telemetry", "--bike", "nobody") == 3
        hub.stop()
        assert len(hub.rows()) == 3, "the store is read without a hub, too"
        assert "bike-1: last seen" in hub.tool("bikes", "show", "bike-1").stdout


def test_a_service_gets_its_rights_at_once():
    with Hub(tls=True) as hub:
        made = hub.tool("certs", "service", "app", "--read", "v1/b/+/log").stdout
        added = hub.tool("bikes", "add", "bike-1").stdout
        listen = shown_command(made, "mosquitto_sub") + ["-q", "1", "-C", "1", "-W", "20"]
        listen[listen.index("-F") + 1] = "%t %p"
        with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as reader:
            await_true(lambda: json.loads(hub.tool("status", "-o", "json").stdout)
                       ["subscriptions"] == 1)
            publish(hub, added, "v1/b/bike-1/log", b"hello")
            assert reader.communicate(timeout=30)[0] == "v1/b/bike-1/log hello\n"
        hub.tool("certs", "service", "app", "--read", "elsewhere/#")
        refused = run(listen)
        assert refused.returncode != 0 or b"denied" in refused.stderr.lower(), refused


def test_what_was_refused_can_be_looked_at():
    payload = bytes(range(256))
    with Hub(tls=True) as hub:
        added = hub.tool("bikes", "add", "bike-1").stdout
        assert hub.tool("quarantine", "list", "-o", "json").stdout == "[]\n"
        publish(hub, added, "v1/b/bike-1/tel", payload)
        await_true(lambda: hub.tool("quarantine", "list", "-o", "json").stdout != "[]\n")
        entry = json.loads(hub.tool("quarantine", "list", "-o", "json").stdout)[0]
        assert entry["topic"] == "v1/b/bike-1/tel" and entry["bytes"] == 256, entry
        sequence = str(entry["sequence"])
        raw = run([os.path.join(os.environ["FREEHUB_BIN"], "freehub"), "quarantine", "show",
                   sequence, "--raw", "--data", hub.data])
        assert raw.stdout == payload
        text = hub.tool("quarantine", "show", sequence).stdout
        assert "00000010  10 11" in text and entry["reason"] in text, text
        shown = json.loads(hub.tool("quarantine", "show", sequence, "-o", "json").stdout)
        assert bytes.fromhex(shown[0]["payload_hex"]) == payload
        assert code_of(hub, "quarantine", "show", "999999") == 3
        hub.stop()
        assert json.loads(hub.tool("quarantine", "list", "-o", "json").stdout) == [entry]


def test_alarms_are_shown_and_end_with_1():
    with Hub(tls=True, config="store: {quarantine_max: 64KiB}\n") as hub:
        added = hub.tool("bikes", "add", "bike-1").stdout
        for _ in range(6):
            publish(hub, added, "v1/b/bike-1/tel", b"\xff" * 20000)
        hub.stop()  # the quarantine is trimmed at checkpoints, and this makes one
        hub.start()
        await_true(lambda: code_of(hub, "status") == 1)
        assert "ALARM quarantine_full: " in hub.tool("status", check=False).stdout


def test_the_daemon_judges_its_configuration():
    with Hub() as hub:
        def config(verb, *args):
            return run([os.path.join(os.environ["FREEHUB_BIN"], "freehub"), "config", verb, *args],
                       text=True)

        good = config("check", hub.config)
        assert good.returncode == 0 and "sound, 1 listener, 6 streams" in good.stdout, good
        shown = config("show", hub.config)
        assert shown.returncode == 0 and "receive_maximum: 64" in shown.stdout, shown
        assert "limits.max_packet  (default 256KiB" in config("keys").stdout
        broken = os.path.join(hub.folder, "broken.yaml")
        with open(broken, "w") as file:
            file.write("limits:\n  max_paket: 1MiB\n")
        bad = config("check", broken)
        assert bad.returncode == 1 and bad.stderr == (
            "freehubd: %s:2:3: unknown key \"max_paket\" in limits: did you mean \"max_packet\"?\n"
            % broken), bad
        none = config("check", "/none.yaml")
        assert none.returncode == 1 and "/none.yaml: No such file" in none.stderr, none


def main():
    tests = [value for name, value in sorted(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
        print("ok %s" % test.__name__)
    print("%d tests passed" % len(tests))


if __name__ == "__main__":
    sys.exit(main())
