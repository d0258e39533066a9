"""Causal effects between neurons: perturb, compare, and know what the comparison estimates."""
