"""Paho for Python under the command line of lib/interop.py."""

import argparse
import sys

import paho.mqtt.client as mqtt

parser = argparse.ArgumentParser()
parser.add_argument("action", choices=["pub", "sub"])
for name in ("version", "port", "ca", "cert", "key", "id", "qos", "topic", "file"):
    parser.add_argument("--" + name)
o = parser.parse_args()
five = o.version == "5"


class Client(mqtt.Client):
    """1.6 reads the reason code of a PUBACK and tells nobody."""

    refused = False

    def _handle_pubackcomp(self, cmd):
        packet = self._in_packet["packet"]
        self.refused = len(packet) > 2 and packet[2] >= 0x80
        return super()._handle_pubackcomp(cmd)


client = Client(client_id=o.id, protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
                **({} if five else {"clean_session": True}))
client.tls_set(ca_certs=o.ca, certfile=o.cert, keyfile=o.key)


def say(*words):
    print(*words, flush=True)


def number(code):
    return code.value if hasattr(code, "value") else int(code)


def on_connect(client, userdata, flags, rc, properties=None):
    if number(rc) != 0:
        say("CLOSED", rc)
        client.disconnect()
    elif o.action == "sub":
        client.subscribe(o.topic, int(o.qos))
    else:
        with open(o.file, "rb") as file:
            client.publish(o.topic, file.read(), int(o.qos))


def on_subscribe(client, userdata, mid, granted, properties=None):
    say("SUBSCRIBED", number(granted[0]))


def on_message(client, userdata, message):
    say("MESSAGE", message.topic, message.payload.hex(), message.qos)


published = False


def on_publish(client, userdata, mid):
    global published
    if not published:
        published = True
        say("REFUSED" if client.refused else "PUBLISHED")
    client.disconnect()


def on_disconnect(client, userdata, rc, properties=None):
    if o.action == "pub" and not published:
        say("CLOSED", rc)
    sys.exit(0)


client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.on_publish, client.on_disconnect = on_publish, on_disconnect
client.connect("127.0.0.1", int(o.port), 30)
client.loop_forever(retry_first_connection=False)
