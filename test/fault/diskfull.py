"""A disk that fills up: what would have to be stored is refused (0x97 in MQTT 5, closed without an
acknowledgement in 3.1.1), the rest goes on, the alarm is raised, nothing acknowledged is missing,
and once there is room again it is used without anybody's help. Needs the right to mount a tmpfs."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from batch import batch
from hub import SKIPPED, Hub, logged
import rawmqtt as mqtt

DISK_BYTES = 64 << 20
QUOTA_EXCEEDED = 0x97
WAITING = -1
SAMPLES = 20  # in a message
MESSAGES_MAX = 4000


class Disk:
    """A small file system of its own, and a file that fills it."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="freehub-disk-")
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_BYTES, "none",
                               self.folder], capture_output=True)
        if made.returncode != 0:
            os.rmdir(self.folder)
            print("skipped: mounting is not permitted: %s" % made.stderr.decode().strip())
            sys.exit(SKIPPED)
        self.ballast = os.path.join(self.folder, "ballast")
        return self

    def fill(self, leave=0):
        """Leave that many bytes free."""
        disk = os.statvfs(self.folder)
        size = os.path.getsize(self.ballast) if os.path.exists(self.ballast) else 0
        size += max(0, disk.f_bavail * disk.f_frsize - leave)
        with open(self.ballast, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def free(self):
        os.unlink(self.ballast)

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder])
        shutil.rmtree(self.folder, ignore_errors=True)


class Bike:
    """Publishes messages of many samples, one at a time."""

    def __init__(self, hub, name, version=5):
        self.hub, self.name, self.version = hub, name, version
        self.sent = self.packet_id = 0
        self.acked = set()
        self.open()

    def open(self):
        self.client = mqtt.Client(self.hub.port)
        assert self.client.connect(self.name, version=self.version)[1] == 0

    def publish(self):
        """Telemetry; the reason of its acknowledgement, None when the hub closed instead."""
        self.sent += 1
        reason = self.put("tel", batch(1, 1 + (self.sent - 1) * SAMPLES, range(1, SAMPLES + 1)))
        if reason == 0:
            self.acked.add(self.sent)
        return reason

    def put(self, kind, payload):
        self.packet_id = self.packet_id % 65535 + 1
        self.client.send(mqtt.publish("v1/b/%s/%s" % (self.name, kind), payload, 1,
                                      self.packet_id, self.version))
        try:
            kind, _, body = self.client.read(2)
        except TimeoutError:  # taken just before the disk was found full: it waits for room
            self.client.close()
            self.open()
            return WAITING
        except (EOFError, ConnectionError):
            self.client.close()
            return None
        assert kind == mqtt.PUBACK, "packet type %d" % kind
        assert struct.unpack(">H", body[:2])[0] == self.packet_id
        return body[2] if len(body) > 2 else 0

    def publish_until(self, reason):
        """Telemetry, and large log lines to get there soon."""
        for i in range(MESSAGES_MAX):
            got = self.publish() if i % 4 == 0 else self.put("log", bytes(50000))
            if got == reason:
                return
            assert got in (0, WAITING), "refused with 0x%02x" % got
        raise AssertionError("the disk never filled up")

    def publish_until_accepted(self, timeout=30):
        deadline = time.monotonic() + timeout
        while self.publish() != 0:
            assert time.monotonic() < deadline, "not accepted again"
            time.sleep(0.05)


