"""Rehearsal: a world fitted to a pilot (its units and its subject), and sessions simulated in it."""
