"""What MQTT promises for what this broker offers, seen on the wire, in both versions."""

import csv
import struct
import sys
import time

from batch import batch
from hub import Hub, logged
import rawmqtt as mqtt

csv.field_size_limit(1 << 30)
PROP_SESSION_EXPIRY, PROP_ASSIGNED, PROP_KEEP_ALIVE, PROP_RECEIVE_MAX = 0x11, 0x12, 0x13, 0x21
PROP_MAX_QOS, PROP_RETAIN, PROP_MAX_PACKET, PROP_SUB_ID, PROP_SHARED = 0x24, 0x25, 0x27, 0x29, 0x2A


def properties(body):
    """A property list (with its length in front) as {identifier: value}, CONNACK's kinds only."""
    length, at, found = body[0], 1, {}
    sizes = {PROP_SESSION_EXPIRY: 4, PROP_KEEP_ALIVE: 2, PROP_RECEIVE_MAX: 2, PROP_MAX_QOS: 1,
             PROP_RETAIN: 1, PROP_MAX_PACKET: 4, PROP_SUB_ID: 1, PROP_SHARED: 1, 0x22: 2, 0x28: 1}
    while at < 1 + length:
        kind = body[at]
        at += 1
        if kind in (PROP_ASSIGNED, 0x1F):
            size = struct.unpack(">H", body[at:at + 2])[0]
            found[kind] = body[at + 2:at + 2 + size]
            at += 2 + size
        else:
            found[kind] = int.from_bytes(body[at:at + sizes[kind]], "big")
            at += sizes[kind]
    return found


def open_client(hub, name, version=5, **options):
    client = mqtt.Client(hub.port)
    body = client.connect(name, version=version, **options)
    assert body[1] == 0, "CONNECT refused: %r" % body
    return client


def subscriber(hub, name, filters, version=5):
    client = open_client(hub, name, version)
    client.send(mqtt.subscribe(1, filters, version))
    kind, _, body = client.read()
    assert kind == mqtt.SUBACK, kind
    return client, body


def publish_parts(flags, body, version):
    qos = flags >> 1 & 3
    size = struct.unpack(">H", body[:2])[0]
    at, packet_id = 2 + size, None
    if qos:
        packet_id = struct.unpack(">H", body[at:at + 2])[0]
        at += 2
    props = b""
    if version == 5:
        props = body[at + 1:at + 1 + body[at]]
        at += 1 + body[at]
    return body[2:2 + size].decode(), qos, packet_id, props, body[at:]


def expect_publish(client, topic, payload, qos, version=5):
    kind, flags, body = client.read()
    assert kind == mqtt.PUBLISH, "packet type %d" % kind
    got_topic, got_qos, packet_id, props, got = publish_parts(flags, body, version)
    assert (got_topic, got, got_qos) == (topic, payload, qos), (got_topic, got[:40], got_qos)
    assert flags & 9 == 0, "DUP or RETAIN on a first live delivery"
    if qos:
        assert packet_id
        client.send(mqtt.packet(mqtt.PUBACK, struct.pack(">H", packet_id)))
    return props


def connack_announces_what_is_offered(hub):
    client = mqtt.Client(hub.port)
    body = client.connect("", properties=b"\x11\0\0\x0e\x10", keep_alive=0)
    found = properties(body[2:])
    assert body[0] == 0, "Session Present"
    assert found[PROP_SESSION_EXPIRY] == 0 and found[PROP_MAX_QOS] == 1
    assert found[PROP_RETAIN] == 0 and found[PROP_SHARED] == 0 and found[PROP_SUB_ID] == 0
    assert found[PROP_RECEIVE_MAX] == 64 and found[PROP_MAX_PACKET] == 256 * 1024
    assert found[PROP_KEEP_ALIVE] == 1800 and len(found[PROP_ASSIGNED]) > 10
    client.close()


