"""Rate networks: f-I curves, random graphs, fixed points."""
