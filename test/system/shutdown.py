"""SIGTERM under load: MQTT 5 clients are told 0x8B, nothing acknowledged is missing, exit 0. A second
hub on the same folder, and folders that cannot be used, are refused with words that help."""

import os
import signal
import struct
import subprocess
import sys
import time

from batch import batch
from hub import BIN, Hub, free_port
import rawmqtt as mqtt


def read_acks(client, acked, seen):
    """Whatever has arrived, until the server closes."""
    for kind, _, body in client.closes(10):
        if kind == mqtt.PUBACK:
            acked.add(struct.unpack(">H", body[:2])[0])
        seen.append((kind, body))


def stop_under_load():
    hub = Hub().start()
    clients = []
    for i in range(8):
        version = 5 if i % 2 else 4
        client = mqtt.Client(hub.port)
        client.connect("load-%d" % i, version=version)
        clients.append((client, "load-%d" % i, version))
    for client, name, version in clients:
        client.send(b"".join(mqtt.publish("v1/b/%s/tel" % name, batch(1, n), 1, n, version)
                             for n in range(1, 61)))
    time.sleep(0.02)
    hub.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    acked = {}
    for client, name, version in clients:
        seen, acked[name] = [], set()
        read_acks(client, acked[name], seen)
        told = [body[0] for kind, body in seen if kind == mqtt.DISCONNECT]
        assert told == ([0x8B] if version == 5 else []), (name, told, len(seen), client.end)
    code = hub.process.wait(10)
    print("stopped after %.2f s, %d acknowledged" % (
        time.monotonic() - started, sum(map(len, acked.values()))))
    assert code == 0, "exit status %d" % code
    hub.process = None
    stored = {(row["bike"], int(row["sample"])) for row in hub.rows()}
    for name, samples in acked.items():
        missing = [n for n in samples if (name, n) not in stored]
        assert not missing, "%s: acknowledged and not stored: %s" % (name, missing)


def run_once(args):
    return subprocess.run([os.path.join(BIN, "freehubd"), *args], capture_output=True, text=True,
                          timeout=30)


def a_second_hub_is_refused():
    with Hub() as hub:
        other = run_once(["--data", hub.data, "--listen", "mqtt://127.0.0.1:%d" % free_port(),
                          "--allow-anonymous"])
        assert other.returncode != 0
        assert str(hub.process.pid) in other.stderr, other.stderr
        print("second hub:", other.stderr.strip().splitlines()[-1])
        client = mqtt.Client(hub.port)  # the first one goes on
        client.connect("after")
        client.send(mqtt.publish("v1/b/after/tel", batch(1, 1), 1, 1))
        assert client.read()[2][:2] == b"\0\1"
        client.close()


def folders_that_cannot_be_used_are_named():
    for folder in ("/proc/freehub", "/dev/null/data"):
        result = run_once(["--data", folder, "--listen", "mqtt://127.0.0.1:%d" % free_port(),
                           "--allow-anonymous"])
        assert result.returncode != 0 and folder in result.stderr, result.stderr
        print("%s: %s" % (folder, result.stderr.strip().splitlines()[-1]))


def plain_off_loopback_is_refused():
    result = run_once(["--data", "/nonexistent", "--listen", "mqtt://0.0.0.0:%d" % free_port(),
                       "--allow-anonymous"])
    assert result.returncode == 2 and "loopback" in result.stderr, result.stderr


def a_taken_port_is_named():
    with Hub() as hub:
        result = run_once(["--data", os.path.join(hub.folder, "other"), "--listen",
                           "mqtt://127.0.0.1:%d" % hub.port, "--allow-anonymous"])
        assert result.returncode != 0 and str(hub.port) in result.stderr, result.stderr


def main():
    for test in (stop_under_load, a_second_hub_is_refused, folders_that_cannot_be_used_are_named,
                 plain_off_loopback_is_refused, a_taken_port_is_named):
        test()
        print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
