"""The first start on a machine: kernels are compiled in two processes at once, and the operator is told why.

Later starts load the machine code from the cache (`kernels.jit.cache_root`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from bmi_runtime import config as configuration
from bmi_runtime.config import Config
from bmi_runtime.encoding.model import EncodingModel
from bmi_runtime.kernels import jit
from bmi_runtime.session.core import Session, warm_up


def precompile(config: Config, say: Callable[[str], None]) -> None:
    """Load every kernel that a session needs, or compile it."""
    helper = None
    if not jit.writable(folder := jit.cache_folder(jit.FOLDER / "monitoring.py")):
        say(f"compiling the kernels, as at every start: what was compiled cannot be kept in {jit.cache_root()}")
    elif not any(folder.iterdir()):
        say("compiling the kernels: only the first start on this machine takes this half minute")
        command = [sys.executable, "-P", "-m", "bmi_runtime.session.compile_cache", config.model_dump_json()]
        helper = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        warm_up(config)
    finally:
        if helper:
            helper.terminate()  # whatever it had left to do, this process has done by now
            helper.wait()


def compile_monitor(config: Config) -> None:
    """Compile what watches over the adapter: almost half of all the work, needed last."""
    start = np.ones(config.session.units)
    model = EncodingModel.untrained(start, config.session.likelihood, config.bin_s, 0.1)
    session = Session(config, model)
    session.adaptation.update(np.zeros(model.n_units), start, 0)


if __name__ == "__main__":
    sent = json.loads(sys.argv[1])
    sent["decoder"]["frozen_model"] = ""
    compile_monitor(configuration.from_dict(sent))
