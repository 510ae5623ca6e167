"""Bikes that publish numbered samples as fast as they are acknowledged, and remember which were."""

import selectors
import socket
import struct
import time

from batch import batch
import rawmqtt

WINDOW = 16


class Publisher:
    """One bike: samples 1, 2, 3 ... of boot 1, resumed after each kill where nothing was
    acknowledged yet."""

    def __init__(self, number, name="bike"):
        self.bike = "%s-%d" % (name, number)
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

    def on_bytes(self, data):
        packets, self.rest = rawmqtt.split(self.rest + data)
        for kind, _, body in packets:
            if kind == rawmqtt.CONNACK:
                assert body[1] == 0, "CONNECT refused: %r" % body
                self.connected = True
            elif kind == rawmqtt.PUBACK:
                sample = self.in_flight.pop(struct.unpack(">H", body[:2])[0])
                assert len(body) == 2 or body[2] == 0, "refused: %r" % body
                self.acked.add(sample)

    def on_readable(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        self.on_bytes(data)
        if self.connected:
            self.fill()

    def drain(self):
        """After the hub's end: acknowledgements that had left it count too."""
        try:
            self.socket.settimeout(1)
            while True:
                data = self.socket.recv(65536)
                if not data:
                    break
                self.on_bytes(data)
        except OSError:
            pass
        self.socket.close()


def load_until(publishers, port, until):
    """Publish as fast as acknowledged until that time of time.monotonic(); seconds to the first
    CONNACK. An OSError when the hub goes."""
    started, first = time.monotonic(), None
    with selectors.DefaultSelector() as selector:
        for publisher in publishers:
            publisher.open(port)
            selector.register(publisher.socket, selectors.EVENT_READ, publisher)
        while time.monotonic() < until or first is None:
            for key, _ in selector.select(0.01):
                key.data.on_readable()
                if first is None and key.data.connected:
                    first = time.monotonic() - started
    return first


class Tally:
    """What a store holds against what was acknowledged and sent."""

    def __init__(self, hub, publishers):
        stored, self.doubled = {}, 0
        for row in hub.rows():
            key = (row["bike"], int(row["sample"]))
            self.doubled += key in stored
            stored[key] = row["speed_mps"]
        self.acked = self.missing = 0
        for publisher in publishers:
            self.acked += len(publisher.acked)
            for sample in publisher.acked:
                value = stored.get((publisher.bike, sample))
                self.missing += value is None or float(value) != sample % 2000 / 100
        sent = {(p.bike, sample) for p in publishers for sample in p.sent}
        self.invented = len(set(stored) - sent)

    def __str__(self):
        return "%d acknowledged, %d missing, %d invented, %d doubled" % (
            self.acked, self.missing, self.invented, self.doubled)

    def is_clean(self):
        return self.missing == 0 and self.invented == 0 and self.doubled == 0
