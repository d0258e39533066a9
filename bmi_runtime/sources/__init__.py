"""One file per way that spikes come in."""
