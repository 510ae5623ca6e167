"""Acknowledged means stored: kill -9 at random moments under QoS 1 load, again and again, then look
for every acknowledged sample. The second half is the proof that this harness can see a loss: the
same run against a hub linked to acknowledge before the commit must report one."""

import os
import random
import sys
import time

from hub import BIN, Hub
from publisher import Publisher, Tally, load_until

PUBLISHERS = int(os.environ.get("FREEHUB_KILL_PUBLISHERS", "20"))
CYCLES = int(os.environ.get("FREEHUB_KILL_CYCLES", "50"))
CYCLES_EARLY = 6


def campaign(daemon, cycles, rng):
    """The tally after so many kills, and the slowest restart in seconds."""
    publishers = [Publisher(number, "kill") for number in range(PUBLISHERS)]
    slowest = 0.0
    hub = Hub(daemon=daemon)
    for _ in range(cycles):
        started = time.monotonic()
        hub.start()
        ready = time.monotonic() - started
        first = load_until(publishers, hub.port, time.monotonic() + rng.uniform(0.01, 0.5))
        slowest = max(slowest, ready + first)
        hub.kill()
        for publisher in publishers:
            publisher.drain()
    with hub:
        return Tally(hub, publishers), slowest


def main():
    seed = int(os.environ.get("FREEHUB_SEED", random.randrange(1 << 32)))
    rng = random.Random(seed)
    print("FREEHUB_SEED=%d" % seed)

    tally, slowest = campaign(None, CYCLES, rng)
    print("%d kills: %s; slowest restart to CONNACK %.3f s" % (CYCLES, tally, slowest))
    assert tally.acked > CYCLES, "the load did not load"
    assert tally.is_clean()

    early = os.path.join(os.path.dirname(os.path.abspath(BIN)), "test", "freehubd_ack_early")
    tally, _ = campaign(early, CYCLES_EARLY, rng)
    print("acknowledging before the commit, %d kills: %s" % (CYCLES_EARLY, tally))
    assert tally.missing > 0, "the harness cannot see a loss: its first result means nothing"
    return 0


if __name__ == "__main__":
    sys.exit(main())
