"""Eclipse Paho for C, 1.3 of Debian 12: a small program built here."""

import os
import shutil
import subprocess
import sys
import tempfile

import interop

here = os.path.dirname(os.path.abspath(__file__))
compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
if not compiler:
    interop.skip("there is no C compiler")
with tempfile.TemporaryDirectory(prefix="freehub-paho-c-") as folder:
    program = os.path.join(folder, "client")
    built = subprocess.run([compiler, "-std=gnu17", "-O1", "-Wall", "-Werror",
                            here + "/clients/paho_c.c", "-o", program, "-lpaho-mqtt3cs"],
                           capture_output=True, text=True)
    if "MQTTClient.h" in built.stderr and "No such file" in built.stderr:
        interop.skip("Paho for C is not installed (libpaho-mqtt-dev)")
    if built.returncode != 0:
        sys.exit(built.stderr)
    interop.run(interop.Library("paho-c", [program]))
