"""Decoders: from spike counts to an estimate of the brain state. One file each."""
