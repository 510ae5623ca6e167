"""Eclipse Paho for Python, 1.6 of Debian 12."""

import importlib.util
import os
import sys

import interop

if not importlib.util.find_spec("paho"):
    interop.skip("Paho for Python is not installed (python3-paho-mqtt)")
here = os.path.dirname(os.path.abspath(__file__))
interop.run(interop.Library("paho-python", [sys.executable, here + "/clients/paho_python.py"]))
