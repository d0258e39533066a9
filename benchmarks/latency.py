"""From a packet of spikes sent to the decoded command received, between two processes, beside bare hops and peers.

    python benchmarks/latency.py [--units 96 1024] [--packets 1500] [--rounds 3] [--ezmsg-python PYTHON] [--skip NAME]

One process plays the acquisition system and the effector: every 5 ms it sends the spikes of a bin, and takes the time
until what was made of them comes back. The other is, in turn,

- ``bmi run``: our wire, event-driven bin, decode, adapt, record to a file, decoded state out (the command leaves after
  the bin is on file);
- ``bare``: pyzmq and msgpack and nothing else, a packet and a reply of the same sizes: two hops, the floor;
- ``redis``: the same sizes through two Redis streams (XADD, blocking XREAD), if redis-server is on the machine;
- ``ezmsg``: the same sizes through two ezmsg units in two processes, if `PYTHON` has ezmsg.

ZeroMQ runs on ipc sockets. Systems alternate within the run; all others wait asleep, as ``bmi run`` does but for the
0.15 ms of its default `realtime.spin_s`. Ratios are to ``bare``. On a machine that does
other work, ``chrt -f 20 python benchmarks/latency.py`` gives all of them precedence over it.

On a virtual machine the host may take the processors away for tens of milliseconds at a time, from whichever system is
being measured. Every quarter of a second during which it did so (the `steal` of /proc/stat, in ticks of 10 ms, rose) is
left out for every system alike; the tables say how many packets were kept, and give the medians of all of them, too.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import msgpack
import numpy as np
import zmq

BIN_S = 0.005
BIN_NS = 5_000_000
RATE_HZ = 10.0
WARM_UP = 100
PATIENCE_S = 60.0
STRETCH = 50  # packets that are kept or left out together


def pace(prepare, send, receive, packets, first=0):
    """Send a packet every 5 ms, whatever comes back when; return the latencies in us, and which to keep.

    Parameters
    ----------
    prepare : callable
        Takes the number of the packet; returns it.
    send : callable
        Takes the packet.
    receive : callable
        Takes a time-out in s; returns the number of the packet that was answered, or None.
    packets : int
    first : int
        Number of the first packet.

    Returns
    -------
    latencies : list of (float, bool)
        Of each packet after the warm-up that was answered; whether the host left us the processors around it.
    """
    sent, latencies, stolen, begin = {}, [], {}, time.monotonic()
    for k in range(first, first + packets + WARM_UP):
        due, packet = begin + (k - first) * BIN_S, prepare(k)
        while (left := due - time.monotonic()) > 0.0:
            _answered(receive(left), sent, latencies)
        if k % STRETCH == 0:
            stolen[k // STRETCH] = stolen_ticks()
        sent[k] = time.perf_counter_ns()
        send(packet)
    deadline = time.monotonic() + 2.0
    while sent and time.monotonic() < deadline:
        _answered(receive(0.1), sent, latencies)
    return undisturbed(latencies, stolen, first + WARM_UP)


def undisturbed(latencies, stolen, first):
    """Return the latencies from packet `first` on, each with whether nothing was stolen during its stretch."""
    clean = {number for number, ticks in stolen.items() if stolen.get(number + 1, -1) == ticks}
    return [(latency, k // STRETCH in clean) for k, latency in latencies if k >= first]


def stolen_ticks():
    """Return for how many ticks the host has given our processors to others so far (0 where no one says)."""
    try:
        return int(pathlib.Path("/proc/stat").read_text().split(maxsplit=9)[8])
    except OSError:
        return 0


def _answered(k, sent, latencies):
    if k in sent:
        latencies.append((k, (time.perf_counter_ns() - sent.pop(k)) / 1000.0))


def sleeping_poll(subscriber, timeout_s):
    """Wait for a message at most this long, to better than the millisecond that poll counts in."""
    if subscriber.poll(int(timeout_s * 1000.0)):
        return True
    time.sleep(max(timeout_s % 0.001, 0.0))
    return bool(subscriber.poll(0))


def spikes(k, units, rng):
    """Return the frames of packet `k` on our wire."""
    from bmi_runtime import wire

    counts = rng.poisson(RATE_HZ * BIN_S, units)
    owner = np.repeat(np.arange(units, dtype=np.uint16), counts)
    times = np.sort(rng.integers(k * BIN_NS, (k + 1) * BIN_NS, owner.size))
    fields = {"from_ns": k * BIN_NS, "until_ns": (k + 1) * BIN_NS, "times_ns": times, "units": owner}
    return wire.encode("spikes", 1, k + 1, **fields)


def sizes(units):
    """Return how large a typical packet and its answer are on our wire, in bytes."""
    rng = np.random.default_rng(0)
    packet = int(np.median([sum(map(len, spikes(k, units, rng))) for k in range(100)]))
    return packet, 420  # an answer: cursor, target, state and variances of a bin


@contextlib.contextmanager
def zeromq_pair(folder):
    """Yield a PUB and a SUB socket for the sending process, and the two ipc addresses."""
    context = zmq.Context.instance()
    out, back = f"ipc://{folder}/packets", f"ipc://{folder}/answers"
    publisher, subscriber = context.socket(zmq.PUB), context.socket(zmq.SUB)
    publisher.linger = subscriber.linger = 0
    publisher.bind(out)
    subscriber.subscribe(b"")
    subscriber.connect(back)
    try:
        yield publisher, subscriber, out, back
    finally:
        publisher.close()
        subscriber.close()


@contextlib.contextmanager
def child(arguments, python=sys.executable):
    """Run another process for as long as the block lasts."""
    process = subprocess.Popen([python, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        process.kill()


def measure_runtime(units, packets):
    """Return latencies through `bmi run`."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder, zeromq_pair(folder) as (publisher, subscriber, out, back):
        settings = {
            "session.units": units,
            "source.address": out,
            "telemetry.output_address": back,
            "telemetry.publish_address": f"ipc://{folder}/telemetry",
            "telemetry.control_address": f"ipc://{folder}/control",
            "realtime.max_wait_s": 0.05,
        }
        overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = ["-m", "bmi_runtime.cli.main", "run", "--headless", "--source", "zeromq", "--seed", "1"]
        with child([*command, "--record", f"{folder}/latency.mcap", *overrides]) as process:

            def prepare(k):
                return spikes(k, units, rng)

            def receive(timeout_s):
                if not sleeping_poll(subscriber, timeout_s):
                    return None
                body = msgpack.unpackb(subscriber.recv_multipart()[1])
                return None if body["stale"] else round(body["device_time_s"] / BIN_S) - 1

            first = wait_for(process, prepare, publisher, subscriber)
            return pace(prepare, publisher.send_multipart, receive, packets, first)


