"""The `pumice` command. One file per command; errors are one line and a hint, exit code 2 for the user's, 1 for ours."""

from pumice.runtime.cli.app import entry, main

__all__ = ["entry", "main"]
