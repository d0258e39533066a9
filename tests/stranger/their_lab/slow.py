"""A module that takes a second and a half to import, as one that brings a large library with it."""

import time

from their_lab.decoders import PopulationVector

time.sleep(1.5)


class Slow(PopulationVector):
    """The decoder of the how-to, late."""
