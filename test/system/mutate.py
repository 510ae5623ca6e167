"""Valid sessions with a few bytes changed, cut, doubled or swapped, from a seed that is printed: no
stream may stop the hub, hang it or reach another client. FREEHUB_SEED repeats a run, FREEHUB_MUTATE_S
makes it longer."""

import os
import random
import sys
import time

from batch import batch
from hub import Hub
import rawmqtt as mqtt

SECONDS = float(os.environ.get("FREEHUB_MUTATE_S", "12"))
STREAMS_MAX = 20000


def properties_of(rng):
    """One or two properties of any packet, mostly in the wrong place."""
    pool = [b"\x01\x01", b"\x02\0\0\0\x09", b"\x03" + mqtt.text("t"), b"\x08" + mqtt.text("r/t"),
            b"\x09" + mqtt.text("cd"), b"\x0b\x05", b"\x11\0\0\0\x05", b"\x12" + mqtt.text("id"),
            b"\x13\0\x05", b"\x15" + mqtt.text("m"), b"\x17\1", b"\x18\0\0\0\1", b"\x19\1",
            b"\x1f" + mqtt.text("why"), b"\x21\0\5", b"\x22\0\5", b"\x23\0\1", b"\x24\1",
            b"\x25\1", b"\x26" + mqtt.text("k") + mqtt.text("v"), b"\x27\0\0\1\0", b"\x28\1"]
    return b"".join(rng.sample(pool, rng.choice((0, 0, 0, 1, 2))))


def session(rng):
    """The packets of an honest client, and its version."""
    version = rng.choice((4, 5))
    name = "mutant-%d" % rng.randrange(20)
    will = (rng.choice(("w/x", "v1/b/%s/tel" % name)), batch(9, 1), rng.randrange(2), False)
    packets = [mqtt.connect(name, version, keep_alive=rng.choice((0, 5, 65535)),
                            properties=properties_of(rng) if version == 5 else b"",
                            will=rng.choice((None, will)))]
    for _ in range(rng.randrange(1, 8)):
        packet_id = rng.randrange(1, 65536)
        extra = properties_of(rng) if version == 5 else b""
        payload = rng.choice((b"", b"x" * rng.randrange(3000), batch(1, packet_id, [5] * 20)))
        topic = rng.choice(("a", "a/b/c", "/", "v1/b/%s/tel" % name, "v1/b/%s/log" % name,
                            "v1/b/%s/hello" % name, "v1/b/%s/evt/trip_end" % name))
        packets.append(rng.choice((
            lambda: mqtt.publish(topic, payload, 0, 0, version, extra),
            lambda: mqtt.publish(topic, payload, 1, packet_id, version, extra),
            lambda: mqtt.subscribe(packet_id, [("a/#", 1), ("+/b", 0), ("mutants", 2)], version,
                                   extra),
            lambda: mqtt.unsubscribe(packet_id, ["a/#", "none"], version),
            lambda: mqtt.packet(mqtt.PUBACK, packet_id.to_bytes(2, "big")),
            lambda: mqtt.packet(mqtt.PINGREQ, b"")))())
    packets.append(mqtt.packet(mqtt.DISCONNECT, b""))
    return packets


def mutate(rng, packets):
    packets = list(packets)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
        at = rng.randrange(len(packets))
        data = bytearray(packets[at])
        place = rng.randrange(len(data)) if data else 0
        how = rng.randrange(8)
        if how == 0 and data:
            data[place] ^= 1 << rng.randrange(8)
        elif how == 1 and data:
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif how == 2:
            data[place:place + rng.randrange(1, 20)] = b""
        elif how == 3:
            data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif how == 4:
            packets.insert(at, bytes(data))
        elif how == 5 and len(packets) > 1:
            other = rng.randrange(len(packets))
            packets[at], packets[other] = packets[other], packets[at]
            continue
        elif how == 6 and len(data) > 1:
            data[1] = rng.randrange(256)
        elif how == 7:
            del packets[at]
            if not packets:
                packets = [b"\0"]
            continue
        packets[at] = bytes(data)
    return b"".join(packets)


def send(rng, port, data):
    """In random pieces, then the end: by FIN, by RST, or after what the hub has to say."""
    client = mqtt.Client(port)
    try:
        at = 0
        while at < len(data):
            size = rng.choice((1, 3, 50, 1000, len(data)))
            client.send(data[at:at + size])
            at += size
        if rng.randrange(3) == 0:
            client.socket.settimeout(0.02)
            client.socket.recv(65536)
    except OSError:
        pass
    if rng.randrange(2):
        client.close()
        return None
    return client


def main():
    seed = int(os.environ.get("FREEHUB_SEED", random.randrange(1 << 32)))
    rng = random.Random(seed)
    print("FREEHUB_SEED=%d" % seed)
    until = time.monotonic() + SECONDS
    count, lingering = 0, []
    with Hub() as hub:
        control = mqtt.Client(hub.port)
        control.connect("control", keep_alive=0)
        control.send(mqtt.subscribe(1, [("control/echo", 1)]))
        assert control.read()[0] == mqtt.SUBACK
        while count < STREAMS_MAX and time.monotonic() < until:
            client = send(rng, hub.port, mutate(rng, session(rng)))
            count += 1
            if client:
                lingering.append(client)
                if len(lingering) > 100:
                    lingering.pop(rng.randrange(len(lingering))).close()
            if count % 20 == 0:
                control.send(mqtt.publish("control/echo", b"%d" % count, 0))
                kind, _, body = control.read()
                assert kind == mqtt.PUBLISH and body.endswith(b"%d" % count), (kind, body)
        for client in lingering:
            client.close()
        assert hub.process.poll() is None
        rows = hub.rows()
        keys = {(row["bike"], row["boot"], row["sample"]) for row in rows}
        assert len(keys) == len(rows), "a sample twice"
        control.close()
        assert hub.stop() == 0
    print("%d streams, %d samples stored" % (count, len(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
