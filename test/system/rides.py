"""Recorded rides, played by `freehub sim` over mutual TLS, come out of `freehub export` sample for
sample: values after the schema's quantisation, missing ones still missing, in event-time order, odd
clocks flagged, duplicates once. FREEHUB_RIDES names the folder; without it this is skipped."""

import csv
import datetime
import decimal
import glob
import os
import shutil
import sys
import tempfile

from hub import Hub, SKIPPED

# CSV column of a ride -> export column, decimals
COLUMNS = {
    "lat": ("latitude_deg", 7), "lon": ("longitude_deg", 7), "alt_m": ("altitude_m", 1),
    "speed_mps": ("speed_mps", 2), "cadence_rpm": ("cadence_rpm", 0), "power_w": ("rider_power_w", 0),
    "distance_m": ("odometer_m", 1), "temperature_c": ("ambient_temperature_c", 1),
    "gps_accuracy_m": ("gps_accuracy_m", 1), "battery_soc_pct": ("battery_soc_pct", 1),
    "assist_level": ("assist_level", 0),
}
WINDOW_PAST_MS, WINDOW_FUTURE_MS = 30 * 86400 * 1000, 5 * 60 * 1000


def moment_ms(text):
    time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) /
                 datetime.timedelta(milliseconds=1))


def quantised(text, decimals):
    """The decimal number as the export writes it, or "" where it is none."""
    try:
        value = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return ""
    value = value.quantize(decimal.Decimal(1).scaleb(-decimals), decimal.ROUND_HALF_UP)
    return value + 0 if value else abs(value)  # no negative zero


def expected(path):
    """[(milliseconds, {export column: value})] in the order of the file."""
    samples = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if not row["time_utc"]:
                continue
            values = {}
            for name, (column, decimals) in COLUMNS.items():
                value = quantised(row.get(name) or "", decimals)
                values[column] = "" if column == "gps_accuracy_m" and value == 0 else value
            samples.append((moment_ms(row["time_utc"]), values))
    return samples


def same(value, cell):
    return cell == "" if value == "" else cell != "" and decimal.Decimal(cell) == value


def compare(name, samples, rows):
    """Every difference, as text; rows are in the export's order."""
    times = [moment_ms(row["time_utc"]) for row in rows]
    if times != sorted(times):
        yield "%s: not in event-time order" % name
    rows = sorted(rows, key=lambda row: int(row["sample"]))
    if len(rows) != len(samples):
        yield "%s: %d samples went in, %d came out" % (name, len(samples), len(rows))
        return
    numbers = [int(row["sample"]) for row in rows]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        yield "%s: samples are not numbered without a gap" % name
    shift = int(rows[-1]["bike_time_ms"]) - samples[-1][0]
    for (ms, values), row in zip(samples, rows):
        for column, value in values.items():
            if not same(value, row[column]):
                yield "%s, sample %s: %s is %r, not %r" % (name, row["sample"], column,
                                                          row[column], value)
        for column in ("motor_power_w", "battery_voltage_v", "flags"):
            if row[column] != "":
                yield "%s, sample %s: %s has a value nobody sent" % (name, row["sample"], column)
        bike_ms, recv_ms = int(row["bike_time_ms"]), moment_ms(row["received_utc"])
        trusted = recv_ms - WINDOW_PAST_MS <= bike_ms <= recv_ms + WINDOW_FUTURE_MS
        if bike_ms != ms + shift:
            yield "%s, sample %s: the bike's time moved" % (name, row["sample"])
        elif row["time_suspect"] == "0" and moment_ms(row["time_utc"]) != bike_ms:
            yield "%s, sample %s: trusted, yet not under its own time" % (name, row["sample"])
        elif row["time_suspect"] == "0" and not trusted:
            yield "%s, sample %s: out of the window and not flagged" % (name, row["sample"])
        elif row["time_suspect"] == "1" and trusted and abs(shift + samples[0][0] - bike_ms) < 3600000:
            yield "%s, sample %s: flagged without a reason" % (name, row["sample"])


def play(hub, folder, bikes, *more):
    return hub.tool("sim", "--rides", folder, "--speed", "0", "--batch-samples", "60",
                    "--url", "mqtts://127.0.0.1:%d" % hub.tls_port, "--bikes", ",".join(bikes), *more,
                    timeout=250)


def all_rides_come_out_as_they_went_in(folder):
    paths = sorted(path for path in glob.glob(os.path.join(folder, "*.csv"))
                   if os.path.basename(path) != "truth.csv")
    bikes = ["ride-%02d" % (i + 1) for i in range(len(paths))]
    failures, count = [], 0
    rides = tempfile.mkdtemp(prefix="freehub-rides-")
    for path in paths:
        os.symlink(os.path.abspath(path), os.path.join(rides, os.path.basename(path)))
    with Hub(tls=True) as hub:
        hub.tool("bikes", "add", *bikes)
        print(play(hub, rides, bikes).stdout.strip())
        for bike, path in zip(bikes, paths):
            samples = expected(path)
            count += len(samples)
            failures += list(compare(os.path.basename(path), samples, hub.rows("--bike", bike)))
        hub.stop()
        stopped = hub.rows("--bike", bikes[0])  # also while no daemon runs
        failures += list(compare("stopped", expected(paths[0]), stopped))
    shutil.rmtree(rides)
    for failure in failures[:40]:
        print("FAILED", failure)
    print("%d rides, %d samples, %d differences" % (len(paths), count, len(failures)))
    assert not failures


def a_ride_sent_twice_is_there_once(folder):
    few = tempfile.mkdtemp(prefix="freehub-few-")
    for path in sorted(glob.glob(os.path.join(folder, "00*.csv")))[:3]:
        os.symlink(os.path.abspath(path), os.path.join(few, os.path.basename(path)))
    bikes = ["twice-1", "twice-2", "twice-3"]
    with Hub(tls=True) as hub:
        hub.tool("bikes", "add", *bikes)
        play(hub, few, bikes, "--boot", "7")
        first = hub.rows()
        play(hub, few, bikes, "--boot", "7")
        again = hub.rows()
        assert first and again == first, "the first committed is what counts"
        play(hub, few, bikes, "--boot", "8")
        assert len(hub.rows()) == 2 * len(first)
    shutil.rmtree(few)


def recorded_times_are_flagged(folder):
    few = tempfile.mkdtemp(prefix="freehub-few-")
    for path in glob.glob(os.path.join(folder, "002*.csv")):
        os.symlink(os.path.abspath(path), os.path.join(few, os.path.basename(path)))
    with Hub(tls=True) as hub:
        hub.tool("bikes", "add", "old-1")
        play(hub, few, ["old-1"], "--keep-times")
        rows = hub.rows("--bike", "old-1")
        samples = expected(glob.glob(os.path.join(folder, "002*.csv"))[0])
        assert len(rows) == len(samples)
        assert all(row["time_suspect"] == "1" for row in rows)
        rows.sort(key=lambda row: int(row["sample"]))  # batches overlap under their arrival
        assert [int(row["bike_time_ms"]) for row in rows] == [ms for ms, _ in samples]
    shutil.rmtree(few)


def main():
    folder = os.environ.get("FREEHUB_RIDES", "")
    if not os.path.isdir(folder):
        print("skipped: FREEHUB_RIDES does not name a folder of recorded rides")
        return SKIPPED
    for test in (a_ride_sent_twice_is_there_once, recorded_times_are_flagged,
                 all_rides_come_out_as_they_went_in):
        test(folder)
        print("ok", test.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
