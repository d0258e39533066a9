"""Facts that more than one package needs, each written once."""

DM_PER_M = 10.0
"""Inside the encoding model lengths are in dm and velocities in dm/s: speeds are of order one there."""

Z_95 = 1.959963984540054
"""95 % of a normal distribution lies within this many standard deviations of its mean."""

NARROWEST_BIN_S, WIDEST_BIN_S = 1e-4, 1.0
"""Widths of bins that anybody decodes or learns in."""

USUAL_BIN_S = {"poisson": 0.005, "gaussian": 0.05}
"""Width of a bin where ``session.bin_s`` does not give it, by ``session.likelihood``."""
