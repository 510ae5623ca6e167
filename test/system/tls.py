"""Mutual TLS: who gets in, as whom, with which rights; who does not and what the log says of it; and
that those who only knock cost next to nothing."""

import os
import shutil
import signal
import socket
import ssl
import struct
import sys
import time

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from batch import batch
from ca import DAY, NOW, Ca, client_context, context_of
from hub import SANITIZED, Hub, await_true, logged
import rawmqtt as mqtt

NOT_AUTHORIZED, CLIENT_ID_INVALID, TAKEN_OVER = 0x87, 0x85, 0x8E


def bike(hub, name):
    """A context with the certificate of a bike, made on first use."""
    if not os.path.exists(os.path.join(hub.data, "pki", "bikes", name + ".crt")):
        hub.tool("bikes", "add", name)
    return context_of(hub, "bikes", name)


def open_client(hub, context, client_id, version=5, **options):
    client = mqtt.Client(hub.tls_port, context)
    body = client.connect(client_id, version=version, **options)
    assert body[1] == 0, "CONNECT refused: %r" % body
    return client


def connack_of(hub, context, client_id, version=5, **options):
    client = mqtt.Client(hub.tls_port, context)
    client.send(mqtt.connect(client_id, version=version, **options))
    seen = client.closes()
    client.close()
    assert len(seen) == 1 and seen[0][0] == mqtt.CONNACK, seen
    return seen[0][2][1]


def puback_of(client, topic, payload=b"x", packet_id=1, version=5):
    client.send(mqtt.publish(topic, payload, 1, packet_id, version))
    kind, _, body = client.read()
    assert kind == mqtt.PUBACK and struct.unpack(">H", body[:2])[0] == packet_id, (kind, body)
    return body[2] if len(body) > 2 else 0


def suback_of(client, filters, version=5):
    client.send(mqtt.subscribe(9, [(one, 1) for one in filters], version))
    kind, _, body = client.read()
    assert kind == mqtt.SUBACK, kind
    return list(body[3 if version == 5 else 2:])


def a_bike_is_its_certificate(hub):
    context = bike(hub, "bike-1")
    open_client(hub, context, "bike-1").close()
    open_client(hub, context, "bike-1", 4).close()
    for wrong in ("bike-2", "bike-10", "BIKE-1", "bike-1 ", "app"):
        assert connack_of(hub, context, wrong) == CLIENT_ID_INVALID, wrong
        assert connack_of(hub, context, wrong, 4) == 0x02, wrong
    nameless = open_client(hub, context, "")
    assert puback_of(nameless, "v1/b/bike-1/log") == 0, "an empty id is the bike's own"
    again = open_client(hub, context, "bike-1")
    assert [body[0] for kind, _, body in nameless.closes() if kind == mqtt.DISCONNECT] == [TAKEN_OVER]
    again.close()


def a_bike_stays_in_its_tree(hub):
    context = bike(hub, "bike-1")
    outside = ["v1/b/bike-2/tel", "v1/b/bike-10/log", "v1/b/bike-1", "v1/b", "plain", "$SYS/x",
               "v1/b/BIKE-1/log", "/v1/b/bike-1/log", "v1/b//bike-1/log", "v1/u/someone/x"]
    client = open_client(hub, context, "bike-1")
    for topic in outside:
        assert puback_of(client, topic) == NOT_AUTHORIZED, topic
        client.send(mqtt.publish(topic, b"x"))  # QoS 0: dropped, and nothing else happens
    assert puback_of(client, "v1/b/bike-1/tel", batch(1, 1)) == 0
    filters = ["#", "+/#", "v1/b/#", "v1/b/+/tel", "v1/+/bike-1/#", "v1/b/bike-2/#", "$SYS/#",
               "v1/b/bike-10/#", "+/b/bike-1/tel"]
    assert suback_of(client, filters) == [NOT_AUTHORIZED] * len(filters)
    assert suback_of(client, ["v1/b/bike-1/#", "v1/b/bike-2/#", "v1/b/bike-1/+/x"]) == [
        1, NOT_AUTHORIZED, 1]
    client.close()
    for topic in outside[:3]:
        four = open_client(hub, context, "bike-1", 4)
        four.send(mqtt.publish(topic, b"x", 1, 1, 4))
        assert four.closes() == [], topic
        four.close()
        assert connack_of(hub, context, "bike-1", will=(topic, "x", 0, False)) == NOT_AUTHORIZED
        assert connack_of(hub, context, "bike-1", 4, will=(topic, "x", 0, False)) == 0x05
    four = open_client(hub, context, "bike-1", 4)
    assert suback_of(four, ["v1/b/bike-2/#", "v1/b/bike-1/ota/#"], 4) == [0x80, 1]
    four.close()


