"""Coupled Poisson generalised linear models."""
