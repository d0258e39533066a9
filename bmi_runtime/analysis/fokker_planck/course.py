"""The figures of the course by name: one table, and the nearest name for an error message."""

import difflib
import math

from bmi_runtime.analysis.fokker_planck import figures, figures_blow_up, figures_coupled, figures_related
from bmi_runtime.analysis.fokker_planck.initial import Gaussian
from bmi_runtime.analysis.fokker_planck.model import Model

COURSE = {
    "bifurcation": lambda: figures.bifurcation(Model()),
    "blow-up": figures.blow_ups,
    "decay": figures.decay,
    "spontaneous": figures.spontaneous,
    "learning": figures.learned,
    "elapsed": figures.time_elapsed,
    "particles": lambda: figures.particle_run(Model(b=0.8), Gaussian(0, 0.25), 3.0),
    "inhibitory": lambda: figures.particle_run(Model(b=-4.0), Gaussian(1.0, 0.1), 3.0),
    "polarisation": figures_related.polarised,
    "hopf": figures_related.oscillating,
    "avalanche": figures_blow_up.avalanches,
    "calm": figures_blow_up.calm,
    "coupled": figures_coupled.error_against_cpu,
}


def nearest_kind(name: str) -> str:
    """Return the kind of figure whose name is nearest to `name`, for an error message."""
    close = difflib.get_close_matches(name, [*COURSE, "run"], 1, cutoff=-math.inf if not name else 0.0)
    return close[0]