def a_service_has_its_own_rights_and_they_change_without_a_restart(hub):
    hub.tool("certs", "service", "app", "--read", "v1/b/+/log", "--write", "v1/b/+/cfg/#")
    context = context_of(hub, "services", "app")
    app = open_client(hub, context, "any-client-id")
    assert suback_of(app, ["v1/b/+/log", "v1/b/bike-1/log", "v1/b/+/tel", "#"]) == [
        1, 1, NOT_AUTHORIZED, NOT_AUTHORIZED]
    assert puback_of(app, "v1/b/bike-1/cfg/x") == 0
    assert puback_of(app, "v1/b/bike-1/log", packet_id=2) == NOT_AUTHORIZED
    one = open_client(hub, bike(hub, "bike-1"), "bike-1")
    assert puback_of(one, "v1/b/bike-1/log", b"to the app") == 0
    kind, _, body = app.read()
    assert kind == mqtt.PUBLISH and body.endswith(b"to the app")
    hub.tool("certs", "service", "app", "--read", "v1/b/+/tel", "--write", "elsewhere")
    await_true(lambda: puback_of(app, "elsewhere") == 0)
    assert puback_of(app, "v1/b/bike-1/cfg/x") == NOT_AUTHORIZED, "on a live connection"
    assert suback_of(app, ["v1/b/+/tel", "v1/b/+/cfg"]) == [1, NOT_AUTHORIZED]
    app.close()
    one.close()


def a_client_id_belongs_to_its_principal(hub):
    for name in ("app", "other"):
        hub.tool("certs", "service", name, "--read", "x")
    app, other = (context_of(hub, "services", name) for name in ("app", "other"))
    owner = open_client(hub, app, "shared-id")
    assert connack_of(hub, other, "shared-id") == NOT_AUTHORIZED
    assert connack_of(hub, other, "shared-id", 4) == 0x05
    plain = mqtt.Client(hub.port)  # the anonymous listener has no right to it either
    assert plain.connect("shared-id")[1] == NOT_AUTHORIZED
    plain.close()
    owner.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert owner.read()[0] == mqtt.PINGRESP
    squatter = open_client(hub, app, "bike-1")
    real = open_client(hub, bike(hub, "bike-1"), "bike-1")
    assert [body[0] for kind, _, body in squatter.closes() if kind == mqtt.DISCONNECT] == [
        TAKEN_OVER], "a bike gets its id from whoever squats on it"
    assert connack_of(hub, app, "bike-1") == NOT_AUTHORIZED
    real.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert real.read()[0] == mqtt.PINGRESP
    for client in (owner, real):
        client.close()


def handshake_fails(hub, context):
    """True when the hub ends it before or instead of a CONNACK."""
    try:
        client = mqtt.Client(hub.tls_port, context)
    except (ssl.SSLError, ConnectionError):
        return True
    try:
        client.send(mqtt.connect("c"))
        client.read()
        return False
    except (ssl.SSLError, ConnectionError, EOFError):
        return True
    finally:
        client.close()


def certificates_that_are_refused_are_told_why(hub):
    pki = os.path.join(hub.data, "pki")
    ours, theirs = Ca(hub.folder, pki), Ca(hub.folder)
    rows = [
        ("expired", "has expired", ours.issue("expired", after=NOW - DAY / 2)),
        ("early", "not valid yet", ours.issue("early", before=NOW + DAY)),
        ("foreign", "another CA", theirs.issue("foreign")),
        ("server-only", "not a client certificate",
         ours.issue("server-only", usage=ExtendedKeyUsageOID.SERVER_AUTH)),
        ("nobody", None, ours.issue("nobody", unit=None)),
        ("stranger", None, ours.issue("stranger", unit="admin")),
        ("", "CN", ours.issue(None)),
        ("", "more than one CN", ours.issue(["one", "two"])),
        ("x" * 64, None, ours.issue("x" * 64)),
        ("gr\u00fcn", None, ours.issue("gr\u00fcn")),
    ]
    for cn in ("a+b", "#", "a/b", "$SYS", "a\x01b", "a\x00b", "a\nb", "a b", "a\x7fb", "a\u0085b",
               "\\", "..", "+"):
        rows.append((cn if cn.isprintable() else None, "CN cannot be an identity",
                     ours.issue(cn)))
    for cn, why, files in rows:
        before = len(logged(hub, "tls_refused"))
        context = client_context(pki, *files)
        if why is None:
            open_client(hub, context, cn).close()
            continue
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = context.maximum_version = version
            assert handshake_fails(hub, context), "%r was let in" % cn
        await_true(lambda: len(logged(hub, "tls_refused")) >= before + 2)
        for line in logged(hub, "tls_refused")[before:]:
            assert why in line["why"], (cn, line)
            assert line["address"].startswith("127.0.0.1:"), line
            if cn and cn not in ("one", "\\"):
                assert line["cn"] == cn, (cn, line)
    assert "\x01" not in hub.log() and "\x00" not in hub.log(), "raw control bytes in the log"


