"""One course for every client library: a bike publishes over mutual TLS, a service receives, and a
bike that reaches outside its own tree gets nowhere. QoS 0 and 1, MQTT 3.1.1 and 5.

A client is a program with one command line, whatever the library:

    pub --version 4|5 --port P --ca F --cert F --key F --id ID --qos Q --topic T --file PAYLOAD
    sub ...                            --topic FILTER

`pub` prints PUBLISHED, REFUSED or CLOSED. `sub` prints SUBSCRIBED and the code the broker granted,
then MESSAGE, topic, payload in hexadecimal and QoS of each message, until it is ended.
"""

import os
import queue
import re
import subprocess
import sys
import threading
import time

from batch import batch
from hub import SKIPPED, Hub

PATIENCE_S = 15.0
REFUSAL_S = 2.0  # a 3.1.1 client whose connection is closed may try again for ever


def skip(reason):
    print("skipped: " + reason)
    sys.exit(SKIPPED)


class Subscriber:
    """A running `sub`."""

    def __init__(self, command):
        self.lines = queue.Queue()
        self.said = []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def expect(self, word, timeout=PATIENCE_S):
        """The words after `word` of the next line that begins with it; None when time is over."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if line is None:
                return None
            self.said.append(line)
            if line.split(" ")[0] == word:
                return line.split(" ")[1:]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        if exc[0]:
            print("the subscriber said: %r" % self.said)


class Library:
    """How a library's client program is started; `command` is what stands before pub or sub."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def arguments(self, hub, who, version, qos, topic):
        kind, name = who
        pki = os.path.join(hub.data, "pki")
        return ["--version", str(version), "--port", str(hub.tls_port),
                "--ca", os.path.join(pki, "ca-bundle.crt"),
                "--cert", os.path.join(pki, kind, name + ".crt"),
                "--key", os.path.join(pki, kind, name + ".key"),
                "--id", name, "--qos", str(qos), "--topic", topic]

    def subscriber(self, hub, who, version, qos, topic):
        return Subscriber(self.command + ["sub"] + self.arguments(hub, who, version, qos, topic))

    def publish(self, hub, who, version, qos, topic, payload, patience=PATIENCE_S):
        """PUBLISHED, REFUSED or CLOSED; CLOSED also when it is still trying."""
        path = os.path.join(hub.folder, "payload")
        with open(path, "wb") as file:
            file.write(payload)
        command = self.command + ["pub"] + self.arguments(hub, who, version, qos, topic)
        try:
            result = subprocess.run(command + ["--file", path], capture_output=True, text=True,
                                    stdin=subprocess.DEVNULL, timeout=patience)
        except subprocess.TimeoutExpired:
            return "CLOSED"
        found = re.findall(r"^(PUBLISHED|REFUSED|CLOSED)", result.stdout, re.M)
        if not found:
            raise AssertionError("%s said %r %r" % (self.name, result.stdout, result.stderr))
        return found[-1]


BIKE, OTHER, READER = ("bikes", "bike-1"), ("bikes", "bike-2"), ("services", "reader")


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError("%s: %r, not %r" % (what, got, wanted))


def receive(subscriber, topic, payload, qos):
    got = subscriber.expect("MESSAGE")
    same("the message", got, [topic, payload.hex(), str(qos)])


def own_tree(hub, library, version, qos, number):
    """Text and telemetry of a bike reach the service byte for byte, and a bike its own topics."""
    note = "ä note of %s, %d, %d" % (library.name, version, qos)
    samples = batch(boot=1000 + number, first=1, speeds_cms=(500, 510, 490))
    with library.subscriber(hub, READER, version, qos, "v1/b/+/#") as reader, \
            library.subscriber(hub, OTHER, version, qos, "v1/b/bike-2/#") as other:
        same("SUBACK", reader.expect("SUBSCRIBED"), [str(qos)])
        same("SUBACK", other.expect("SUBSCRIBED"), [str(qos)])
        for topic, payload in (("v1/b/bike-1/note", note.encode()), ("v1/b/bike-1/tel", samples)):
            same(topic, library.publish(hub, BIKE, version, qos, topic, payload), "PUBLISHED")
            receive(reader, topic, payload, qos)
        # Commands are the service's to send in other tests; here the bike hears its own.
        same("v1/b/bike-2/x", library.publish(hub, ("bikes", "bike-3"), version, qos,
                                              "v1/b/bike-3/x", b"3"), "PUBLISHED")
        receive(reader, "v1/b/bike-3/x", b"3", qos)
        same("what another bike hears", other.expect("MESSAGE", 0.3), None)


def other_trees(hub, library, version, qos):
    """What a bike sends outside its tree reaches nobody, and it cannot listen there."""
    with library.subscriber(hub, READER, version, qos, "v1/b/+/#") as reader:
        same("SUBACK", reader.expect("SUBSCRIBED"), [str(qos)])
        for topic in ("v1/b/bike-2/note", "v1/bike-1/x"):
            answer = library.publish(hub, BIKE, version, qos, topic, b"forged", REFUSAL_S)
            if qos > 0:
                same("publishing to " + topic, answer, "REFUSED" if version == 5 else "CLOSED")
        same("publishing after it", library.publish(hub, OTHER, version, qos, "v1/b/bike-2/note",
                                                    b"genuine"), "PUBLISHED")
        receive(reader, "v1/b/bike-2/note", b"genuine", qos)
    for forbidden in ("v1/b/bike-2/#", "v1/b/+/note"):
        with library.subscriber(hub, BIKE, version, qos, forbidden) as thief:
            code = thief.expect("SUBSCRIBED", REFUSAL_S)
            if code is not None and int(code[0]) < 0x80:
                raise AssertionError("a bike may read %s: %s" % (forbidden, code))
            same("publishing", library.publish(hub, OTHER, version, qos, "v1/b/bike-2/note",
                                               b"private"), "PUBLISHED")
            same("what a thief hears", thief.expect("MESSAGE", 0.3), None)


def run(library):
    with Hub(tls=True) as hub:
        hub.tool("bikes", "add", "bike-1", "bike-2", "bike-3")
        hub.tool("certs", "service", "reader", "--read", "v1/b/#")
        number = 0
        for version in (4, 5):
            for qos in (0, 1):
                own_tree(hub, library, version, qos, number)
                other_trees(hub, library, version, qos)
                number += 1
                print("%s: MQTT %s, QoS %d: ok" % (library.name, "5" if version == 5 else "3.1.1",
                                                   qos), flush=True)
        rows = hub.rows("--bike", "bike-1")
        same("stored samples", len(rows), 3 * number)
