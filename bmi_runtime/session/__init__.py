"""The pipeline: one pure step, and the shell that feeds it."""
