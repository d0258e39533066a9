"""Sources whose data arrive by themselves: a feed that understands one protocol, and the binner."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from bmi_runtime.config import Config
from bmi_runtime.errors import BadInput, BmiError
from bmi_runtime.messages import Bin
from bmi_runtime.security import is_loopback
from bmi_runtime.sources.binner import Binner
from bmi_runtime.sources.options import BinnerOptions
from bmi_runtime.sources.waiting import Expectation

WAIT_S = 60.0  # for the first data; 0 in source.options.wait_s: for ever
LONGEST_SLEEP_S = 0.1  # so that a stop is noticed
OPENING_NS = 500_000_000  # at most spent on what queued up before the first bin
REFUSED_PER_S = 40_000  # messages refused faster than this are not all read: about half of a processor
REFUSED_AT_ONCE_S = 0.5  # of that pace saved up: a burst is read through, so that what is behind it comes in time
READING_SHARE = 4  # of a bin, as a divisor: what is read past the deadline, lest data that wait be taken as missing
MANY_STALE = 50  # bins without data, before it is said that they do not wait long enough
LONGEST_WAIT_S = 0.3  # of a bin for its data: what comes later is a stall, and no block of a device
LISTEN_NS = 1_000_000_000  # listened to before the first bin, so that the clock fit has something to go by


def address_of(config: Config, default: str) -> str:
    """Return ``source.address``, or the protocol's own default where the configuration says nothing."""
    given = config.source.address
    return default if given == type(config.source).model_fields["address"].default else given


def check_trusted(address: str, config: Config) -> None:
    """Raise `BadInput` for an address off loopback in a protocol without keys, unless its network is trusted."""
    if not is_loopback(address) and config.source.options.get("trusted_network") is not True:
        raise BadInput(
            f"source.address = {address} is another machine and this protocol knows no keys; if only the acquisition "
            "system can send there, say source.options.trusted_network = true"
        )


class Feed(Protocol):
    """One protocol: connects, and turns messages into packets."""

    OPTIONS: tuple[str, ...]
    """What ``source.options`` may say for it."""

    def open(self) -> None:
        """Connect; raise `BmiError` in one sentence when that fails."""

    def receive(self, binner: Binner, timeout_s: float) -> bool:
        """Wait at most this long for one message, give it to the binner; return whether there was one."""

    def report(self) -> dict[str, Any]:
        """Return what the device was found to send (names and units, fields, clocks); for people and `bmi doctor`."""

    def close(self) -> None:
        """Let go of sockets."""


