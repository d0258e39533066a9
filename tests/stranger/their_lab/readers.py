"""Files of their own suffix: counts and velocity as text."""

import numpy as np


def read(path):
    table = np.loadtxt(path)
    return {"counts": table[:, :-2], "velocity": table[:, -2:], "bin_s": 0.02}
