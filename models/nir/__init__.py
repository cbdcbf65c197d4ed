"""Models as NIR graphs in the Pumice dialect, and back: one module per family, and the pieces that they share."""
