"""The example configuration is sound as it is, names every setting and tells the defaults truly."""

import os
import re
import subprocess
import sys
import tempfile

BIN = os.environ.get("FREEHUB_BIN", "build/debug/bin")
EXAMPLE = "broker/freehub.yaml"


def freehubd(*args):
    result = subprocess.run([os.path.join(BIN, "freehubd"), *args], capture_output=True, text=True,
                            timeout=30)
    assert result.returncode == 0, result.stderr
    return result.stdout


def uncommented(text):
    """A comment that begins with a key, indented or an entry of a list, becomes a setting."""
    return re.sub(r"^#((?:  )*(?:- )?[a-z_]+:.*)$", r"\1", text, flags=re.M)


def keys_in(text):
    return set(re.findall(r"^ *(?:- )?([a-z_]+):", text, re.M))


def test_as_it_is():
    assert "sound, 1 listener, 6 streams" in freehubd("--config", EXAMPLE, "--check")


def test_with_everything_uncommented():
    with open(EXAMPLE) as file:
        whole = uncommented(file.read())
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "whole.yaml")
        with open(path, "w") as file:
            file.write(whole)
        used = freehubd("--config", path, "--show-config")
    assert used == freehubd("--config", EXAMPLE, "--show-config"), "a default differs:\n" + used
    assert keys_in(whole) == keys_in(used), keys_in(whole) ^ keys_in(used)


def main():
    tests = [value for name, value in sorted(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
        print("ok %s" % test.__name__)
    print("%d tests passed" % len(tests))


if __name__ == "__main__":
    sys.exit(main())
