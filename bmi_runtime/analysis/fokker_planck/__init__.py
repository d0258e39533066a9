"""Populations of neurons as densities: the NNLIF family."""
