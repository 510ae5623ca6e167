"""A small MQTT client for tests that want to see and choose every byte. Blocking sockets, no
threads; packets are built by hand so that wrong ones can be sent too."""

import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = (
    8, 9, 10, 11, 12, 13, 14, 15)


def varint(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def packet(kind, body, flags=0):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect(client_id, version=5, keep_alive=60, clean=True, properties=b"", will=None,
            user=None, password=None, will_properties=b""):
    """`will`: (topic, payload, qos, retain)."""
    flags = 2 if clean else 0
    tail = text(client_id)
    if will:
        flags |= 4 | will[2] << 3 | (32 if will[3] else 0)
        if version == 5:
            tail += varint(len(will_properties)) + will_properties
        tail += text(will[0]) + text(will[1])
    if user is not None:
        flags |= 128
        tail += text(user)
    if password is not None:
        flags |= 64
        tail += text(password)
    head = text("MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
    if version == 5:
        head += varint(len(properties)) + properties
    return packet(CONNECT, head + tail)


def publish(topic, payload, qos=0, packet_id=0, version=5, properties=b"", retain=False, dup=False):
    body = text(topic)
    if qos:
        body += struct.pack(">H", packet_id)
    if version == 5:
        body += varint(len(properties)) + properties
    return packet(PUBLISH, body + payload, (8 if dup else 0) | qos << 1 | (1 if retain else 0))


def subscribe(packet_id, filters, version=5, properties=b""):
    body = struct.pack(">H", packet_id)
    if version == 5:
        body += varint(len(properties)) + properties
    for name, options in filters:
        body += text(name) + bytes([options])
    return packet(SUBSCRIBE, body, 2)


def unsubscribe(packet_id, filters, version=5):
    body = struct.pack(">H", packet_id) + (b"\0" if version == 5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(text(name) for name in filters), 2)


def split(data):
    """Whole packets at the front of `data` as (kind, flags, body), and the rest."""
    packets, at = [], 0
    while at + 2 <= len(data):
        length, shift, i = 0, 0, at + 1
        while i < len(data):
            length |= (data[i] & 0x7F) << shift
            shift += 7
            i += 1
            if not data[i - 1] & 0x80:
                break
        else:
            break
        if i + length > len(data):
            break
        packets.append((data[at] >> 4, data[at] & 15, bytes(data[i:i + length])))
        at = i + length
    return packets, data[at:]


class Client:
    """One connection. Reading raises EOFError when the server has closed it."""

    def __init__(self, port, context=None, host="127.0.0.1", timeout=10.0):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.rest = b""
        self.waiting = []

    def send(self, data):
        self.socket.sendall(data)

    def read(self, timeout=10.0):
        """The next packet (kind, flags, body)."""
        deadline = time.monotonic() + timeout
        while not self.waiting:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("closed by the server")
            packets, self.rest = split(self.rest + data)
            self.waiting += packets
        return self.waiting.pop(0)

    def connect(self, client_id, **options):
        self.send(connect(client_id, **options))
        kind, _, body = self.read()
        if kind != CONNACK:
            raise AssertionError("expected CONNACK, got packet type %d" % kind)
        return body

    def closes(self, timeout=10.0):
        """Read until the server closes; the packets that came before it."""
        seen = []
        try:
            while True:
                seen.append(self.read(timeout))
        except (EOFError, ConnectionError) as end:
            self.end = repr(end)
            return seen

    def close(self):
        self.socket.close()
