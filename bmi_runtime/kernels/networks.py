"""Stepping a network of leaky integrate-and-fire neurons: exact between spikes, connections in rows of targets per
source.
"""

import math

import numpy as np

from bmi_runtime.kernels.jit import kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


@kernel
def uniform_at(key, step, neuron):
    """Return a uniform number in [0, 1) that depends on nothing but (key, step, neuron) (splitmix64; Steele et al.
    2014).
    """
    z = np.uint64(key) + _GOLDEN * np.uint64(step * np.int64(1 << 24) + neuron + 1)
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _normal_at(key, step, neuron):
    """Return a standard normal number that depends on nothing but (key, step, neuron), by Box & Muller's
    transform.
    """
    first = 1.0 - uniform_at(key, step, neuron + (1 << 22))
    second = uniform_at(key, step, neuron + (1 << 23))
    return math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)


@kernel
def advance_grid(voltage, current, held, arrivals, drive, noise, constants, hold_steps, spiked):
    """Advance every neuron by one time step; a spike is a voltage at or above threshold at the end of the step.

    Parameters
    ----------
    voltage, current : (n,) float64
        Membrane voltage (mV) and synaptic current (mV); both updated.
    held : (n,) int32
        Steps left in the refractory time; updated.
    arrivals : (n,) float64
        Synaptic jumps (mV) that arrive at the end of this step; cleared.
    drive : (n,) float64
        Mean input E (mV).
    noise : (n,) float32
        Standard normal numbers (unused when the noise constant is 0).
    constants : (9,) float64
        decay, noise sd, threshold, reset, current decay, current-to-voltage factor, arrival-to-current factor (0:
        arrivals move the voltage itself), decay and noise sd of the part of a step after the refractory time.
    hold_steps : int
        Refractory time in steps.
    spiked : (n,) int32
        The neurons that spiked, written from the front.

    Returns
    -------
    int
        How many spiked.
    """
    decay, sd, threshold, reset = constants[0], constants[1], constants[2], constants[3]
    current_decay, current_gain, arrival_gain = constants[4], constants[5], constants[6]
    if arrival_gain > 0.0:
        for i in range(voltage.size):
            moved = drive[i] + (voltage[i] - drive[i]) * decay + current_gain * current[i]
            voltage[i] = reset if held[i] > 0 else moved
            current[i] = current_decay * current[i] + arrival_gain * arrivals[i]
            arrivals[i] = 0.0
    else:
        for i in range(voltage.size):
            moved = drive[i] + (voltage[i] - drive[i]) * decay + arrivals[i]
            voltage[i] = reset if held[i] > 0 else moved
            arrivals[i] = 0.0
    if sd > 0.0:
        for i in range(voltage.size):
            voltage[i] += 0.0 if held[i] > 0 else sd * noise[i]
    for i in range(voltage.size):
        held[i] -= 1 if held[i] > 0 else 0
    count = 0
    for i in range(voltage.size):
        if voltage[i] >= threshold:
            voltage[i] = reset
            held[i] = hold_steps
            spiked[count] = i
            count += 1
    return count


