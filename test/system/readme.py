"""What README.md shows works as it is printed: the commands of "By hand", and the smallest batch."""

import os
import re
import shlex
import subprocess
import sys

from hub import BIN, Hub
import rawmqtt as mqtt

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def code_blocks():
    """Indented blocks of README.md, without their indent."""
    with open(os.path.join(ROOT, "README.md")) as file:
        text = file.read()
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)
    return ["".join(line[4:] if line.strip() else "\n" for line in block.splitlines(True))
            for block in blocks]


def the_commands_work(hub):
    block = next(b for b in code_blocks() if "freehub bikes add" in b)
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    commands = [line for line in commands if line.startswith("freehub ")]
    assert len(commands) >= 6, commands
    for command in commands:
        words = [hub.data if word == "./hub" else word for word in shlex.split(command)]
        words[0] = os.path.join(BIN, "freehub")
        result = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, "%s: %d\n%s%s" % (command, result.returncode, result.stdout,
                                                         result.stderr)
    assert len(hub.rows("--bike", "bike-01")) > 100


def the_batch_is_one_sample(hub):
    block = next(b for b in code_blocks() if "batch.bin" in b)
    subprocess.run(["/bin/sh", "-ec", block], cwd=hub.folder, check=True, timeout=30)
    with open(os.path.join(hub.folder, "batch.bin"), "rb") as file:
        payload = file.read()
    client = mqtt.Client(hub.port)
    client.connect("readme")
    client.send(mqtt.publish("v1/b/readme/tel", payload, 1, 1))
    assert client.read() == (mqtt.PUBACK, 0, b"\0\1")
    client.close()
    rows = hub.rows("--bike", "readme")
    assert [(r["boot"], r["sample"], r["speed_mps"], r["time_suspect"]) for r in rows] == [
        ("7", "1", "2.50", "0")], rows


def main():
    with Hub(tls=True) as hub:
        for test in (the_batch_is_one_sample, the_commands_work):
            test(hub)
            print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
