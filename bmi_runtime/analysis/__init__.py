"""Offline analysis on the numba core of the online filters."""
