"""The figures of the captions, redrawn from our own closed-loop simulations: what to run, what to say under each."""

import pathlib

from bmi_runtime.calibration import after_adaptation, experiments, plots
from bmi_runtime.calibration.decoding_figure import decoding_figure
from bmi_runtime.calibration.experiments import Advance, Effort
from bmi_runtime.calibration.flowchart import flowchart

NUMBERS = (2, 3, 4, 5, 6, 7, 8, 9)
SCHEDULE = 0  # our own figure: the best schedule against fixed rates
STEPS = {SCHEDULE: 11, 2: 1, 3: 10, 4: 3, 5: 10, 6: 10, 7: 3, 8: 70, 9: 95}
"""How often each figure reports progress (8 and 9: at most)."""
GAUSSIAN_STOPS = (5e-5, 5e-3, 5e-1)  # rates whose adaptation is drawn
POISSON_STOPS = (1e-7, 1e-5, 1e-3)  # likewise
COMMON = (
    "Our protocol, not the paper's numbers: closed loop, eight targets at 10 cm, 2 s out and back, the subject a "
    "critically damped optimal controller (6 rad/s) of the decoded cursor, decoder and adaptive filter those of a live "
    "session, true weights constant, velocity in dm/s. "
)
FEATURES = "40 channels in 50 ms bins, noise variance 1, baseline U(-2, 2), depth U(0.5, 1.5). "
SPIKES = (
    "32 units in 5 ms bins of at most one spike: 10 Hz with depth 0.6 and 5 Hz with depth 1.0, 16 directions each. "
)
COMPUTED = (
    "Computed before the session, for a task done perfectly: averaged closed form (lines) and exact recursion "
    "(dashed); the closed loop's noisy cursor makes intentions richer, so its true error of the gains is lower at "
    "small rates. Convergence: mean error down to 5 %, from the steady covariance. "
)


def draw(number: int, folder: pathlib.Path, effort: Effort, advance: Advance) -> list[pathlib.Path]:
    """Simulate, draw and tabulate one figure; return the files written (PNG, SVG, CSV).

    Parameters
    ----------
    number : int
        2 to 9, or SCHEDULE.
    folder : path
        Made if missing.
    effort : Effort
    advance : callable
        Takes a few words after each of the ``STEPS[number]`` steps.
    """
    figure, tables = _MAKERS[number](number, effort, advance)
    stem = "calibration_schedule" if number == SCHEDULE else f"fig{number}"
    files = plots.save(figure, folder, stem)
    return [*files, *(plots.save_table(folder / f"{stem}{name}.csv", t.rows, digits=6) for name, t in tables.items())]


def _realisations(effort: Effort) -> str:
    return f"{effort.realisations} realisations."


def _flow(number, effort, advance):
    advance("flow chart")
    note = "The steps of `bmi calibrate`; the formulas are derived in docs/calibration.md, not quoted."
    return flowchart(note), {}


def _tradeoff(number, effort, advance):
    order = "periodic" if number == 3 else "random"
    table = experiments.tradeoff("gaussian", order, effort, advance)
    noise = experiments.noise_variance(effort, advance, order)
    targets = "Targets in turn. " if number == 3 else "Targets drawn uniformly. "
    note = COMMON + targets + FEATURES + COMPUTED + "B: the filter runs on its own estimate. " + _realisations(effort)
    return plots.tradeoff_figure(number, table, noise, note), {"a": table, "b": noise}


def _spikes(number, effort, advance):
    tables = {order: experiments.tradeoff("poisson", order, effort, advance) for order in ("periodic", "random")}
    note = (
        COMMON
        + SPIKES
        + COMPUTED
        + "Bernoulli-corrected; axes along and across each unit's tuning. "
        + _realisations(effort)
    )
    return plots.spikes_figure(number, tables, note), {"a": tables["periodic"], "b": tables["random"]}


def _profiles(number, effort, advance):
    gaussian = number == 4
    rates = GAUSSIAN_STOPS if gaussian else POISSON_STOPS
    table = experiments.profiles("gaussian" if gaussian else "poisson", rates, effort, advance)
    note = (
        COMMON
        + (FEATURES if gaussian else SPIKES)
        + "Targets in turn. Start: baselines off by ln 2, gains a quarter of the truth, "
        "steady covariance. Share inside: all weights of all units at steady state. " + _realisations(effort)
    )
    return plots.profiles_figure(number, table, "s" if gaussian else "r", note), {"": table}


def _decoding(number, effort, advance):
    gaussian = number == 8
    table = after_adaptation.decoding("gaussian" if gaussian else "poisson", effort, advance)
    examined = None if gaussian else after_adaptation.fewer_units(effort, advance)
    note = (
        COMMON
        + (FEATURES if gaussian else SPIKES)
        + "Start: half the gains of other units, shuffled; steady covariance of each rate. The frames are the whole "
        "workspace, at whose edge the cursor stops (a dot: it never left). "
        "Error: root mean square distance over two periods from a cursor that obeys perfectly (grey). Computed: "
        "weights drawn from the averaged closed form, then the same test. "
        f"{max(2, effort.realisations // 2)} realisations."
    )
    figure = decoding_figure(number, table, examined, "s" if gaussian else "r", note)
    return figure, {"": table} | ({} if examined is None else {"_units": examined})


def _schedule(number, effort, advance):
    table = experiments.schedule(effort, advance)
    note = (
        "One channel (noise variance 1) on eight targets in turn, 50 ms bins, velocity in dm/s, weights off by a "
        "standard deviation of 1 at the start. Convergence: slowest mode's mean error down to 5 %; fixed rates start "
        "from their steady covariance. "
        f"Lines: averaged model. Squares: online schedule with floor 5e-6 on the live filter, open loop, "
        f"{40 * max(4, effort.realisations)} channels."
    )
    return plots.schedule_figure(table, note), {"": table}


_MAKERS = {
    SCHEDULE: _schedule,
    2: _flow,
    3: _tradeoff,
    4: _profiles,
    5: _tradeoff,
    6: _spikes,
    7: _profiles,
    8: _decoding,
    9: _decoding,
}
