"""mosquitto_pub and mosquitto_sub of Debian 12."""

import os
import shutil
import sys

import interop

if not shutil.which("mosquitto_pub") or not shutil.which("mosquitto_sub"):
    interop.skip("mosquitto_pub and mosquitto_sub are not installed (mosquitto-clients)")
here = os.path.dirname(os.path.abspath(__file__))
interop.run(interop.Library("mosquitto", [sys.executable, here + "/clients/mosquitto.py"]))
