"""Everything that grows has a bound, and reaching it is an outcome: for the one who reaches it, and
for nobody else. Memory is looked at from outside; under a sanitizer it means nothing and is not."""

import os
import select
import signal
import socket
import struct
import sys
import time

from batch import batch
from hub import SANITIZED, Hub, await_true
import rawmqtt as mqtt

QUOTA_EXCEEDED = 0x97
MIB = 1 << 20


def open_client(hub, name, version=5, **options):
    client = mqtt.Client(hub.port)
    body = client.connect(name, version=version, **options)
    assert body[1] == 0, "CONNECT refused: %r" % body
    return client


def subscriber(hub, name, topic, qos=0, version=5):
    client = open_client(hub, name, version)
    client.send(mqtt.subscribe(1, [(topic, qos)], version))
    assert client.read()[0] == mqtt.SUBACK
    return client


def ping(client):
    """Everything that came before the answer."""
    seen = []
    client.send(mqtt.packet(mqtt.PINGREQ, b""))
    while True:
        got = client.read()
        if got[0] == mqtt.PINGRESP:
            return seen
        seen.append(got)


def grown_at_most(hub, before, most, what):
    grown = hub.rss_bytes() - before
    print("%s: RSS + %.1f MiB, at most %d" % (what, grown / MIB, most // MIB))
    assert SANITIZED or grown <= most, "%s: RSS grew by %d bytes" % (what, grown)


def before_connect_little_is_held_and_not_for_long():
    with Hub(config="limits: {connect_timeout: 3s}\n") as hub:
        control = open_client(hub, "control")
        before = hub.rss_bytes()
        strangers = []
        for _ in range(200):  # a first packet of the largest size, but for its end
            stranger = mqtt.Client(hub.port)
            stranger.send(b"\x10" + mqtt.varint(65000) + b"\0\4MQTT\5\2\0\x3c" + bytes(64000))
            strangers.append(stranger)
        ping(control)
        grown_at_most(hub, before, 200 * 72 * 1024, "200 strangers with 64 KB each")
        dripping = mqtt.Client(hub.port)
        packet = mqtt.connect("x" * 200)
        sent = 0
        while sent < len(packet):  # each byte is in time, their sum is not
            readable, _, _ = select.select([dripping.socket], [], [], 0.05)
            if readable:
                break
            dripping.send(packet[sent:sent + 1])
            sent += 1
        assert sent < len(packet), "a CONNECT that drips was waited for"
        for stranger in strangers:
            assert stranger.closes() == []
            stranger.close()
        ping(control)
        control.close()


def subscriptions_have_a_bound():
    with Hub(config="limits: {subscriptions_per_session: 5}\n") as hub:
        for version, refusal in ((5, QUOTA_EXCEEDED), (4, 0x80)):
            client = open_client(hub, "many", version)
            client.send(mqtt.subscribe(1, [("t/%d" % i, 0) for i in range(7)], version))
            codes = list(client.read()[2][-7:])
            assert codes == [0] * 5 + [refusal] * 2, codes
            client.send(mqtt.subscribe(2, [("t/1", 1), ("t/9", 1)], version))
            assert list(client.read()[2][-2:]) == [1, refusal], "a filter it has stays its own"
            client.send(mqtt.unsubscribe(3, ["t/0"], version))
            client.read()
            client.send(mqtt.subscribe(4, [("t/9", 1)], version))
            assert client.read()[2][-1] == 1, "given up, so there is room"
            other = open_client(hub, "other", version)
            other.send(mqtt.subscribe(1, [("t/0", 0)], version))
            assert other.read()[2][-1] == 0
            for one in (client, other):
                one.close()
        await_true(lambda: hub.status()["subscriptions"] == 0)


def a_subscriber_that_never_reads_costs_its_bound():
    with Hub(config="limits: {outbox_messages: 500, outbox_bytes: 4MiB}\n") as hub:
        payload = bytes(range(256)) * 128
        lazy = [subscriber(hub, "lazy-%d" % i, "flood", i % 2) for i in range(4)]
        eager = subscriber(hub, "eager", "flood", 0)
        pub = open_client(hub, "pub")
        before = hub.rss_bytes()
        for i in range(1500):  # 48 MiB to each
            pub.send(mqtt.publish("flood", struct.pack(">I", i) + payload, 1, i + 1))
            assert pub.read()[0] == mqtt.PUBACK
            kind, _, body = eager.read()
            assert kind == mqtt.PUBLISH and body[8:12] == struct.pack(">I", i), "eager lost one"
        dropped = hub.status()["messages_dropped"]
        assert dropped > 1000, dropped
        # Shared by all that wait: 4 MiB; each: its socket's leftover and 128 KiB of output.
        grown_at_most(hub, before, 16 * MIB, "four subscribers that do not read")
        for client in lazy:  # a little, so that the hub goes on to what waits
            got = 0
            while got < 3 * MIB:
                got += len(client.read()[2])
        ping(eager)
        grown_at_most(hub, before, 16 * MIB, "four that read a little and stopped")
        for client in lazy:  # whoever reads again gets whole messages, in order, and goes on
            last, got = -1, 0
            client.send(mqtt.packet(mqtt.PINGREQ, b""))
            while True:
                kind, flags, body = client.read()
                if kind == mqtt.PINGRESP:
                    break
                number = struct.unpack(">I", body[-len(payload) - 4:-len(payload)])[0]
                assert number > last and body.endswith(payload)
                last, got = number, got + 1
                if flags & 6:
                    client.send(mqtt.packet(mqtt.PUBACK, body[7:9]))
            assert got > 0
            ping(client)
        for client in lazy + [eager, pub]:
            client.close()


def one_that_never_reads_its_acknowledgements_is_not_read_from():
    with Hub() as hub:
        control = open_client(hub, "control")
        before = hub.rss_bytes()
        for version in (4, 5):
            deaf = open_client(hub, "deaf", version)
            deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.socket.settimeout(1.5)
            chunk = b"".join(mqtt.publish("plain", b"x", 1, i + 1, version) for i in range(8000))
            sent = 0
            try:
                while sent < 400:  # 13 MB of acknowledgements that nobody reads
                    deaf.socket.sendall(chunk)
                    sent += 1
            except (TimeoutError, ConnectionError) as end:
                print("not read from after about %d messages: %r" % (sent * 8000, end))
            assert sent < 400, "it was read from for ever"
            ping(control)
            grown_at_most(hub, before, 8 * MIB, "unread acknowledgements")
            deaf.close()
        ping(control)
        control.close()


def connections_have_a_bound():
    with Hub(config="limits: {connections_max: 20}\n") as hub:
        await_true(lambda: hub.status()["connections"] == 0)  # that of the start
        clients = [open_client(hub, "c%d" % i) for i in range(20)]
        for _ in range(10):
            late = mqtt.Client(hub.port)
            assert late.closes() == [], "closed at once"
            late.close()
        for client in clients:
            ping(client)
        clients.pop().close()

        def gets_in():
            try:
                clients.append(open_client(hub, "next"))
                return True
            except (EOFError, ConnectionError):
                return False
        await_true(gets_in)
        for client in clients:
            ping(client)
            client.close()


def a_full_ring_holds_up_and_loses_nothing():
    config = "store: {ring: 64KiB, commit_bytes: 32KiB}\nlimits: {max_packet: 16KiB, max_packet_before_connect: 16KiB}\n"
    with Hub(config=config) as hub:
        watch = subscriber(hub, "watch", "v1/b/+/tel", 0)
        bikes, samples = 40, 60
        clients = [open_client(hub, "ring-%d" % i, 4 + i % 2, will=(
            "v1/b/ring-%d/tel" % i, batch(2, 1), 0, False)) for i in range(bikes)]
        for i, client in enumerate(clients):  # 40 x 60 x 1 KB at once into 64 KiB
            client.send(b"".join(mqtt.publish("v1/b/ring-%d/tel" % i, batch(
                1, 1 + n * 100, [500 + n] * 100), 1, n + 1, 4 + i % 2) for n in range(samples)))
        for i, client in enumerate(clients):
            ids = [struct.unpack(">H", client.read()[2][:2])[0] for _ in range(samples)]
            assert ids == list(range(1, samples + 1)), "acknowledged in order, each once"
        for client in clients:  # without DISCONNECT: their wills are telemetry too
            client.close()
        seen = 0
        while seen < bikes * (samples + 1):
            assert watch.read()[0] == mqtt.PUBLISH
            seen += 1
        assert ping(watch) == [], "a message twice"
        status = hub.status()
        assert status["messages_in"] == bikes * samples, status["messages_in"]
        rows = hub.rows()
        keys = {(row["bike"], row["boot"], row["sample"]) for row in rows}
        assert len(rows) == len(keys) == bikes * (samples * 100 + 1), len(rows)
        watch.close()


def connections_come_and_go_and_leave_nothing():
    with Hub() as hub:
        def turn(count):
            for start in range(0, count, 250):
                batch_of = []
                for i in range(start, start + 250):
                    raw = socket.create_connection(("127.0.0.1", hub.port), timeout=10)
                    raw.sendall(mqtt.connect("come-%d" % i, 4 + i % 2, will=(
                        "will/x", "gone", 0, False)) + mqtt.subscribe(1, [("a/%d" % i, 1)],
                                                                      4 + i % 2))
                    batch_of.append(raw)
                for i, raw in enumerate(batch_of):
                    if i % 3 == 0:
                        raw.recv(100)
                    raw.close()
            await_true(lambda: hub.status()["connections"] == 1)
        wills = subscriber(hub, "wills", "will/#")
        turn(2000)
        fds, rss = hub.fd_count(), hub.rss_bytes()
        turn(8000)
        grown_at_most(hub, rss, 4 * MIB, "8,000 more connections, come and gone")
        await_true(lambda: hub.fd_count() <= fds)
        assert hub.status()["subscriptions"] == 1
        assert len(ping(wills)) == 10000, "a will each"
        wills.close()


def a_pause_of_the_process_is_nobodys_silence():
    with Hub() as hub:
        watch = subscriber(hub, "watch", "will/#")
        clients = [open_client(hub, "k%d" % i, keep_alive=2, will=("will/k", "k", 0, False))
                   for i in range(10)]
        silent = open_client(hub, "silent", keep_alive=1, will=("will/s", "silent", 0, False))
        time.sleep(0.1)
        hub.process.send_signal(signal.SIGSTOP)
        for _ in range(4):  # 4 s of a process that does not run; each is heard in time
            time.sleep(1)
            for client in clients:
                client.send(mqtt.packet(mqtt.PINGREQ, b""))
        hub.process.send_signal(signal.SIGCONT)
        for client in clients:
            for _ in range(4):
                assert client.read()[0] == mqtt.PINGRESP, "a false end of keep alive"
        assert [body[0] for kind, _, body in silent.closes() if kind == mqtt.DISCONNECT] == [0x8D]
        assert watch.read()[2].endswith(b"silent")
        assert ping(watch) == []
        for client in clients:
            client.close()


def a_will_of_a_bike_is_stored_and_seen():
    with Hub() as hub:
        watch = subscriber(hub, "watch", "v1/b/+/tel", 1)
        for i, payload in enumerate((batch(1, 1), b"\xff", batch(1, 3))):
            bike = open_client(hub, "mortal", will=("v1/b/mortal/tel", payload, 1, False),
                               keep_alive=1)
            if i < 2:
                bike.close()  # the last one falls silent instead
            if i != 1:  # a payload that is refused is not shown
                assert watch.read(20)[2].endswith(payload)
        await_true(lambda: len(hub.rows()) == 2)
        await_true(lambda: hub.tool("quarantine", "list", "-o", "json").stdout != "[]\n")
        assert ping(watch) == []
        watch.close()


TESTS = [
    before_connect_little_is_held_and_not_for_long,
    subscriptions_have_a_bound,
    a_subscriber_that_never_reads_costs_its_bound,
    one_that_never_reads_its_acknowledgements_is_not_read_from,
    connections_have_a_bound,
    a_full_ring_holds_up_and_loses_nothing,
    connections_come_and_go_and_leave_nothing,
    a_pause_of_the_process_is_nobodys_silence,
    a_will_of_a_bike_is_stored_and_seen,
]


def main():
    only = sys.argv[1:]
    for test in TESTS:
        if not only or test.__name__ in only:
            started = time.monotonic()
            test()
            print("ok %s (%.1f s)" % (test.__name__, time.monotonic() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
