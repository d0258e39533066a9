"""The bmi command: one thin file per subcommand."""
