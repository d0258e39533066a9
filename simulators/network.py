"""A network of spiking leaky integrate-and-fire neurons, stepped in bins: to test the rate theory, and as a source of
spikes.
"""

import numpy as np
from scipy import sparse

from bmi_runtime.analysis.networks.network import checked_weights
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.errors import BadInput
from bmi_runtime.kernels import networks as kernels

_NOISE_VALUES = 1 << 17  # noise is drawn for as many steps at a time as fit: half a megabyte


class SpikingNetwork:
    """Leaky integrate-and-fire neurons, current-based synapses, delays; deterministic given its generator.

    Between spikes each neuron follows ``tau v' = -(v - E) + sqrt(sigma^2 tau) xi(t)`` exactly (an Ornstein-Uhlenbeck
    step). A spike of neuron j moves neuron i, after the delay, by ``W_ij / tau``: so that at a rate r it adds ``W_ij
    r`` to the mean input, as in the rate theory. With ``synapse_ms > 0`` the same total arrives as an exponentially
    decaying current.

    Parameters
    ----------
    weights : (n, n) ndarray or sparse matrix
        W in mV per Hz, row = target.
    external_mv : float or (n,) ndarray
        Mean input E_0 without the network (leak included).
    neuron : LIFNeuron
        The neurons.
    rng : numpy.random.Generator
        Draws the first voltages and the noise.
    dt_s : float
        Time step.
    delay_s : float or sparse matrix shaped like `weights`
        One delay, or one per connection; rounded to steps, at least one.
    synapse_ms : float
        Decay time of the synaptic current; 0 (default) makes every spike a jump of voltage.
    crossing : {'bridge', 'grid'}
        Whether crossings between the ends of a step count (accurate to first order in dt), or only voltages on the
        grid (as most simulators do; rates are then low by an error of order sqrt(dt) when there is noise).
    noise : bool
        False leaves the white noise out.

    Raises
    ------
    BadInput
        When the weights are not square and finite, or a time is not positive.
    """

    def __init__(
        self,
        weights,
        external_mv,
        neuron: LIFNeuron,
        rng: np.random.Generator,
        dt_s: float = 1e-4,
        delay_s=1.5e-3,
        synapse_ms: float = 0.0,
        crossing: str = "bridge",
        noise: bool = True,
    ):
        if not (np.isfinite(dt_s) and 0 < dt_s <= neuron.tau_ms / 2e3):
            raise BadInput(f"dt_s is {dt_s}: the step must be positive and at most half of tau_ms ({neuron.tau_ms:g})")
        if crossing not in ("bridge", "grid"):
            raise BadInput(f"there is no crossing '{crossing}'; choose bridge or grid")
        if not (np.isfinite(synapse_ms) and synapse_ms >= 0):
            raise BadInput(f"synapse_ms is {synapse_ms}: give 0 or a positive time")
        matrix = checked_weights(weights)
        self.size = matrix.shape[0]
        self.neuron, self.dt_s, self.rng = neuron, float(dt_s), rng
        self.external_mv = self._inputs(external_mv, "external_mv")
        self._bridge, self._noisy = crossing == "bridge" and noise, noise
        self._connect(matrix, delay_s)
        self._constants, self._hold_steps = self._propagators(synapse_ms)
        self._key = int(rng.integers(1 << 62))
        low, high = neuron.v_reset_mv, neuron.v_threshold_mv
        self.voltage_mv = low + (high - low) * rng.random(self.size)
        self.current_mv = np.zeros(self.size)
        self._held = np.zeros(self.size, dtype=np.int32)
        self._spiked = np.zeros(self.size, dtype=np.int32)
        self._noise = np.zeros((1, self.size), dtype=np.float32)
        self.steps = 0
        self._slot = 0

    @property
    def time_s(self) -> float:
        """The time simulated so far."""
        return self.steps * self.dt_s

    def step(self, bin_s: float, input_mv=None) -> np.ndarray:
        """Advance by one bin and return the spike counts (n,).

        Parameters
        ----------
        bin_s : float
            Length of the bin, a multiple of `dt_s`.
        input_mv : float or (n,) ndarray, optional
            Input added to E_0 during this bin (stimulation, or tuning to a subject's intention).
        """
        counts = np.zeros(self.size, dtype=np.int64)
        drive = self.external_mv if input_mv is None else self.external_mv + self._inputs(input_mv, "input_mv")
        left = self.steps_in(bin_s)
        block = max(1, _NOISE_VALUES // self.size)
        while left:
            steps = min(block, left)
            if self._noisy:
                self._noise = self.rng.standard_normal((steps, self.size), dtype=np.float32)
            state = self.voltage_mv, self.current_mv, self._held, self._pending, drive, self._noise
            self._slot = self._run(
                self._bridge, steps, self._slot, *state, self._constants, self._hold_steps, self._spiked, self._key,
                self.steps, *self._outgoing, counts,
            )  # fmt: skip
            self.steps += steps
            left -= steps
        return counts

    def run(self, duration_s: float, bin_s: float, input_mv=None) -> np.ndarray:
        """Return the spike counts (bins, n) of as many whole bins as `duration_s` holds."""
        self.steps_in(bin_s)  # refused here, before it is divided by
        if not np.isfinite(duration_s):
            raise BadInput(f"duration_s is {duration_s:g}: give a finite number of seconds")
        bins = round(duration_s / bin_s)
        if bins < 1:
            raise BadInput(f"duration_s ({duration_s:g}) is shorter than one bin ({bin_s:g} s)")
        return np.stack([self.step(bin_s, input_mv) for _ in range(bins)])

    def spikes(self, duration_s: float, input_mv=None) -> tuple[np.ndarray, np.ndarray]:
        """Advance and return every spike: times (s, at the end of the step) and neurons."""
        drive = self.external_mv if input_mv is None else self.external_mv + self._inputs(input_mv, "input_mv")
        times, neurons = [], []
        for number, spiked in self._steps(self.steps_in(duration_s), drive):
            if spiked.size:
                times.append(np.full(spiked.size, number * self.dt_s))
                neurons.append(spiked.copy())
        empty = np.zeros(0)
        return np.concatenate([empty, *times]), np.concatenate([empty.astype(np.int32), *neurons])

    def trace(self, duration_s: float, neurons: int = 1) -> np.ndarray:
        """Advance and return the voltage (steps, neurons) in mV of the first neurons after each step."""
        steps = self.steps_in(duration_s)
        return np.array([self.voltage_mv[:neurons].copy() for _ in self._steps(steps, self.external_mv)])

    def steps_in(self, duration_s: float) -> int:
        """Return the number of steps in `duration_s`, or raise BadInput when it is not a whole number."""
        steps = round(duration_s / self.dt_s) if np.isfinite(duration_s) else 0
        if steps < 1 or abs(steps * self.dt_s - duration_s) > 1e-6 * self.dt_s + 1e-9 * duration_s:
            raise BadInput(f"{duration_s:g} s is not a whole number of time steps of {self.dt_s:g} s")
        return steps

    def _steps(self, steps: int, drive: np.ndarray):
        """Advance `steps` times; yields (number of the step, neurons that spiked) after each."""
        block = max(1, _NOISE_VALUES // self.size)
        arguments = self._constants, self._hold_steps, self._spiked
        for k in range(steps):
            if self._noisy and k % block == 0:
                self._noise = self.rng.standard_normal((min(block, steps - k), self.size), dtype=np.float32)
            state = self.voltage_mv, self.current_mv, self._held, self._pending[self._slot], drive
            noise = self._noise[k % block if self._noisy else 0]
            if self._bridge:
                count = kernels.advance_bridge(*state, noise, *arguments, self._key, self.steps)
            else:
                count = kernels.advance_grid(*state, noise, *arguments)
            if count:
                self._deliver(self._spiked, count, *self._outgoing, self._pending, self._slot)
            self.steps += 1
            self._slot = (self._slot + 1) % self._pending.shape[0]
            yield self.steps, self._spiked[:count]

    def _connect(self, matrix, delay_s) -> None:
        """Store the connections by source, in the simplest of the two forms that holds them."""
        by_source = sparse.csr_array(matrix.T) if not sparse.issparse(matrix) else matrix.T.tocsr()
        by_source.eliminate_zeros()
        by_source.sort_indices()
        starts, targets = by_source.indptr.astype(np.int64), by_source.indices.astype(np.int32)
        jumps = by_source.data / (self.neuron.tau_ms / 1e3)
        per_connection = sparse.issparse(delay_s) or np.ndim(delay_s) > 0
        delays = self._delays_of(by_source, delay_s) if per_connection else self._delay_steps(np.array([delay_s]))
        slots = int(delays.max(initial=1)) + 1
        self._pending = np.zeros((slots, self.size))
        first = jumps[np.minimum(starts[:-1], max(jumps.size - 1, 0))] if jumps.size else np.zeros(self.size)
        alike = not per_connection and np.array_equal(jumps, np.repeat(first, np.diff(starts)))
        if alike:
            self._deliver, self._run = kernels.deliver_alike, kernels.run_alike
            self._outgoing = (starts, targets, first, int(delays[0]))
        else:
            self._deliver, self._run = kernels.deliver, kernels.run_each
            self._outgoing = (
                starts,
                targets,
                jumps,
                np.ascontiguousarray(np.broadcast_to(delays, jumps.shape), np.int32),
            )

    def _delays_of(self, by_source, delay_s) -> np.ndarray:
        if delay_s.shape != (self.size, self.size):
            raise BadInput(f"delay_s has shape {delay_s.shape}; give one delay, or one per connection like the weights")
        dense = delay_s.toarray() if sparse.issparse(delay_s) else np.asarray(delay_s, dtype=float)
        sources = np.repeat(np.arange(self.size), np.diff(by_source.indptr))
        return self._delay_steps(dense[by_source.indices, sources])

    def _delay_steps(self, delay_s: np.ndarray) -> np.ndarray:
        if not (np.isfinite(delay_s).all() and (delay_s >= 0).all()):
            raise BadInput("delay_s holds a delay that is negative or not finite")
        return np.maximum(np.rint(delay_s / self.dt_s).astype(np.int32), 1)

    def _inputs(self, values, name: str) -> np.ndarray:
        array = np.asarray(values, dtype=float)
        if array.shape not in ((), (1,), (self.size,)) or not np.isfinite(array).all():
            raise BadInput(f"{name} must be one finite number or one per neuron ({self.size}), not shape {array.shape}")
        return np.ascontiguousarray(np.broadcast_to(array, (self.size,)))

    def _propagators(self, synapse_ms: float) -> tuple[np.ndarray, int]:
        """Return the constants of the kernels (exact propagators of one step) and the refractory steps."""
        tau, dt, sigma = self.neuron.tau_ms / 1e3, self.dt_s, self.neuron.sigma_mv if self._noisy else 0.0
        hold = self.neuron.refractory_ms / 1e3 / dt
        if self._bridge:  # the spike stands at mid-step: `left` of the step of release is still to run
            hold_steps = int(np.floor(hold + 0.5 + 1e-9))
            left = (hold_steps + 1 - (hold + 0.5)) * dt
        else:
            hold_steps, left = round(hold), dt
        current = (1.0, 0.0, 0.0)
        if synapse_ms > 0:
            syn = synapse_ms / 1e3
            apart = (
                syn / (tau - syn) * (np.exp(-dt / tau) - np.exp(-dt / syn))
                if syn != tau
                else dt / tau * np.exp(-dt / tau)
            )
            current = (np.exp(-dt / syn), apart, tau / syn)
        decay, late = np.exp(-dt / tau), np.exp(-left / tau)
        sds = [sigma * np.sqrt((1 - x * x) / 2) for x in (decay, late)]
        voltages = (self.neuron.v_threshold_mv, self.neuron.v_reset_mv)
        return np.array([decay, sds[0], *voltages, *current, late, sds[1]]), hold_steps
