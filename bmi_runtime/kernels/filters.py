"""The kernels of the online filters under one name, for scripts that drive them by hand."""

from bmi_runtime.kernels.decoding_filter import decode_gaussian, decode_poisson, workspace_shape
from bmi_runtime.kernels.encoding_filter import adapt_gaussian, adapt_poisson, adapt_poisson_own
from bmi_runtime.kernels.evidence import gaussian_evidence, poisson_evidence, poisson_evidence_own
from bmi_runtime.kernels.soundness import checksum, clean_counts, repair
from bmi_runtime.kernels.state_filter import place, predict_state, update_state

__all__ = [
    "adapt_gaussian",
    "adapt_poisson",
    "adapt_poisson_own",
    "checksum",
    "clean_counts",
    "decode_gaussian",
    "decode_poisson",
    "gaussian_evidence",
    "place",
    "poisson_evidence",
    "poisson_evidence_own",
    "predict_state",
    "repair",
    "update_state",
    "workspace_shape",
]
