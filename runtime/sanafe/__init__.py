"""Mapped programs as architecture and network of SANA-FE, an independent simulator. Writes its files; never imports it."""
