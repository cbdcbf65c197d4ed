"""Small random turns, zooms and shifts of training images and event frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def augment(images: Tensor, angle: float, zoom: float, shift: float) -> Tensor:
    """Images `[B, C, H, W]`, each turned by up to `angle` degrees, scaled by up to the fraction `zoom` per axis and moved by
    up to `shift` pixels, by torch's global random numbers; outside is 0. All frames of an event stream `[B, T, C, H, W]`
    move alike, and take the nearest pixel, so that events stay whole."""
    frames = images.flatten(1, -3)
    batch, _, height, width = frames.shape
    turn, zoom_x, zoom_y, move_x, move_y = (torch.rand(5, batch) * 2 - 1).unbind()
    turn = turn * math.radians(angle)
    zoom_x, zoom_y = 1 + zoom_x * zoom, 1 + zoom_y * zoom
    row_x = torch.stack([zoom_x * turn.cos(), -zoom_x * turn.sin(), move_x * shift * 2 / width], 1)
    row_y = torch.stack([zoom_y * turn.sin(), zoom_y * turn.cos(), move_y * shift * 2 / height], 1)
    grid = nn.functional.affine_grid(torch.stack([row_x, row_y], 1), list(frames.shape), align_corners=False)
    mode = "bilinear" if images.ndim == 4 else "nearest"
    return nn.functional.grid_sample(frames, grid, mode, align_corners=False).view(images.shape)