def every_qos_and_version_reaches_every_other(hub):
    for sub_version in (4, 5):
        for pub_version in (4, 5):
            for asked in (0, 1, 2):
                name = "%d%d%d" % (sub_version, pub_version, asked)
                sub, suback = subscriber(hub, "sub" + name, [("t/%s/+" % name, asked)], sub_version)
                assert suback[-1] == min(asked, 1), "granted"
                pub = open_client(hub, "pub" + name, pub_version)
                for qos in (0, 1):
                    payload = b"x" * (1 + qos * 70000)
                    pub.send(mqtt.publish("t/%s/a" % name, payload, qos, 7, pub_version))
                    if qos:
                        kind, _, body = pub.read()
                        assert kind == mqtt.PUBACK and body[:2] == b"\0\x07"
                    expect_publish(sub, "t/%s/a" % name, payload, min(qos, asked), sub_version)
                sub.close()
                pub.close()


def wildcards_dollar_topics_and_unsubscribe(hub):
    sub, body = subscriber(hub, "wild", [("#", 0), ("+/x", 1), ("a/#", 0)])
    assert body[-3:] == b"\0\1\0"
    pub = open_client(hub, "wildpub")
    for topic, qos in (("$hidden/x", 0), ("a", 0), ("b/x", 1), ("a/x", 1), ("/x", 1)):
        pub.send(mqtt.publish(topic, topic.encode(), 1, 9))
        assert pub.read()[0] == mqtt.PUBACK
        if not topic.startswith("$"):
            expect_publish(sub, topic, topic.encode(), qos)  # one copy, the highest QoS
    sub.send(mqtt.unsubscribe(2, ["#", "+/x", "a/#", "never"]))
    assert sub.read()[2][-4:] == b"\0\0\0\x11"
    pub.send(mqtt.publish("a/x", b"gone", 1, 9))
    pub.read()
    sub.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert sub.read()[0] == mqtt.PINGRESP, "delivered after UNSUBACK"
    sub.close()
    pub.close()


def properties_are_forwarded_unaltered(hub):
    sub, _ = subscriber(hub, "props", [("props", 0)])
    pub = open_client(hub, "propspub")
    sent = (b"\x01\x01" + b"\x03" + mqtt.text("text/plain") + b"\x08" + mqtt.text("back/here") +
            b"\x09" + mqtt.text(b"\1\2\3") + b"\x26" + mqtt.text("k") + mqtt.text("v1") +
            b"\x26" + mqtt.text("k") + mqtt.text("v2"))
    pub.send(mqtt.publish("props", b"hello", properties=sent + b"\x02\0\0\0\x64"))
    got = expect_publish(sub, "props", b"hello", 0)
    assert sent in got or sorted(got) == sorted(sent + b"\x02\0\0\0\x64"), got
    assert b"\x26" + mqtt.text("k") + mqtt.text("v1") + b"\x26" + mqtt.text("k") + mqtt.text(
        "v2") in got, "User Properties in their order"
    sub.close()
    pub.close()


def no_local_and_receive_maximum(hub):
    client, _ = subscriber(hub, "local", [("nl", 4)])
    client.send(mqtt.publish("nl", b"mine", 1, 3))
    assert client.read()[0] == mqtt.PUBACK
    other = open_client(hub, "other")
    other.send(mqtt.publish("nl", b"theirs"))
    expect_publish(client, "nl", b"theirs", 0)
    client.close()

    slow = mqtt.Client(hub.port)
    slow.connect("slow", properties=b"\x21\0\x02")
    slow.send(mqtt.subscribe(1, [("rm", 1)]))
    slow.read()
    for i in range(5):
        other.send(mqtt.publish("rm", b"%d" % i, 1, 10 + i))
        assert other.read()[0] == mqtt.PUBACK
    ids = []
    for i in range(2):
        kind, flags, body = slow.read()
        ids.append(publish_parts(flags, body, 5)[2])
    slow.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert slow.read()[0] == mqtt.PINGRESP, "more than Receive Maximum sent"
    for i in range(2, 5):
        slow.send(mqtt.packet(mqtt.PUBACK, struct.pack(">H", ids.pop(0))))
        kind, flags, body = slow.read()
        got = publish_parts(flags, body, 5)
        assert got[4] == b"%d" % i, "order"
        ids.append(got[2])
    slow.close()
    other.close()