class LiveSource:
    """A feed and a binner, as a `Source`.

    Parameters
    ----------
    config : Config
        ``source.options.wait_s`` (60): how long to wait for the first data before the session starts; 0 starts at once,
        with stale bins until data come.
    feed : Feed
    now_ns : callable
        The host's monotonic clock.
    """

    paced = False

    def __init__(self, config: Config, feed: Feed, now_ns: Callable[[], int] = time.monotonic_ns):
        self.config, self.feed, self.now_ns = config, feed, now_ns
        self.binner = Binner(config, BinnerOptions.of(config, ("wait_s", "trusted_network", *feed.OPTIONS)))
        self.wait_s = config.source.options.get("wait_s", WAIT_S)
        spin_s = config.realtime.spin_s if now_ns is time.monotonic_ns else 0.0  # only a real clock runs while watched
        self.expectation = Expectation(round(config.bin_s * 1e9), round(spin_s * 1e9))
        self._refused_limit, self._refused_most = config.bin_s * REFUSED_PER_S, REFUSED_AT_ONCE_S * REFUSED_PER_S
        self._may_refuse = self._refused_most
        self._told_wait = False
        self.completed_ns = 0  # host time at which the newest bin's data were complete, or given up waiting for
        if not isinstance(self.wait_s, int | float) or not 0 <= self.wait_s < 1e6:
            raise BadInput(f"source.options.wait_s must be a number of seconds from 0, got {self.wait_s!r}")

    def open(self) -> None:
        """Connect, wait for the first data, and listen to them for a moment before the session begins.

        What is learned from what comes (waiting time, late spikes, whether channels count from 0) is so known at the
        first bin; the data heard are not for decoding.
        """
        self.feed.open()
        deadline_ns = self.now_ns() + self.wait_s * 1e9
        while self.wait_s and not self.binner.started:
            if self.now_ns() > deadline_ns:
                self.close()
                raise BmiError(self._nothing_came())
            self.receive(LONGEST_SLEEP_S)
        until_ns = self.now_ns() + (LISTEN_NS if self.wait_s else 0)
        while (left_ns := until_ns - self.now_ns()) > 0:
            self.receive(min(left_ns * 1e-9, LONGEST_SLEEP_S))
        self.read_waiting(OPENING_NS)  # what queued up while the session got ready is not for decoding
        if self.wait_s:
            self.binner.begin_here()

    def receive(self, timeout_s: float) -> bool:
        """Wait at most this long for one message and give it to the binner; return whether there was one.

        One that its feed stumbles over is refused: it does not end the session.
        """
        try:
            return self.feed.receive(self.binner, timeout_s)
        except BmiError:
            raise  # the feed's own sentence: the connection is lost for good
        except Exception as error:
            self.binner.refuse(f"a message that cannot be taken: {type(error).__name__}: {error}")
            return True

    def read_waiting(self, within_ns: int) -> None:
        """Read what is waiting, for so long at most: a flood never empties."""
        until_ns = self.now_ns() + within_ns
        while self.receive(0.0) and self.now_ns() < until_ns:
            pass

    def _nothing_came(self) -> str:
        address = getattr(self.feed, "address", self.config.source.address)
        refused = self.refusals()
        why = f"; {'; '.join(refused)}" if refused else "; is the sender running?"
        return f"no data came from {address} within {self.wait_s:g} s (source.address, source.options.wait_s){why}"

    def refusals(self) -> list[str]:
        """Return what was refused, each reason in a sentence with its number, the most frequent first."""
        ordered = sorted(self.binner.refusals.values(), key=lambda entry: -entry[0])
        return [
            f"{count} message{'s were' if count > 1 else ' was'} refused: {reason}" for count, reason in ordered[:5]
        ]

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin as soon as it is complete, or when it has waited long enough."""
        binner, waited = self.binner, self.read_bin()
        now_ns = self.completed_ns = self.now_ns()
        if waited and binner.complete():
            self.expectation.arrived(now_ns)
        if binner.started and binner.age_ns(now_ns) > binner.max_backlog_ns:
            self.read_waiting(binner.bin_ns // READING_SHARE)
            binner.drop_backlog(now_ns)
        binner.close(into, now_ns)
        return True

    def read_bin(self) -> bool:
        """Read until the next bin is complete or has waited long enough; return whether it was waited for."""
        binner, waited = self.binner, False
        began_ns, refused = self.now_ns(), binner.totals["refused"]
        self._may_refuse = min(self._may_refuse + self._refused_limit, self._refused_most)
        while not binner.complete():
            if self.receive(0.0):
                if self._flooded(began_ns, refused):
                    break
                continue
            now_ns = self.now_ns()
            left_ns = binner.deadline_ns() - now_ns
            if left_ns <= 0:
                break
            waited = True
            if sleep_s := self.expectation.sleep_s(now_ns, min(left_ns * 1e-9, LONGEST_SLEEP_S)):
                self.receive(sleep_s)
        self._may_refuse -= binner.totals["refused"] - refused
        return waited

    def _flooded(self, began_ns: int, refused: int) -> bool:
        """Return whether more comes than can be read in time, so that the bin must do with what is here.

        When what comes is refused, the rest of the bin is slept: a loop that burns its processor on refusals is the
        first to lose it to somebody else.
        """
        binner, now_ns = self.binner, self.now_ns()
        if now_ns - began_ns < binner.bin_ns // READING_SHARE:
            return False
        left_ns = binner.deadline_ns() - now_ns
        if left_ns <= 0:
            return True
        if binner.totals["refused"] - refused < self._may_refuse:
            return False
        time.sleep(min(left_ns * 1e-9, LONGEST_SLEEP_S))
        return True

    def drain_events(self) -> list[dict[str, Any]]:
        """Return what happened since the last call."""
        binner = self.binner
        if binner.wait.too_short and not self._told_wait and binner.totals.get("stale_bins", 0) >= MANY_STALE:
            self._told_wait = True
            wanted_s, limit_s = binner.wait.wanted_ns * 1e-9, binner.wait.limit_ns * 1e-9
            setting = f": realtime.wait_limit_s = {1.2 * wanted_s:.2g} waits for them all"
            text = f"data take up to {wanted_s:.2g} s to come and bins wait for {limit_s:g} s, so that some have none"
            binner.tally.note("source-told", text=text + (setting if wanted_s <= LONGEST_WAIT_S else ""))
        return binner.drain_events()

    def health(self) -> dict[str, Any]:
        """Return everything counted since the start, and the clock fit."""
        binner, clock = self.binner, self.binner.clock
        return {
            **{name: int(count) for name, count in binner.totals.items()},
            "segment": clock.segment,
            "clock_skew_ppm": clock.skew * 1e6,
            "clock_uncertainty_s": clock.uncertainty_s(clock.newest_device_ns),
            "wait_s": binner.wait.wait_ns * 1e-9,
            "wait_wanted_s": binner.wait.wanted_ns * 1e-9,
            "delay_median_s": binner.delays.percentile_ns(0.5) * 1e-9,
            "delay_p99_s": binner.delays.percentile_ns(0.99) * 1e-9,
            "refusals": self.refusals(),
        }

    def close(self) -> None:
        """Let go of sockets."""
        self.feed.close()
