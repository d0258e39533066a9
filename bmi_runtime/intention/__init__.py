"""What the subject is taken to want: the training signal of the adaptive filter."""