def wait_for(process, prepare, publisher, subscriber):
    """Send a packet every 5 ms until answers come back; return the number of the next one."""
    begin, k = time.monotonic(), 0
    while not subscriber.poll(0):
        time.sleep(max(begin + k * BIN_S - time.monotonic(), 0.0))
        publisher.send_multipart(prepare(k))
        k += 1
        if process.poll() is not None:
            raise SystemExit(f"the other process ended: {process.communicate()[1]}")
        if k * BIN_S > PATIENCE_S:
            raise SystemExit("no answer from the other process")
    return k


def measure_bare(units, packets):
    """Return latencies of two bare hops."""
    packet_bytes, answer_bytes = sizes(units)
    with tempfile.TemporaryDirectory() as folder, zeromq_pair(folder) as (publisher, subscriber, out, back):

        def prepare(k):
            return [b"spikes", msgpack.packb({"k": k, "body": bytes(packet_bytes)})]

        def receive(timeout_s):
            if not sleeping_poll(subscriber, timeout_s):
                return None
            return msgpack.unpackb(subscriber.recv_multipart()[1])["k"]

        arguments = [__file__, "--role", "bare", "--addresses", out, back, "--answer-bytes", str(answer_bytes)]
        with child(arguments) as process:
            first = wait_for(process, prepare, publisher, subscriber)
            return pace(prepare, publisher.send_multipart, receive, packets, first)


