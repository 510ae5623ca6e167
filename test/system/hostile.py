"""Streams no honest client sends. Each closes its own connection with the reason the standard names
(MQTT 5; 3.1.1 has no words for it) and leaves a control client unharmed."""

import struct
import sys
import time

from ca import context_of
from hub import Hub
import rawmqtt as mqtt
from rawmqtt import connect, packet, publish, subscribe, text, varint

MALFORMED, PROTOCOL_ERROR, UNSUPPORTED, BAD_METHOD = 0x81, 0x82, 0x84, 0x8C
TOPIC_INVALID, RECEIVE_MAX, ALIAS, TOO_LARGE = 0x90, 0x93, 0x94, 0x95
RETAIN, QOS, SUB_IDS, CLIENT_ID = 0x9A, 0x9B, 0xA1, 0x85
ANY = None  # closed; whatever was said before


def filler(kind, body, flags=0):
    return packet(kind, body, flags)


def before_connect():
    """(name, version, bytes, reason of a CONNACK or ANY)"""
    for version in (4, 5):
        tail = b"\0" if version == 5 else b""
        head = text("MQTT") + bytes([version])
        yield "first packet PUBLISH", version, publish("a", b"x", version=version), ANY
        yield "first packet SUBSCRIBE", version, subscribe(1, [("a", 0)], version), ANY
        yield "first packet PINGREQ", version, packet(mqtt.PINGREQ, b""), ANY
        yield "first packet DISCONNECT", version, packet(mqtt.DISCONNECT, b""), ANY
        yield "first packet CONNACK", version, packet(mqtt.CONNACK, b"\0\0" + tail), ANY
        yield "first packet of the reserved type", version, b"\x00\x00", ANY
        yield "reserved connect flag", version, packet(
            mqtt.CONNECT, head + b"\x03\0\x3c" + tail + text("c")), ANY
        yield "will QoS 3", version, packet(
            mqtt.CONNECT, head + b"\x1e\0\x3c" + tail + text("c") + tail + text("w") + text("p")), ANY
        yield "will QoS without a will", version, packet(
            mqtt.CONNECT, head + b"\x0a\0\x3c" + tail + text("c")), ANY
        yield "will retain without a will", version, packet(
            mqtt.CONNECT, head + b"\x22\0\x3c" + tail + text("c")), ANY
        yield "CONNECT with flags", version, packet(
            mqtt.CONNECT, head + b"\x02\0\x3c" + tail + text("c"), 1), ANY
        yield "CONNECT with a byte too many", version, packet(
            mqtt.CONNECT, head + b"\x02\0\x3c" + tail + text("c") + b"!"), ANY
        yield "CONNECT cut inside the client id", version, packet(
            mqtt.CONNECT, head + b"\x02\0\x3c" + tail + b"\0\x09abc"), ANY
        yield "client id with NUL", version, connect("a\0b", version), ANY
        yield "client id not UTF-8", version, connect(b"\xff\xfe", version), ANY
        yield "client id with a surrogate", version, connect(b"\xed\xa0\x80", version), ANY
        yield "user name flag without a user name", version, packet(
            mqtt.CONNECT, head + b"\x82\0\x3c" + tail + text("c")), ANY
        yield "Remaining Length of five bytes", version, b"\x10\xff\xff\xff\xff\x01", ANY
        yield "Remaining Length over-long", version, b"\x10\x80\x00", ANY
        yield "announces 256 MB", version, b"\x10\xff\xff\xff\x7f" + head, ANY
        yield "announces 65 KiB before CONNECT", version, b"\x10" + varint(66000) + head, ANY
        yield "protocol name MQIsdp", version, packet(
            mqtt.CONNECT, text("MQIsdp") + bytes([version]) + b"\x02\0\x3c" + tail + text("c")), ANY
        yield "protocol name in lower case", version, packet(
            mqtt.CONNECT, text("mqtt") + bytes([version]) + b"\x02\0\x3c" + tail + text("c")), ANY
    yield "protocol level 3", 4, packet(
        mqtt.CONNECT, text("MQTT") + b"\x03\x02\0\x3c" + text("c")), 0x01
    yield "protocol level 6", 5, packet(
        mqtt.CONNECT, text("MQTT") + b"\x06\x02\0\x3c\0" + text("c")), UNSUPPORTED
    yield "password without a user name", 4, connect("c", 4, password="p"), ANY
    yield "empty client id without Clean Session", 4, connect("", 4, clean=False), 0x02
    yield "authentication method", 5, connect("c", properties=b"\x15" + text("X")), BAD_METHOD
    yield "authentication data without a method", 5, connect("c", properties=b"\x16" + text("X")), ANY
    yield "Receive Maximum 0", 5, connect("c", properties=b"\x21\0\0"), ANY
    yield "Maximum Packet Size 0", 5, connect("c", properties=b"\x27\0\0\0\0"), ANY
    yield "Request Problem Information 2", 5, connect("c", properties=b"\x17\x02"), ANY
    yield "the same property twice", 5, connect("c", properties=b"\x21\0\x05\x21\0\x05"), ANY
    yield "a PUBLISH property", 5, connect("c", properties=b"\x23\0\x05"), ANY
    yield "an unknown property", 5, connect("c", properties=b"\x7e\0"), ANY
    yield "property length past the end", 5, packet(
        mqtt.CONNECT, text("MQTT") + b"\x05\x02\0\x3c\x7f" + text("c")), ANY
    yield "will with QoS 2", 5, connect("c", will=("w", "p", 2, False)), QOS
    yield "will with RETAIN", 5, connect("c", will=("w", "p", 0, True)), RETAIN


