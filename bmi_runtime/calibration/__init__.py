"""Learning rate to steady-state error and convergence time, and back."""
