"""Statistics on the device, against what they are by definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sweepmaker.debugger.tensors import Trained


class Odd(nn.Module):
    """Parameters of two dtypes, one without any values and one without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[1.0, -3.0], [0.0, 2.0]]))
        self.nothing = nn.Parameter(torch.zeros(0, 4))
        self.low = nn.Parameter(torch.tensor([0.5, -0.25], dtype=torch.bfloat16))
        self.unused = nn.Parameter(torch.ones(3))


def test_statistics_are_what_they_are_called() -> None:
    module = Odd()
    module.a.grad = torch.tensor([[0.0, -8.0], [2.0, 0.0]])
    module.low.grad = torch.tensor([4.0, -4.0], dtype=torch.bfloat16)
    trained = Trained(module)
    assert trained.names == ["a", "low", "unused"]
    columns = trained.gradients(percentiles=False)
    expected = {"grad_mean": [2.5, 4.0], "grad_l2": [68**0.5, 32**0.5], "grad_max": [8.0, 4.0],
                "grad_nonzero": [0.5, 1.0]}  # fmt: skip
    assert {name: column.tolist()[:2] for name, column in columns.items()} == {
        name: pytest.approx(values) for name, values in expected.items()
    }
    assert all(column[2].isnan() for column in columns.values())
    before = trained.copy()
    with torch.no_grad():
        module.a[0, 1] -= 2
    columns = trained.weights(before, idle={2})
    assert columns["weight_mean"].tolist() == [1.5, 0.375, 1.0]
    assert columns["weight_var"].tolist() == pytest.approx([3.5, 0.140625, 0.0])
    assert columns["update_mean"].tolist()[:2] == [0.5, 0.0] and columns["update_mean"][2].isnan()
    assert columns["update_max"].tolist()[:2] == [2.0, 0.0]


@pytest.mark.parametrize(
    ("values", "largest"), [([1.0, float("nan")], "nan"), ([-float("inf"), 1.0], "inf"), ([2.0, -3.0], "3.0")]
)
def test_what_is_not_finite_is_the_largest(values: list[float], largest: str) -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([values])
    assert str(Trained(layer).gradients(percentiles=False)["grad_max"].item()) == largest
