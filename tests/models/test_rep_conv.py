"""RepConv: one convolution does the same, borders included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pumice.models.rep_conv import BNAndPad, RepConv, merge_rep_conv


def random_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_mean, part.weight, part.bias):
                nn.init.normal_(tensor)
            nn.init.uniform_(part.running_var, 0.5, 2.0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("with_norm", [False, True])
def test_one_convolution_equals_the_five_layers(dtype: torch.dtype, tolerance: float, with_norm: bool) -> None:
    torch.manual_seed(0)
    rep, norm = RepConv(5, 7), nn.BatchNorm2d(7)
    chain = nn.Sequential(rep, norm) if with_norm else nn.Sequential(rep)
    random_statistics(chain)
    chain.eval().to(dtype)
    x = torch.randn(2, 5, 6, 4, dtype=dtype)
    with torch.no_grad():
        merged = merge_rep_conv(rep, norm if with_norm else None)
        torch.testing.assert_close(merged(x), chain(x), rtol=tolerance, atol=tolerance)


def test_the_border_is_what_batchnorm_makes_of_zero() -> None:
    torch.manual_seed(1)
    layer = BNAndPad(1, 3)
    random_statistics(layer)
    layer.eval().double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), layer.bn(nn.functional.pad(x, [1] * 4)), rtol=0, atol=1e-12)


def test_state_dict_has_the_official_keys() -> None:
    assert {name for name, _ in RepConv(2, 4).named_parameters()} == {
        *("body.0.weight", "body.1.bn.weight", "body.1.bn.bias"),
        *("body.2.0.weight", "body.2.1.weight", "body.2.2.weight", "body.2.2.bias"),
    }