def maximum_packet_size_of_the_client(hub):
    small = mqtt.Client(hub.port)
    small.connect("small", properties=b"\x27\0\0\0\x40")
    small.send(mqtt.subscribe(1, [("mps", 0)]))
    small.read()
    pub = open_client(hub, "mpspub")
    pub.send(mqtt.publish("mps", b"x" * 100) + mqtt.publish("mps", b"fits"))
    expect_publish(small, "mps", b"fits", 0)
    small.close()
    pub.close()


def a_will_is_sent_unless_the_end_was_clean(hub):
    watch, _ = subscriber(hub, "watch", [("will/#", 1)])
    for how, expected in (("cut", True), ("clean", False), ("with will", True), ("error", True)):
        client = mqtt.Client(hub.port)
        client.connect("mortal", will=("will/mortal", how, 1, False))
        if how == "clean":
            client.send(mqtt.packet(mqtt.DISCONNECT, b""))
        elif how == "with will":
            client.send(mqtt.packet(mqtt.DISCONNECT, b"\x04"))
        elif how == "error":
            client.send(b"\x00\x00")
        if how != "cut":
            client.closes()
        client.close()
        if expected:
            expect_publish(watch, "will/mortal", how.encode(), 1)
    first = mqtt.Client(hub.port)
    first.connect("twice", will=("will/twice", "old", 0, False))
    second = open_client(hub, "twice")
    assert [body[0] for kind, _, body in first.closes() if kind == mqtt.DISCONNECT] == [0x8E]
    expect_publish(watch, "will/twice", b"old", 0)
    old = open_client(hub, "twice4", 4)
    open_client(hub, "twice4", 4).close()
    assert old.closes() == [], "3.1.1 has no DISCONNECT from the server"
    watch.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert watch.read()[0] == mqtt.PINGRESP
    second.close()
    watch.close()


def a_wills_expiry_begins_when_it_is_published(hub):
    watch, _ = subscriber(hub, "watch", [("will/#", 0)])
    client = mqtt.Client(hub.port)
    client.connect("mortal", will=("will/expiring", "gone", 0, False),
                   will_properties=b"\x02\0\0\0\x01")
    time.sleep(1.2)  # longer than the Message Expiry Interval
    client.close()
    assert expect_publish(watch, "will/expiring", b"gone", 0) == b"\x02\0\0\0\x01"
    watch.close()


def a_session_expiry_may_be_named_at_the_end_if_it_was_at_the_start(hub):
    """[MQTT-3.14.2-2]: an error only after a CONNECT without one."""
    watch, _ = subscriber(hub, "watch", [("will/#", 0)])
    for at_start, ending, reasons in ((b"\x11\0\0\0\x3c", b"", []), (b"", b"will/expiry", [0x82])):
        client = mqtt.Client(hub.port)
        client.connect("ender", properties=at_start, will=("will/expiry", "sent", 0, False))
        client.send(mqtt.packet(mqtt.DISCONNECT, b"\0\5\x11\0\0\0\x1e"))
        assert [body[0] for kind, _, body in client.closes() if kind == mqtt.DISCONNECT] == reasons
        client.close()
        watch.send(mqtt.packet(mqtt.PINGREQ, b""))
        kind, _, body = watch.read()
        if ending:
            assert kind == mqtt.PUBLISH and watch.read()[0] == mqtt.PINGRESP
        else:
            assert kind == mqtt.PINGRESP, "a will after a clean end: %r" % body
    watch.close()


def keep_alive_is_one_and_a_half(hub):
    client = open_client(hub, "sleepy", keep_alive=1)
    started = time.monotonic()
    seen = client.closes(20)
    assert [body[0] for kind, _, body in seen if kind == mqtt.DISCONNECT] == [0x8D]
    assert time.monotonic() - started >= 1.4, "closed before 1.5 x Keep Alive"