def fills_and_recovers(disk):
    hub = Hub(folder=disk.folder, config="store: {commit_interval: 0}\n")
    hub.start()
    assert hub.tool("status", check=False).returncode == 0
    five, four = Bike(hub, "five"), Bike(hub, "four", 4)
    listener = mqtt.Client(hub.port)
    listener.connect("listener")
    listener.send(mqtt.subscribe(1, [("plain/#", 1), ("v1/b/+/tel", 0)]))
    assert listener.read()[0] == mqtt.SUBACK
    assert four.publish() == 0 and listener.read()[0] == mqtt.PUBLISH

    for leave in (20 << 20, 0):  # down to the reserve, then nothing at all
        disk.fill(leave)
        listener.send(mqtt.unsubscribe(2, ["v1/b/+/tel"]))
        while listener.read()[0] != mqtt.UNSUBACK:
            pass
        five.publish_until(QUOTA_EXCEEDED)
        listener.send(mqtt.subscribe(3, [("v1/b/+/tel", 0)]))
        assert listener.read()[0] == mqtt.SUBACK
        for _ in range(3):
            assert five.publish() == QUOTA_EXCEEDED
        assert four.publish() is None, "3.1.1 gets no acknowledgement and is closed"
        four.open()
        doomed = mqtt.Client(hub.port)
        doomed.connect("doomed", will=("v1/b/doomed/tel", batch(1, 1), 0, False))
        doomed.close()
        pub = mqtt.Client(hub.port)
        pub.connect("plain")
        pub.send(mqtt.publish("plain/topic", b"served", 1, 1))
        assert pub.read()[2][:2] == b"\0\1"
        pub.close()
        kind, flags, body = listener.read()
        assert kind == mqtt.PUBLISH and body.endswith(b"served"), "a refused message was shown"
        listener.send(mqtt.packet(mqtt.PUBACK, b"\0\1" if leave else b"\0\2"))
        status = hub.tool("status", check=False)
        assert status.returncode == 1 and "disk_full" in status.stdout, status.stdout
        disk.free()
        five.publish_until_accepted()
        assert listener.read()[0] == mqtt.PUBLISH
        assert four.publish() == 0
        assert listener.read()[0] == mqtt.PUBLISH
        assert hub.tool("status", check=False).returncode == 0
    events = [len(logged(hub, event)) for event in ("disk_full", "disk_has_room")]
    assert events == [2, 2], "told once when it begins and once when it ends: %r" % events
    disk.fill()
    assert hub.stop() == 0, "a full disk does not hinder a stop"
    disk.free()
    with hub:
        stored = [(row["bike"], int(row["sample"])) for row in hub.rows()]
    assert len(stored) == len(set(stored)), "a sample twice"
    stored = set(stored)
    for bike in (five, four):
        for number in bike.acked:
            for sample in range(1 + (number - 1) * SAMPLES, 1 + number * SAMPLES):
                assert (bike.name, sample) in stored, "acknowledged and missing: %d" % sample
        print("%s: %d messages sent, %d acknowledged" % (bike.name, bike.sent, len(bike.acked)))
        bike.client.close()
    assert not any(name == "doomed" for name, _ in stored)


def a_start_on_a_full_disk_is_told(disk):
    """A new folder cannot be made; an old one starts, refuses and says so."""
    shutil.rmtree(os.path.join(disk.folder, "data"), ignore_errors=True)
    disk.fill()
    hub = Hub(folder=disk.folder)
    hub.log_path = os.path.join(tempfile.gettempdir(), "freehub-full-%d.log" % os.getpid())
    try:
        hub.start(wait=False)
        assert hub.process.wait(20) not in (0, None)
        hub.process = None
        print(hub.log().strip().splitlines()[-1])
        assert "No space left" in hub.log() or "bytes are left" in hub.log(), hub.log()
        disk.free()
        with hub:
            bike = Bike(hub, "before")
            assert bike.publish() == 0
            bike.client.close()
        disk.fill()
        with hub:
            bike = Bike(hub, "after")
            bike.publish_until(QUOTA_EXCEEDED)
            assert hub.tool("status", check=False).returncode == 1
            disk.free()
            bike.publish_until_accepted()
            bike.client.close()
    finally:
        os.unlink(hub.log_path)


def main():
    with Disk() as disk:
        for test in (fills_and_recovers, a_start_on_a_full_disk_is_told):
            test(disk)
            print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
