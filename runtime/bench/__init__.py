"""`pumice bench`: executors side by side in one run, what their speed grows with, and the machine's limits."""
