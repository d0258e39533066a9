"""Tasks: targets, cursor, trial states, assist. One file each."""
