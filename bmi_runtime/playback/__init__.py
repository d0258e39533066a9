"""A recording played back as a live session would be seen: position, index, what-if, and the process that serves it."""