def telemetry_is_stored_bad_payloads_are_quarantined(hub):
    live, _ = subscriber(hub, "live", [("v1/b/+/tel", 1)])
    five, four = open_client(hub, "five"), open_client(hub, "four", 4)
    five.send(mqtt.publish("v1/b/five/tel", batch(1, 1, (100, 200, 150)), 1, 1))
    assert five.read()[2][:2] == b"\0\1"
    assert live.read()[0] == mqtt.PUBLISH
    five.send(mqtt.publish("v1/b/five/tel", b"\xff\xff\xff", 1, 2))
    kind, _, body = five.read()
    assert kind == mqtt.PUBACK and body[:3] == b"\0\2\x99" and len(body) > 5, body
    four.send(mqtt.publish("v1/b/four/tel", b"\xff\xff\xff", 1, 2, 4))
    assert four.read() == (mqtt.PUBACK, 0, b"\0\2"), "3.1.1 gets a normal PUBACK"
    live.send(mqtt.packet(mqtt.PUBACK, b"\0\1"))
    live.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert live.read()[0] == mqtt.PINGRESP, "a refused payload was routed"
    rows = hub.rows("--bike", "five")
    assert [row["speed_mps"] for row in rows] == ["1.00", "2.00", "1.50"], rows
    assert len(logged(hub, "payload_quarantined")) == 2
    for client in (five, four, live):
        client.close()


def acknowledgements_keep_their_order(hub):
    client = open_client(hub, "order")
    data = b""
    for i in range(1, 61):  # stored, not stored, refused: all in flight at once
        topic, payload = [("v1/b/order/tel", batch(2, i)), ("plain", b"x"),
                          ("v1/b/order/tel", b"\xff")][i % 3]
        data += mqtt.publish(topic, payload, 1, i)
    client.send(data)
    ids = [struct.unpack(">H", client.read()[2][:2])[0] for _ in range(60)]
    assert ids == list(range(1, 61)), ids
    client.close()


def what_has_no_samples_is_stored_as_it_came(hub):
    client = open_client(hub, "raw")
    sent = [b"", b"x", bytes(range(256)) * 800]  # 200 KiB
    for i, payload in enumerate(sent):
        client.send(mqtt.publish("v1/b/raw/evt/fault", payload, 1, i + 1))
        assert client.read()[2][:3] in (struct.pack(">H", i + 1), struct.pack(">HB", i + 1, 0))
    hello = b"\x0a\x03raw\x10\x07"  # bike_id = "raw", boot_id = 7
    client.send(mqtt.publish("v1/b/raw/hello", hello, 1, 9))
    assert client.read()[2][:2] == b"\0\x09"
    rows = list(csv.DictReader(hub.tool("export", "messages", "--bike", "raw").stdout.splitlines()))
    assert [bytes.fromhex(row["payload_hex"]) for row in rows] == sent + [hello]
    assert [row["type"] for row in rows] == ["raw"] * 3 + ["freehub.v1.Hello"]
    assert [row["topic"] for row in rows] == ["v1/b/raw/evt/fault"] * 3 + [""]
    only = hub.tool("export", "messages", "--type", "freehub.v1.Hello").stdout.splitlines()
    assert len(only) == 2 and hello.hex() in only[1]
    assert hub.tool("export", "messages", "--type", "nonsense", check=False).returncode != 0
    assert hub.tool("export", "messages", "--bike", "nobody", check=False).returncode == 3
    client.close()


TESTS = [
    what_has_no_samples_is_stored_as_it_came,
    connack_announces_what_is_offered,
    every_qos_and_version_reaches_every_other,
    wildcards_dollar_topics_and_unsubscribe,
    properties_are_forwarded_unaltered,
    no_local_and_receive_maximum,
    maximum_packet_size_of_the_client,
    a_will_is_sent_unless_the_end_was_clean,
    a_wills_expiry_begins_when_it_is_published,
    a_session_expiry_may_be_named_at_the_end_if_it_was_at_the_start,
    keep_alive_is_one_and_a_half,
    telemetry_is_stored_bad_payloads_are_quarantined,
    acknowledgements_keep_their_order,
]


def main():
    only = sys.argv[1:]
    with Hub() as hub:
        for test in TESTS:
            if only and test.__name__ not in only:
                continue
            test(hub)
            print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
