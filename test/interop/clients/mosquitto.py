"""mosquitto_pub and mosquitto_sub under the command line of lib/interop.py."""

import argparse
import re
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("action", choices=["pub", "sub"])
for name in ("version", "port", "ca", "cert", "key", "id", "qos", "topic", "file"):
    parser.add_argument("--" + name)
o = parser.parse_args()
common = ["-h", "127.0.0.1", "-p", o.port, "-V", "mqttv5" if o.version == "5" else "mqttv311",
          "--cafile", o.ca, "--cert", o.cert, "--key", o.key, "-i", o.id, "-q", o.qos,
          "-t", o.topic]

if o.action == "pub":
    result = subprocess.run(["mosquitto_pub", *common, "-f", o.file, "-d"], capture_output=True,
                            text=True)
    said = result.stdout + result.stderr
    if "failed: " in said:
        print("REFUSED")
    elif result.returncode != 0 or "sending PUBLISH" not in said:
        print("CLOSED " + said.replace("\n", "; "))
    else:
        print("PUBLISHED")
else:
    # It ends with this program; %x is the payload in hexadecimal.
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", "mosquitto_sub",
                              *common, "-d", "-F", "MESSAGE %t %x %q"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    for line in child.stdout:
        granted = re.match(r"Subscribed \(mid: \d+\): (\d+)", line)
        if granted:
            print("SUBSCRIBED " + granted[1], flush=True)
        elif line.startswith("MESSAGE "):
            print(line.strip(), flush=True)
