"""Acknowledged means stored: kill -9 at random moments under QoS 1 load, again and again, then look
for every acknowledged sample. The second half is the proof that this harness can see a loss: the
same run against a hub linked to acknowledge before the commit must report one."""

import os
import random
import selectors
import socket
import struct
import sys
import time

from batch import batch
from hub import BIN, Hub
import rawmqtt

PUBLISHERS = int(os.environ.get("FREEHUB_KILL_PUBLISHERS", "20"))
WINDOW = 16
CYCLES = int(os.environ.get("FREEHUB_KILL_CYCLES", "50"))
CYCLES_EARLY = 6


class Publisher:
    """One bike: samples 1, 2, 3 ... of boot 1, resumed after each kill where nothing was
    acknowledged yet."""

    def __init__(self, number):
        self.bike = "kill-%d" % number
        self.topic = "v1/b/%s/tel" % self.bike
        self.next_sample = 1
        self.acked = set()
        self.sent = set()

    def open(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(rawmqtt.connect(self.bike))
        self.rest = b""
        self.in_flight = {}
        self.packet_id = 0
        self.connected = False

    def fill(self):
        out = b""
        while len(self.in_flight) < WINDOW:
            self.packet_id = self.packet_id % 65535 + 1
            sample, self.next_sample = self.next_sample, self.next_sample + 1
            self.in_flight[self.packet_id] = sample
            self.sent.add(sample)
            out += rawmqtt.publish(self.topic, batch(1, sample, (sample % 2000,)), 1,
                                   self.packet_id)
        if out:
            self.socket.sendall(out)

    def on_readable(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        packets, self.rest = rawmqtt.split(self.rest + data)
        for kind, _, body in packets:
            if kind == rawmqtt.CONNACK:
                assert body[1] == 0, "CONNECT refused: %r" % body
                self.connected = True
            elif kind == rawmqtt.PUBACK:
                sample = self.in_flight.pop(struct.unpack(">H", body[:2])[0])
                assert len(body) == 2 or body[2] == 0, "refused: %r" % body
                self.acked.add(sample)
        if self.connected:
            self.fill()


def load_until(publishers, port, until):
    """Publish as fast as acknowledged; seconds to the first CONNACK."""
    started, first = time.monotonic(), None
    selector = selectors.DefaultSelector()
    for publisher in publishers:
        publisher.open(port)
        selector.register(publisher.socket, selectors.EVENT_READ, publisher)
    while time.monotonic() < until or first is None:
        for key, _ in selector.select(0.01):
            key.data.on_readable()
            if first is None and key.data.connected:
                first = time.monotonic() - started
    selector.close()
    return first


def drain(publishers):
    """After the kill: acknowledgements that had left the hub count too."""
    for publisher in publishers:
        publisher.socket.settimeout(1)
        try:
            while True:
                data = publisher.socket.recv(65536)
                if not data:
                    break
                packets, publisher.rest = rawmqtt.split(publisher.rest + data)
                for kind, _, body in packets:
                    if kind == rawmqtt.PUBACK:
                        publisher.acked.add(publisher.in_flight.pop(
                            struct.unpack(">H", body[:2])[0]))
        except OSError:
            pass
        publisher.socket.close()


def campaign(daemon, cycles, rng):
    """(acknowledged, missing, invented, doubled, slowest restart in seconds)"""
    publishers = [Publisher(number) for number in range(PUBLISHERS)]
    slowest = 0.0
    hub = Hub(daemon=daemon)
    for _ in range(cycles):
        started = time.monotonic()
        hub.start()
        ready = time.monotonic() - started
        first = load_until(publishers, hub.port, time.monotonic() + rng.uniform(0.01, 0.5))
        slowest = max(slowest, ready + first)
        hub.kill()
        drain(publishers)
    with hub:
        stored, doubled = {}, 0
        for row in hub.rows():
            key = (row["bike"], int(row["sample"]))
            doubled += key in stored
            stored[key] = row["speed_mps"]
    missing = invented = acked = 0
    for publisher in publishers:
        acked += len(publisher.acked)
        for sample in publisher.acked:
            value = stored.get((publisher.bike, sample))
            missing += value is None or float(value) != sample % 2000 / 100
    sent = {(p.bike, s) for p in publishers for s in p.sent}
    invented = len(set(stored) - sent)
    return acked, missing, invented, doubled, slowest


def main():
    seed = int(os.environ.get("FREEHUB_SEED", random.randrange(1 << 32)))
    rng = random.Random(seed)
    print("FREEHUB_SEED=%d" % seed)

    acked, missing, invented, doubled, slowest = campaign(None, CYCLES, rng)
    print("%d kills: %d acknowledged, %d missing, %d invented, %d doubled; slowest restart to "
          "CONNACK %.3f s" % (CYCLES, acked, missing, invented, doubled, slowest))
    assert acked > CYCLES, "the load did not load"
    assert missing == 0 and invented == 0 and doubled == 0

    early = os.path.join(os.path.dirname(os.path.abspath(BIN)), "test", "freehubd_ack_early")
    acked, missing, _, _, _ = campaign(early, CYCLES_EARLY, rng)
    print("acknowledging before the commit, %d kills: %d acknowledged, %d missing" % (
        CYCLES_EARLY, acked, missing))
    assert missing > 0, "the harness cannot see a loss: its first result means nothing"
    return 0


if __name__ == "__main__":
    sys.exit(main())
