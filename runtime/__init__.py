"""Running a compiled program: backends, counts, energy, validation against the float model, the command line."""
