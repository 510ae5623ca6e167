"""MQTT.js, installed by npm below build/ when it is not there yet."""

import os
import shutil
import subprocess

import interop

VERSION = "5.16.0"
here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
home = os.path.join(root, "build", "interop", "mqttjs-" + VERSION)
node = shutil.which("node")

if not node:
    interop.skip("node is not installed")
if not os.path.exists(os.path.join(home, "node_modules", "mqtt", "package.json")):
    if not shutil.which("npm"):
        interop.skip("npm is not installed")
    os.makedirs(home, exist_ok=True)
    try:
        subprocess.run(["npm", "install", "--prefix", home, "--no-save", "--no-audit", "--no-fund",
                        "--ignore-scripts", "mqtt@" + VERSION], check=True, timeout=120,
                       capture_output=True, text=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        interop.skip("npm could not install mqtt@%s: %s" % (VERSION, str(error.stderr)[-300:]))
os.environ["NODE_PATH"] = os.path.join(home, "node_modules")
interop.run(interop.Library("mqtt.js", [node, here + "/clients/mqttjs.js"]))
