"""The panels: one file each, one row each in `REGISTRY`."""
