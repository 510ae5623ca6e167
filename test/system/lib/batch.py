"""freehub.v1.Batch by hand, so that tests do not depend on generated code and can break it."""

import time


def varint(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def zigzag(value):
    return (value << 1) ^ (value >> 63)


def field(number, value):
    return varint(number << 3) + varint(value)


def packed(number, values, signed=False):
    body = b"".join(varint(zigzag(v) if signed else v) for v in values)
    return varint(number << 3 | 2) + varint(len(body)) + body


def batch(boot, first, speeds_cms=(500,), base_ms=None, trusted=True, step_ms=1000):
    """Samples `first`, first + 1, ... with a speed column; the first delta is absolute."""
    if base_ms is None:
        base_ms = int(time.time() * 1000) - step_ms * (len(speeds_cms) - 1)
    deltas = [speeds_cms[0]] + [b - a for a, b in zip(speeds_cms, speeds_cms[1:])]
    return (field(1, boot) + field(3, first) + field(4, base_ms) +
            (field(5, 1) if trusted else b"") +
            packed(10, [0] + [step_ms] * (len(speeds_cms) - 1)) + packed(15, deltas, signed=True))
