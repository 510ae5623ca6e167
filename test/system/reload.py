"""SIGHUP: certificates and rights are read again; who is connected is judged by the new rights, and a
file that cannot be read changes nothing."""

import os
import signal
import ssl
import struct
import sys
import time

from hub import Hub, logged
import rawmqtt as mqtt

ROUNDS = 12  # an old ACL's memory is used again after a few


def reload(hub, event="reloaded"):
    before = len(logged(hub, event))
    hub.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while len(logged(hub, event)) == before:
        assert time.monotonic() < deadline, "no %s in the log" % event
        time.sleep(0.01)


def service(hub, number):
    pki = os.path.join(hub.data, "pki")
    context = ssl.create_default_context(cafile=os.path.join(pki, "ca-bundle.crt"))
    context.load_cert_chain(os.path.join(pki, "services", "backend.crt"),
                            os.path.join(pki, "services", "backend.key"))
    client = mqtt.Client(hub.tls_port, context)
    body = client.connect("backend-%d" % number)
    assert body[1] == 0, "CONNECT refused: %r" % body
    return client


def publish(client, packet_id):
    """The reason code of a PUBLISH, sent in a loop turn after any reload."""
    client.send(mqtt.packet(mqtt.PINGREQ, b""))
    assert client.read()[0] == mqtt.PINGRESP
    client.send(mqtt.publish("cmd/one", b"x", 1, packet_id))
    kind, _, body = client.read()
    assert kind == mqtt.PUBACK and struct.unpack(">H", body[:2])[0] == packet_id
    return body[2] if len(body) > 2 else 0


def rights_that_are_taken_away_are_gone(hub):
    acl = os.path.join(hub.data, "acl")
    with open(acl) as file:
        granted = file.read()
    revoked = granted.replace("cmd/#", "other/#")
    assert revoked != granted, granted
    for number in range(ROUNDS):
        client = service(hub, number)
        assert publish(client, 1) in (0, 0x10)
        reload(hub)  # the client keeps silent under these rights
        with open(acl, "w") as file:
            file.write(revoked)
        reload(hub)
        assert publish(client, 2) == 0x87, "round %d: still allowed" % number
        with open(acl, "w") as file:
            file.write(granted)
        reload(hub)
        assert publish(client, 3) in (0, 0x10), "round %d: still refused" % number
        client.close()


def a_broken_file_changes_nothing(hub):
    acl = os.path.join(hub.data, "acl")
    client = service(hub, ROUNDS)
    with open(acl, "a") as file:
        file.write("nonsense\n")
    reload(hub, "reload_refused")
    assert publish(client, 1) in (0, 0x10)
    client.close()


def main():
    with Hub(tls=True) as hub:
        hub.tool("certs", "service", "backend", "--write", "cmd/#")
        reload(hub)
        for test in (rights_that_are_taken_away_are_gone, a_broken_file_changes_nothing):
            test(hub)
            print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
