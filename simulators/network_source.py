"""A network of spiking neurons as a source of bins, driven by what the subject intends."""

from typing import Any

import numpy as np

from bmi_runtime.analysis.networks.graphs import erdos_renyi
from bmi_runtime.analysis.networks.neuron import LIFNeuron
from bmi_runtime.config import Config
from bmi_runtime.constants import DM_PER_M
from bmi_runtime.errors import BadInput
from bmi_runtime.messages import Bin
from simulators.network import SpikingNetwork
from simulators.subject import Subject

OPTIONS = {  # source.options, with their defaults
    "neurons": 400,  # in the network; the first session.units of them are recorded
    "probability": 0.1,  # of a connection
    "strength_mv_s": 0.02,  # of each excitatory connection, mV per Hz; the inhibitory ones balance them
    "inhibitory_fraction": 0.2,
    "drive_mv": -54.0,  # mean input without movement
    "drive_sd_mv": 1.0,  # spread of it between neurons
    "gain_mv": 2.5,  # change of input per dm/s along a neuron's preferred direction
}
NEURON = LIFNeuron(tau_ms=20.0, e_l_mv=-60.0, v_threshold_mv=-45.0, v_reset_mv=-60.0, refractory_ms=2.0, sigma_mv=5.0)


class NetworkSource:
    """Integrate-and-fire neurons with random connections, tuned through their input current.

    Parameters
    ----------
    config : Config
        ``source.options`` may set any of `OPTIONS`.

    Raises
    ------
    BadInput
        For an unknown option, a likelihood that is not Poisson, or fewer neurons than units.
    """

    paced = True

    def __init__(self, config: Config):
        unknown = set(config.source.options) - set(OPTIONS)
        if unknown:
            raise BadInput(f"source.options has no '{unknown.pop()}'; choose from {', '.join(OPTIONS)}")
        options = OPTIONS | config.source.options
        units, neurons = config.session.units, int(options["neurons"])
        if config.continuous or neurons < units:
            raise BadInput("the network source gives spike counts of at most source.options.neurons units")
        if config.space.n_axes != 2:
            raise BadInput(
                f"the network source drives its neurons by two axes, here are {config.space.n_axes} (state.axes)"
            )
        seeds = np.random.SeedSequence([config.session.seed, 2]).spawn(3)
        subject_rng, build, run = (np.random.default_rng(seed) for seed in seeds)
        self.config, self.bin_s, self.bins, self.units = config, config.bin_s, 0, units
        self.subject = Subject(config.subject, config.bin_s, subject_rng)
        graph = erdos_renyi(neurons, float(options["probability"]), build).astype(float)
        inhibitory = np.arange(neurons) >= neurons * (1.0 - float(options["inhibitory_fraction"]))
        balance = (1.0 - float(options["inhibitory_fraction"])) / max(float(options["inhibitory_fraction"]), 1e-9)
        weights = graph * float(options["strength_mv_s"]) * np.where(inhibitory, -balance, 1.0)
        drive = float(options["drive_mv"]) + float(options["drive_sd_mv"]) * build.standard_normal(neurons)
        direction = build.uniform(0.0, 2.0 * np.pi, neurons)
        self._gain = float(options["gain_mv"]) * np.stack([np.cos(direction), np.sin(direction)])
        # one pulse: the current that carries a neuron at rest from reset to threshold within one bin
        rise = 1.0 - np.exp(-1000.0 * self.bin_s / NEURON.tau_ms)
        self._pulse_mv = (NEURON.v_threshold_mv - NEURON.v_reset_mv) / rise
        self.network = SpikingNetwork(weights, drive, NEURON, run)
        self._kick_mv = np.zeros(neurons)
        self._weights = weights

    def open(self) -> None:
        """Let the network settle for half a second."""
        for _ in range(round(0.5 / self.bin_s)):
            self.network.step(self.bin_s)

    def next_bin(self, into: Bin, cursor, target) -> bool:
        """Fill the next bin from the network, driven by what the subject intends."""
        vx, vy = self.subject.intend(cursor, target)
        drive = DM_PER_M * vx * self._gain[0] + DM_PER_M * vy * self._gain[1]
        counts = self.network.step(self.bin_s, drive + self._kick_mv)[: self.units]
        self._kick_mv[:] = 0.0
        into.fields.counts[:] = np.minimum(counts, 65535)
        into.fields.bin_index[0] = self.bins
        self.bins += 1
        into.fields.device_time_s[0] = self.bins * self.bin_s
        return True

    def stimulate(self, event: dict[str, Any]) -> None:
        """Inject current into the event's stimulated units in the next bin, about one spike a pulse; it spreads."""
        self._kick_mv[event["stimulate"]] += event["pulses"] * self._pulse_mv

    def connections(self) -> np.ndarray:
        """Return the true weights (targets, sources) of all neurons, mV per Hz; the recorded units come first."""
        return self._weights

    def drain_events(self) -> list[dict[str, Any]]:
        """Return no events."""
        return []

    def close(self) -> None:
        """Do nothing."""