def after_connect():
    """(name, version, bytes, reason of a DISCONNECT or ANY)"""
    for version in (4, 5):
        empty = b"\0" if version == 5 else b""
        bad = lambda reason: reason if version == 5 else ANY
        yield "second CONNECT", version, connect("c", version), bad(PROTOCOL_ERROR)
        for kind in (mqtt.CONNACK, mqtt.SUBACK, mqtt.UNSUBACK, mqtt.PINGRESP):
            yield "server packet %d" % kind, version, packet(kind, b"\0\1\0"[:2 + (kind == 9)]
                                                              if kind != 13 else b""), ANY
        yield "reserved type", version, b"\x00\x00", ANY
        yield "PUBLISH with QoS 3", version, packet(
            mqtt.PUBLISH, text("a") + b"\0\1" + empty, 6), bad(MALFORMED)
        yield "PUBLISH with DUP and QoS 0", version, packet(
            mqtt.PUBLISH, text("a") + empty, 8), bad(MALFORMED)
        yield "PUBLISH with QoS 2", version, publish("a", b"", 2, 1, version), bad(QOS)
        yield "PUBLISH with RETAIN", version, publish("a", b"", 0, 0, version,
                                                      retain=True), bad(RETAIN)
        yield "PUBLISH with packet id 0", version, publish("a", b"", 1, 0, version), ANY
        yield "PUBLISH with a wildcard", version, publish("a/+", b"", 0, 0, version), ANY
        yield "PUBLISH with a hash", version, publish("#", b"", 0, 0, version), ANY
        yield "PUBLISH without a topic", version, publish("", b"", 0, 0, version), ANY
        yield "PUBLISH topic with NUL", version, publish("a\0", b"", 0, 0, version), ANY
        yield "PUBLISH topic not UTF-8", version, publish(b"\xc0\x80", b"", 0, 0, version), ANY
        yield "PUBLISH topic over-long in UTF-8", version, publish(b"\xe0\x80\xaf", b"", 0, 0,
                                                                  version), ANY
        yield "PUBLISH cut inside the topic", version, packet(mqtt.PUBLISH, b"\0\x09ab"), bad(MALFORMED)
        yield "PUBLISH topic of 2,000 bytes", version, publish("a" * 2000, b"", 0, 0, version), ANY
        yield "PUBLISH topic of 300 levels", version, publish("/" * 300, b"", 0, 0, version), ANY
        yield "a packet over the limit", version, b"\x30" + varint(300000) + b"x", bad(TOO_LARGE)
        yield "SUBSCRIBE with flags 0", version, packet(
            mqtt.SUBSCRIBE, b"\0\1" + empty + text("a") + b"\0", 0), bad(MALFORMED)
        yield "SUBSCRIBE with packet id 0", version, subscribe(0, [("a", 0)], version), ANY
        yield "SUBSCRIBE without a filter", version, subscribe(1, [], version), ANY
        yield "SUBSCRIBE with QoS 3", version, subscribe(1, [("a", 3)], version), ANY
        yield "SUBSCRIBE with reserved option bits", version, subscribe(1, [("a", 0xC0)], version), ANY
        yield "SUBSCRIBE to a#", version, subscribe(1, [("a#", 0)], version), ANY
        yield "SUBSCRIBE to #/a", version, subscribe(1, [("#/a", 0)], version), ANY
        yield "SUBSCRIBE to a+", version, subscribe(1, [("a+", 0)], version), ANY
        yield "SUBSCRIBE to nothing", version, subscribe(1, [("", 0)], version), ANY
        yield "SUBSCRIBE to NUL", version, subscribe(1, [("a\0b", 0)], version), ANY
        yield "SUBSCRIBE cut before the options", version, packet(
            mqtt.SUBSCRIBE, b"\0\1" + empty + text("a"), 2), ANY
        yield "UNSUBSCRIBE with flags 0", version, packet(
            mqtt.UNSUBSCRIBE, b"\0\1" + empty + text("a"), 0), ANY
        yield "UNSUBSCRIBE without a filter", version, packet(
            mqtt.UNSUBSCRIBE, b"\0\1" + empty, 2), ANY
        yield "PUBACK with flags", version, packet(mqtt.PUBACK, b"\0\1", 2), bad(MALFORMED)
        yield "PUBACK too short", version, packet(mqtt.PUBACK, b"\0"), ANY
        yield "PUBACK with packet id 0", version, packet(mqtt.PUBACK, b"\0\0"), ANY
        yield "PUBREL with flags 0", version, packet(mqtt.PUBREL, b"\0\1", 0), bad(MALFORMED)
        yield "PUBREC for nothing", version, packet(mqtt.PUBREC, b"\0\1"), ANY
        yield "PUBCOMP for nothing", version, packet(mqtt.PUBCOMP, b"\0\1"), ANY
        yield "PINGREQ with flags", version, packet(mqtt.PINGREQ, b"", 1), bad(MALFORMED)
        yield "PINGREQ with a body", version, packet(mqtt.PINGREQ, b"x"), ANY
        yield "DISCONNECT with flags", version, packet(mqtt.DISCONNECT, b"", 1), bad(MALFORMED)
        yield "Remaining Length over-long", version, b"\xc0\x80\x00", ANY
        yield "Remaining Length of five bytes", version, b"\x30\xff\xff\xff\xff\x01", ANY
    yield "DISCONNECT with a body", 4, packet(mqtt.DISCONNECT, b"\0"), ANY
    yield "AUTH", 4, packet(mqtt.AUTH, b""), ANY
    yield "AUTH without a method in CONNECT", 5, packet(mqtt.AUTH, b"\x18\0"), PROTOCOL_ERROR
    yield "PUBACK with trailing bytes", 4, packet(mqtt.PUBACK, b"\0\1\0\0"), ANY
    yield "PUBACK with an unlisted code", 5, packet(mqtt.PUBACK, b"\0\1\x55"), ANY
    yield "DISCONNECT with an unlisted code", 5, packet(mqtt.DISCONNECT, b"\x55"), ANY
    yield "topic alias", 5, publish("a", b"", properties=b"\x23\0\x01"), ALIAS
    yield "topic alias 0", 5, publish("a", b"", properties=b"\x23\0\0"), ANY
    yield "subscription identifier in PUBLISH", 5, publish("a", b"", properties=b"\x0b\x01"), ANY
    yield "Payload Format Indicator 2", 5, publish("a", b"", properties=b"\x01\x02"), ANY
    yield "Response Topic with a wildcard", 5, publish("a", b"", properties=b"\x08" + text("a/#")), ANY
    yield "Message Expiry twice", 5, publish("a", b"", properties=b"\x02\0\0\0\x01" * 2), ANY
    yield "Session Expiry in PUBLISH", 5, publish("a", b"", properties=b"\x11\0\0\0\x01"), ANY
    yield "subscription identifier", 5, subscribe(1, [("a", 0)], properties=b"\x0b\x01"), SUB_IDS
    yield "subscription identifier 0", 5, subscribe(1, [("a", 0)], properties=b"\x0b\x00"), ANY
    yield "Retain Handling 3", 5, subscribe(1, [("a", 0x30)]), ANY
    yield "No Local on a shared subscription", 5, subscribe(1, [("$share/g/a", 4)]), PROTOCOL_ERROR
    yield "shared subscription without a filter", 5, subscribe(1, [("$share/g", 0)]), ANY
    yield "shared subscription without a name", 5, subscribe(1, [("$share//a", 0)]), ANY
    yield "shared subscription named +", 5, subscribe(1, [("$share/+/a", 0)]), ANY
    yield "Session Expiry in DISCONNECT after 0", 5, packet(
        mqtt.DISCONNECT, b"\0\x05\x11\0\0\0\x09"), PROTOCOL_ERROR
    yield "65 messages in flight of 64", 5, b"".join(
        publish("v1/b/h/log", b"x", 1, i + 1) for i in range(66)), RECEIVE_MAX


