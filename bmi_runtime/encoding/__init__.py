"""Encoding models and the adaptive filters that learn them."""
