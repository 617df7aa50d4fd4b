"""The oracle of a layer: torch's own layer with a given weight."""

import pytest
import torch
from torch import nn

import adqc
from adqc.layer_oracle import example_input, expected_output

LAYERS = [
    adqc.nn.Linear(3, 2),
    adqc.nn.Conv1d(2, 3, 5, padding=7, padding_mode="reflect"),
    adqc.nn.Conv2d(4, 6, (3, 1), stride=2, dilation=3, groups=2, padding=(1, 4)),
    adqc.nn.Conv2d(2, 2, 3, padding="valid"),
    adqc.nn.Conv3d(1, 2, 2, padding=1, padding_mode="circular"),
    adqc.nn.Embedding(5, 3),
]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_inputs_fit_their_layers(layer, batch):
    sample = example_input(layer, batch)
    assert torch.equal(sample, example_input(layer, batch))
    output = expected_output(layer, layer.weight, sample)
    torch.testing.assert_close(output, layer(sample))
    assert output.numel() > 0


def test_the_padding_is_looked_up_and_its_row_is_zero():
    layer = adqc.nn.Embedding(6, 3, padding_idx=4)
    sample = example_input(layer, 2)
    assert sample.tolist()[-1] == 4
    weight = torch.ones(6, 3, requires_grad=True)
    output = expected_output(layer, weight, sample)
    assert output[-1].tolist() == [0, 0, 0]
    output.sum().backward()
    assert weight.grad[4].tolist() == [0, 0, 0]


def test_the_weight_given_is_the_one_used_and_left_alone():
    layer = adqc.nn.Embedding(6, 3, max_norm=0.1)
    weight = torch.full((6, 3), 2.0)
    output = expected_output(layer, weight, example_input(layer, 2))
    assert (output.norm(dim=1) < 0.11).all()
    assert (weight == 2).all()
    linear = adqc.nn.Linear(2, 2, bias=False)
    assert expected_output(linear, torch.eye(2), torch.tensor([[1.0, 2.0]])).tolist() == [[1, 2]]


def test_other_modules_are_refused():
    layer = nn.ReLU()
    layer.circuit = adqc.BrickWall((2, 2))
    with pytest.raises(TypeError, match=r"expected a compressed layer of adqc\.nn, got ReLU"):
        example_input(layer, 1)
