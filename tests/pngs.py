"""Looking into PNG files."""

from __future__ import annotations

import struct


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)
