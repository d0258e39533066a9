"""Coupled Poisson generalised linear models of a whole array."""

from bmi_runtime.analysis.glm.bases import parse_basis
from bmi_runtime.analysis.glm.events import Events, from_counts
from bmi_runtime.analysis.glm.model import PoissonGLM

__all__ = ["Events", "PoissonGLM", "from_counts", "parse_basis"]
