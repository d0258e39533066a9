"""Simulated subjects, units, networks, and stand-ins for acquisition systems."""