def is_alive(control):
    control.send(publish("control/echo", b"still here"))
    kind, _, body = control.read()
    return kind == mqtt.PUBLISH and body.endswith(b"still here")


def reason_of(seen, kind):
    for got, _, body in seen:
        if got == kind:
            return (body[1] if kind == mqtt.CONNACK else (body[0] if body else 0))
    return None


def nothing(client, version):
    """The state right after CONNACK."""


def busy(client, version):
    """A subscription, and messages whose acknowledgement waits for the disk."""
    client.send(subscribe(100, [("busy/#", 1)], version) + b"".join(
        publish("v1/b/busy/log", b"x", 1, 200 + i, version) for i in range(3)))


class Way:
    """How to get to the hub, what to do before the bad bytes, and how those are cut."""

    def __init__(self, name, port, context, prelude, cut):
        self.name, self.port, self.context = name, port, context
        self.prelude, self.cut = prelude, cut


def ways(hub):
    hub.tool("certs", "service", "hostile", "--read", "#", "--write", "#")
    tls = context_of(hub, "services", "hostile")
    yield Way("", hub.port, None, nothing, lambda data: [data])
    yield Way("byte by byte: ", hub.port, None, nothing,
              lambda data: [bytes([byte]) for byte in data] if len(data) <= 200 else [])
    yield Way("busy: ", hub.port, None, busy, lambda data: [data])
    yield Way("TLS: ", hub.tls_port, tls, nothing, lambda data: [data])
    yield Way("TLS, busy, in halves: ", hub.tls_port, tls, busy,
              lambda data: [data[:len(data) // 2], data[len(data) // 2:]])


def fault_of(way, number, version, data, wanted, connected):
    """What is wrong with the answer to these bytes, or None; None as well where they do not fit."""
    pieces = way.cut(data)
    if not pieces or (way.prelude is busy and not connected):
        return None
    client = mqtt.Client(way.port, way.context)
    try:
        if connected:
            client.connect("hostile-%d" % number, version=version)
            way.prelude(client, version)
        for piece in pieces:
            client.send(piece)
    except OSError:
        pass  # closed before the last byte: fine
    try:
        seen = client.closes(5)
    except TimeoutError:
        return "not closed"
    finally:
        client.close()
    got = reason_of(seen, mqtt.DISCONNECT if connected else mqtt.CONNACK)
    if wanted is not None and got != wanted:
        return "wanted reason 0x%02x, got %s" % (wanted, "none" if got is None else "0x%02x" % got)
    if version == 4 and any(kind == mqtt.DISCONNECT for kind, _, _ in seen):
        return "a DISCONNECT in 3.1.1"
    return None


def main():
    failures, count = [], 0
    config = "limits: {connect_timeout: 2s}\nstore: {commit_interval: 1s, commit_burst: 0}\n"
    with Hub(tls=True, config=config) as hub:
        control = mqtt.Client(hub.port)
        control.connect("control", keep_alive=0)
        control.send(subscribe(1, [("control/echo", 0)]))
        assert control.read()[0] == mqtt.SUBACK

        cases = [(n, v, b, r, False) for n, v, b, r in before_connect()]
        cases += [(n, v, b, r, True) for n, v, b, r in after_connect()]
        for way in ways(hub):
            for number, (name, version, data, wanted, connected) in enumerate(cases):
                label = way.name + name + (" (3.1.1)" if version == 4 else "")
                fault = fault_of(way, number, version, data, wanted, connected)
                if fault:
                    failures.append("%s: %s" % (label, fault))
                if not is_alive(control):
                    failures.append("%s: the control client was harmed" % label)
                count += 1

        silent = mqtt.Client(hub.port)  # 10 s are granted by default, 2 s here
        started = time.monotonic()
        silent.closes(8)
        print("a silent connection was closed after %.1f s" % (time.monotonic() - started))
        assert is_alive(control)
        control.close()
    for failure in failures:
        print("FAILED", failure)
    print("%d streams, %d failed" % (count, len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
