"""`freehub bench` counts what a broker does: beside a broker of our own that loses, repeats or swaps
messages on demand, and beside a real hub."""

import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading

from hub import BIN, Hub
from rawmqtt import (CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBLISH, SUBACK,
                     SUBSCRIBE, packet)

MESSAGES = 200


def split(data):
    """Whole packets of `data` as (kind, flags, body), and the rest."""
    found = []
    while len(data) >= 2:
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(data):
                return found, data
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if len(data) < at + length:
            break
        found.append((data[0] >> 4, data[0] & 15, data[at:at + length]))
        data = data[at + length:]
    return found, data


class FakeBroker(threading.Thread):
    """MQTT 3.1.1. Hands every message of QoS 1 to every subscriber, but for the one named fault."""

    def __init__(self, fault):
        super().__init__(daemon=True)
        self.fault = fault
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.subscribers, self.rest = [], {}
        self.seen, self.held, self.ids, self.over = 0, None, 0, False
        self.start()

    def run(self):
        with selectors.DefaultSelector() as ready, self.listener:
            ready.register(self.listener, selectors.EVENT_READ)
            while not self.over:
                for key, _ in ready.select(0.1):
                    if key.fileobj is self.listener:
                        peer, _ = self.listener.accept()
                        self.rest[peer] = b""
                        ready.register(peer, selectors.EVENT_READ)
                        continue
                    if not self.turn(key.fileobj):
                        ready.unregister(key.fileobj)
                        if key.fileobj in self.subscribers:
                            self.subscribers.remove(key.fileobj)
                        key.fileobj.close()
            for peer in self.rest:
                peer.close()

    def turn(self, peer):
        try:
            data = peer.recv(65536)
        except OSError:
            return False
        packets, self.rest[peer] = split(self.rest[peer] + data)
        return bool(data) and all(self.on_packet(peer, *one) for one in packets)

    def on_packet(self, peer, kind, flags, body):
        if kind == CONNECT:
            peer.sendall(packet(CONNACK, b"\0\5" if self.fault == "refuse" else b"\0\0"))
        elif kind == SUBSCRIBE:
            granted = b"\x80" if self.fault == "deny" else b"\1"
            self.subscribers.append(peer)
            peer.sendall(packet(SUBACK, body[:2] + granted))
        elif kind == PINGREQ:
            peer.sendall(packet(PINGRESP, b""))
        elif kind == DISCONNECT:
            return False
        elif kind == PUBLISH:
            return self.on_publish(peer, body)
        return True

    def on_publish(self, peer, body):
        self.seen += 1
        at = 2 + struct.unpack(">H", body[:2])[0]
        peer.sendall(packet(PUBACK, body[at:at + 2]))
        one = (body[:at], body[at + 2:])
        if self.seen != 50:
            self.deliver(one)
            if self.held:
                self.deliver(self.held)
                self.held = None
        elif self.fault == "twice":
            self.deliver(one)
            self.deliver(one)
        elif self.fault == "swap":
            self.held = one
        elif self.fault == "close":
            return False
        elif self.fault == "forge":
            peer.sendall(packet(PUBACK, b"\xff\xff"))
        elif self.fault != "lose":
            self.deliver(one)
        return True

    def deliver(self, one):
        for subscriber in self.subscribers:
            self.ids = self.ids % 65535 + 1
            subscriber.sendall(packet(PUBLISH, one[0] + struct.pack(">H", self.ids) + one[1], 2))


def bench(*arguments):
    """Exit code, figures (or None), what was said."""
    result = subprocess.run([os.path.join(BIN, "freehub"), "bench", "--json", *arguments],
                            capture_output=True, text=True, timeout=60)
    figures = json.loads(result.stdout) if result.stdout.strip() else None
    return result.returncode, figures, result.stderr.strip()


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError("%s: %r, not %r" % (what, got, wanted))


def test_faults_of_a_broker_are_counted():
    for fault, lost, duplicates, disordered in (("none", 0, 0, 0), ("lose", 1, 0, 0),
                                                ("twice", 0, 1, 0), ("swap", 0, 0, 1)):
        for payload in ("batch1", "8"):
            broker = FakeBroker(fault)
            code, figures, said = bench("--port", str(broker.port), "--protocol", "4",
                                        "--publishers", "1", "--subscribers", "1", "--verify",
                                        "--window", "8", "--messages", str(MESSAGES),
                                        "--payload", payload)
            broker.over = True
            assert figures, said
            same(fault, (figures["lost"], figures["duplicates"], figures["disordered"]),
                 (lost, duplicates, disordered))
            same(fault + " exits", code, 0 if fault == "none" else 1)
            same("acknowledged", (figures["acked"], figures["messages"]), (MESSAGES, MESSAGES))


def test_what_ends_a_run_is_said():
    for fault, code, words in (("refuse", 4, "Not authorized"), ("deny", 4, "refused the subscription"),
                               ("close", 5, "closed a connection"), ("forge", 1, "was not sent")):
        broker = FakeBroker(fault)
        got, figures, said = bench("--port", str(broker.port), "--protocol", "4", "--publishers",
                                   "1", "--subscribers", "1", "--window", "1", "--messages", "100")
        broker.over = True
        same(fault, (got, figures), (code, None))
        assert words.lower() in said.lower(), said
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    same("nobody listens", bench("--port", str(port))[0], 5)


def test_wrong_command_lines_are_explained():
    for arguments, words in ((("--publishers", "3"), "--port is missing"),
                             (("--port", "0"), "--port"), (("--port", "1", "--qos", "2"), "--qos"),
                             (("--port", "1", "--host", "192.0.2.1"), "--anywhere"),
                             (("--port", "1", "--idle", "5"), "--pid"),
                             (("--port", "1", "--verify"), "--subscribers"),
                             (("--port", "1", "--payload", "7"), "--payload"),
                             (("--port", "1", "more"), "more")):
        code, figures, said = bench(*arguments)
        same(" ".join(arguments), (code, figures), (2, None))
        assert words in said, said


def test_a_hub_stores_the_load_and_loses_nothing():
    with Hub() as hub:
        for version, qos in (("4", "1"), ("5", "1"), ("5", "0")):
            code, figures, said = bench("--port", str(hub.port), "--pid", str(hub.process.pid),
                                        "--protocol", version, "--qos", qos, "--publishers", "4",
                                        "--subscribers", "2", "--verify", "--messages", "2000",
                                        "--window", "16")
            same("exit after " + said, code, 0)
            same("deliveries", figures["received"], 2 * figures["sent"])
            assert figures["refused"] == 0 and figures["rss_bytes"] > 0, figures
        code, figures, said = bench("--port", str(hub.port), "--publishers", "2", "--rate", "500",
                                    "--messages", "250")
        same("exit after " + said, code, 0)
        same("acknowledged", figures["acked"], 250)
        code, figures, said = bench("--port", str(hub.port), "--pid", str(hub.process.pid),
                                    "--idle", "50", "--hold", "0")
        same("exit after " + said, code, 0)
        same("connections", figures["connections"], 50)
        stored = hub.rows("--bike", "bench-0")
        assert len(stored) >= 500 and len({(row["boot"], row["sample"]) for row in stored}) == \
            len(stored), "%d rows" % len(stored)


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print("%s: ok" % name, flush=True)


if __name__ == "__main__":
    sys.exit(main())