@kernel
def advance_bridge(voltage, current, held, arrivals, drive, noise, constants, hold_steps, spiked, key, step):
    """Advance as :func:`advance_grid`, and count crossings between the ends of the step too.

    Given both ends below threshold, a Brownian bridge has crossed with probability ``exp(-2 (V - v0) (V - v1) / (D
    dt))``, ``D = sigma^2 / tau`` (Giraudo & Sacerdote 1999), which removes the ``sqrt(dt)`` error of a grid. A
    spike is put at mid-step and the refractory time ends in mid-step accordingly, with the rest of that step run
    from the reset. `held` counts steps as in the other; ``constants[7:9]`` belong to the rest of the step.
    """
    decay, sd, threshold, reset = constants[0], constants[1], constants[2], constants[3]
    current_decay, current_gain, arrival_gain = constants[4], constants[5], constants[6]
    late_decay, late_sd = constants[7], constants[8]
    count = 0
    for i in range(voltage.size):
        arrived = arrivals[i]
        arrivals[i] = 0.0
        synaptic = current[i]
        if arrival_gain > 0.0:
            current[i] = current_decay * synaptic + arrival_gain * arrived
            arrived = 0.0
        if held[i] > 0:
            held[i] -= 1
            if held[i] > 0:
                continue
            voltage[i] = drive[i] + (reset - drive[i]) * late_decay + late_sd * noise[i]
            continue
        before = voltage[i]
        after = drive[i] + (before - drive[i]) * decay + current_gain * synaptic + sd * noise[i]
        crossed = after >= threshold
        if not crossed:
            apart = 2.0 * (threshold - before) * (threshold - after)
            if apart < 40.0 * sd * sd:
                crossed = uniform_at(key, step, i) < math.exp(-apart / (sd * sd))
        after += arrived
        if crossed or after >= threshold:
            after = reset
            held[i] = hold_steps
            if hold_steps == 0:  # this step's number has just been used, and is large because it crossed
                fresh = _normal_at(key, step, i)
                after = drive[i] + (reset - drive[i]) * late_decay + late_sd * fresh
            spiked[count] = i
            count += 1
        voltage[i] = after
    return count


@kernel
def deliver(spiked, count, starts, targets, jumps, delays, pending, slot):
    """Add the jumps (mV) of the first `count` neurons of `spiked` to the slots of `pending` in which they arrive.

    ``targets[starts[j]:starts[j + 1]]`` are the targets of neuron j, `jumps` and `delays` (steps, at least 1) theirs;
    `pending` is (slots, n), a ring whose present slot is `slot`.
    """
    slots = pending.shape[0]
    for s in range(count):
        j = spiked[s]
        for k in range(starts[j], starts[j + 1]):
            place = slot + delays[k]
            if place >= slots:
                place -= slots
            pending[place, targets[k]] += jumps[k]


@kernel
def deliver_alike(spiked, count, starts, targets, jump_of, delay, pending, slot):
    """Deliver as :func:`deliver` when all connections out of neuron j share the jump ``jump_of[j]`` and all delays
    are `delay`.
    """
    place = (slot + delay) % pending.shape[0]
    for s in range(count):
        j = spiked[s]
        jump = jump_of[j]
        for k in range(starts[j], starts[j + 1]):
            pending[place, targets[k]] += jump


@kernel
def run_alike(
    bridge, steps, slot, voltage, current, held, pending, drive, noise, constants, hold_steps, spiked, key, first_step,
    starts, targets, jump_of, delay, counts,
):  # fmt: skip
    """Take `steps` steps (rows of `noise`, or its only row) with :func:`deliver_alike`; adds to `counts`, returns the
    slot.
    """
    for k in range(steps):
        normals = noise[k if noise.shape[0] > 1 else 0]
        arrivals = pending[slot]
        if bridge:
            count = advance_bridge(
                voltage, current, held, arrivals, drive, normals, constants, hold_steps, spiked, key, first_step + k
            )
        else:
            count = advance_grid(voltage, current, held, arrivals, drive, normals, constants, hold_steps, spiked)
        deliver_alike(spiked, count, starts, targets, jump_of, delay, pending, slot)
        for s in range(count):
            counts[spiked[s]] += 1
        slot = slot + 1 if slot + 1 < pending.shape[0] else 0
    return slot


@kernel
def run_each(
    bridge, steps, slot, voltage, current, held, pending, drive, noise, constants, hold_steps, spiked, key, first_step,
    starts, targets, jumps, delays, counts,
):  # fmt: skip
    """Take steps as :func:`run_alike`, with :func:`deliver`."""
    for k in range(steps):
        normals = noise[k if noise.shape[0] > 1 else 0]
        arrivals = pending[slot]
        if bridge:
            count = advance_bridge(
                voltage, current, held, arrivals, drive, normals, constants, hold_steps, spiked, key, first_step + k
            )
        else:
            count = advance_grid(voltage, current, held, arrivals, drive, normals, constants, hold_steps, spiked)
        deliver(spiked, count, starts, targets, jumps, delays, pending, slot)
        for s in range(count):
            counts[spiked[s]] += 1
        slot = slot + 1 if slot + 1 < pending.shape[0] else 0
    return slot