def without_a_certificate_or_tls(hub):
    pki = os.path.join(hub.data, "pki")
    before = len(logged(hub, "tls_refused"))
    assert handshake_fails(hub, client_context(pki))
    await_true(lambda: len(logged(hub, "tls_refused")) == before + 1)
    assert "no certificate" in logged(hub, "tls_refused")[-1]["why"]
    for data in (mqtt.connect("plain"), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x00",
                 b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x80\x2e\x01\x00\x02", bytes(100),
                 b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x05hello"):
        client = mqtt.Client(hub.tls_port)
        try:
            client.send(data)
        except ConnectionError:
            pass
        assert all(kind != mqtt.CONNACK for kind, _, _ in client.closes()), data[:20]
        client.close()
    old = bike(hub, "bike-1")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    assert handshake_fails(hub, old), "TLS 1.1"
    await_true(lambda: "too old" in logged(hub, "tls_refused")[-1]["why"])


def client_hello():
    """The first flight of a real client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    side = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def ping(client):
    client.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert client.read()[0] == mqtt.PINGRESP


def those_who_only_knock_cost_little(hub):
    control = open_client(hub, bike(hub, "bike-1"), "bike-1")
    hello = client_hello()
    ping(control)
    before = hub.rss_bytes()
    floods = []
    for count, data in ((500, b""), (200, hello[:len(hello) // 2]), (200, hello[:1]),
                        (100, hello)):
        for _ in range(count):
            flood = socket.create_connection(("127.0.0.1", hub.tls_port), timeout=10)
            flood.sendall(data)
            floods.append(flood)
        started = time.monotonic()
        for i in range(20):
            assert puback_of(control, "v1/b/bike-1/log", b"still here", i + 1) == 0
        print("%d more with %d bytes: 20 acknowledged publishes took %.0f ms, RSS + %d KiB" % (
            count, len(data), (time.monotonic() - started) * 1000,
            (hub.rss_bytes() - before) >> 10))
    grown = hub.rss_bytes() - before
    assert SANITIZED or grown < 24 << 20, "1,000 half-open connections hold %d bytes" % grown
    newcomer = open_client(hub, bike(hub, "bike-3"), "bike-3")  # others still get in
    ping(newcomer)
    newcomer.close()
    for flood in floods:  # the deadline for a CONNECT ends them all
        flood.settimeout(30)
        try:
            while flood.recv(65536):
                pass
        except ConnectionError:
            pass
        flood.close()
    ping(control)
    control.close()


def serial_of(hub, context):
    with socket.create_connection(("127.0.0.1", hub.tls_port)) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as wrapped:
            return x509.load_der_x509_certificate(wrapped.getpeercert(True)).serial_number


def a_reload_brings_a_new_certificate_and_keeps_who_is_there(hub):
    pki = os.path.join(hub.data, "pki")
    context = bike(hub, "bike-1")
    client = open_client(hub, context, "bike-1")
    old = serial_of(hub, context)
    with open(os.path.join(pki, "server.key"), "w") as file:
        file.write("no key\n")
    hub.process.send_signal(signal.SIGHUP)
    await_true(lambda: logged(hub, "reload_refused"))
    assert "server.key" in logged(hub, "reload_refused")[-1]["why"]
    assert serial_of(hub, context) == old, "a bad file changes nothing"
    certificate, key = Ca(hub.folder, pki).issue(
        "localhost", unit=None, usage=ExtendedKeyUsageOID.SERVER_AUTH, hosts=["localhost"])
    shutil.copy(certificate, os.path.join(pki, "server.crt"))
    shutil.copy(key, os.path.join(pki, "server.key"))
    before = len(logged(hub, "reloaded"))
    hub.process.send_signal(signal.SIGHUP)
    await_true(lambda: len(logged(hub, "reloaded")) > before)
    await_true(lambda: serial_of(hub, context) != old)
    assert puback_of(client, "v1/b/bike-1/log") == 0, "who is there stays"
    open_client(hub, bike(hub, "bike-2"), "bike-2").close()
    client.close()


TESTS = [
    a_bike_is_its_certificate,
    a_bike_stays_in_its_tree,
    a_service_has_its_own_rights_and_they_change_without_a_restart,
    a_client_id_belongs_to_its_principal,
    certificates_that_are_refused_are_told_why,
    without_a_certificate_or_tls,
    those_who_only_knock_cost_little,
    a_reload_brings_a_new_certificate_and_keeps_who_is_there,
]


def main():
    only = sys.argv[1:]
    with Hub(tls=True, config="limits: {connect_timeout: 4s}\n") as hub:
        for test in TESTS:
            if not only or test.__name__ in only:
                test(hub)
                print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
