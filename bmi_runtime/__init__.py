"""A real-time closed-loop brain-machine-interface runtime: calibrated adaptation, replay to the bit."""

__version__ = "0.1.0"