def echo_bare(out, back, answer_bytes):
    """Answer every packet, with pyzmq and msgpack alone."""
    context = zmq.Context.instance()
    subscriber, publisher = context.socket(zmq.SUB), context.socket(zmq.PUB)
    subscriber.subscribe(b"")
    subscriber.connect(out)
    publisher.bind(back)
    body = bytes(answer_bytes)
    while True:
        message = msgpack.unpackb(subscriber.recv_multipart()[1])
        publisher.send_multipart([b"decoded", msgpack.packb({"k": message["k"], "body": body})])


@contextlib.contextmanager
def redis_server():
    """Yield the port of a Redis server of our own (no saving to disk)."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure_redis(units, packets):
    """Return latencies through two Redis streams."""
    import redis

    packet_bytes, answer_bytes = sizes(units)
    with redis_server() as port:
        client = redis.Redis(port=port)
        body, last = bytes(packet_bytes), [b"0-0"]
        with child([__file__, "--role", "redis", "--port", str(port), "--answer-bytes", str(answer_bytes)]):

            def send(k):
                client.xadd("packets", {"k": k, "body": body}, maxlen=1000, approximate=True)

            def receive(timeout_s):
                answer = client.xread({"answers": last[0]}, count=1, block=max(int(timeout_s * 1000.0), 1))
                if not answer:
                    return None
                last[0], fields = answer[0][1][0]
                return int(fields[b"k"])

            deadline = time.monotonic() + PATIENCE_S
            while not client.exists("answers") and time.monotonic() < deadline:
                send(-1)
                time.sleep(0.05)
            return pace(lambda k: k, send, receive, packets)


def echo_redis(port, answer_bytes):
    """Answer every entry of one stream in another."""
    import redis

    client, last, body = redis.Redis(port=port), b"$", bytes(answer_bytes)
    while True:
        for entry_id, fields in client.xread({"packets": last}, block=0)[0][1]:
            last = entry_id
            client.xadd("answers", {"k": fields[b"k"], "body": body}, maxlen=1000, approximate=True)


def measure_ezmsg(units, packets, python):
    """Return latencies through ezmsg, measured by the other Python."""
    packet_bytes, answer_bytes = sizes(units)
    arguments = ["--role", "ezmsg", "--packets", str(packets), "--packet-bytes", str(packet_bytes)]
    command = [python, __file__, *arguments, "--answer-bytes", str(answer_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    for line in done.stdout.splitlines():
        if line.startswith("LATENCIES "):
            return json.loads(line.removeprefix("LATENCIES "))
    raise SystemExit(f"ezmsg did not answer: {done.stderr[-1000:]}")


def run_ezmsg(packets, packet_bytes, answer_bytes):
    """Measure with ezmsg: this process sends and receives, another echoes."""
    import asyncio

    import ezmsg.core as ez

    sent, latencies, stolen = {}, [], {}

    class Device(ez.Unit):
        """Sends packets and waits for the answers."""

        PACKETS = ez.OutputStream(tuple)
        ANSWERS = ez.InputStream(tuple)

        @ez.publisher(PACKETS)
        async def send(self):
            await asyncio.sleep(2.0)
            begin, body = time.monotonic(), bytes(packet_bytes)
            for k in range(packets + WARM_UP):
                await asyncio.sleep(max(begin + k * BIN_S - time.monotonic(), 0.0))
                if k % STRETCH == 0:
                    stolen[k // STRETCH] = stolen_ticks()
                sent[k] = time.perf_counter_ns()
                yield self.PACKETS, (k, body)
            await asyncio.sleep(1.0)
            print("LATENCIES " + json.dumps(undisturbed(latencies, stolen, WARM_UP)), flush=True)
            raise ez.NormalTermination

        @ez.subscriber(ANSWERS)
        async def receive(self, message):
            _answered(message[0], sent, latencies)

    class Runtime(ez.Unit):
        """Answers."""

        PACKETS = ez.InputStream(tuple)
        ANSWERS = ez.OutputStream(tuple)

        @ez.subscriber(PACKETS)
        @ez.publisher(ANSWERS)
        async def answer(self, message):
            yield self.ANSWERS, (message[0], bytes(answer_bytes))

    globals().update(Device=Device, Runtime=Runtime)
    device, runtime = Device(), Runtime()
    ez.run(
        components={"DEVICE": device, "RUNTIME": runtime},
        connections=((device.PACKETS, runtime.PACKETS), (runtime.ANSWERS, device.ANSWERS)),
        process_components=(runtime,),
    )


def systems(given):
    """Return the systems that can be measured here, and say why others are not."""
    table = {"bmi run": measure_runtime, "bare": measure_bare}
    try:
        import redis

        assert redis
        if shutil.which("redis-server"):
            table["redis"] = measure_redis
        else:
            print("redis is left out: no redis-server on this machine")
    except ImportError:
        print("redis is left out: the package redis is not installed")
    if given.ezmsg_python and pathlib.Path(given.ezmsg_python).exists():
        table["ezmsg"] = lambda units, packets: measure_ezmsg(units, packets, given.ezmsg_python)
    else:
        print("ezmsg is left out: give --ezmsg-python, a Python that has ezmsg")
    return {name: measure for name, measure in table.items() if name not in (given.skip or ())}


def report(results, units):
    """Print one table and return its rows."""
    kept = {name: [latency for latency, keep in pairs if keep] for name, pairs in results.items()}
    bare = np.percentile(kept.get("bare") or [np.nan], [50, 99])
    print(f"{units} units, {sizes(units)[0]} bytes a packet")
    head = ("answered", "kept", "p50 of all", "p50 us", "p99 us", "p50 / bare", "p99 / bare")
    print(f"{'':>10}" + "".join(f"{title:>11}" for title in head))
    rows = []
    for name, pairs in results.items():
        p50, p99 = np.percentile(kept[name] or [np.nan], [50, 99])
        all_p50 = np.median([latency for latency, _ in pairs])
        row = {
            "system": name,
            "units": units,
            "answered": len(pairs),
            "kept": len(kept[name]),
            "p50_of_all_us": all_p50,
        }
        row |= {"p50_of_all_us": all_p50, "p50_us": p50, "p99_us": p99}
        rows.append(row | {"p50_to_bare": p50 / bare[0], "p99_to_bare": p99 / bare[1]})
        cells = (f"{len(pairs)}", f"{len(kept[name])}", *(f"{us:.0f}" for us in (all_p50, p50, p99)))
        print(f"{name:>10}" + "".join(f"{cell:>11}" for cell in (*cells, *(f"{r:.2f}" for r in (p50, p99) / bare))))
    return rows


def main():
    """Measure every system in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[96, 1024])
    parser.add_argument("--packets", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ezmsg-python", default=os.environ.get("EZMSG_PYTHON", ""))
    parser.add_argument("--skip", action="append", help="leave this system out")
    for name in ("--role", "--port", "--answer-bytes", "--packet-bytes"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--addresses", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "bare":
        echo_bare(*given.addresses, int(given.answer_bytes))
    elif given.role == "redis":
        echo_redis(int(given.port), int(given.answer_bytes))
    elif given.role == "ezmsg":
        run_ezmsg(given.packets, int(given.packet_bytes), int(given.answer_bytes))
    else:
        table, rows = systems(given), []
        for units in given.units:
            results = {name: [] for name in table}
            for _ in range(given.rounds):
                for name, measure in table.items():
                    results[name] += measure(units, given.packets // given.rounds)
            rows += report(results, units)
        print(json.dumps({"latency": rows}))


if __name__ == "__main__":
    main()
