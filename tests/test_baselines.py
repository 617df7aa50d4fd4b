"""The rivals: values against independent contractions, parameters within budget, starts, replacement."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from adqc.baselines import (
    CP,
    METHODS,
    Frozen,
    Hashing,
    InCosines,
    LowRank,
    Pruned,
    QuantisedTrain,
    TensorTrain,
    Tucker,
    allot,
    choose_ranks,
    count_parameters,
    factorise,
    find_method,
    replace_,
)
from adqc.cosine import from_cosines, to_cosines

SHAPES = [(256, 784), (16, 6, 5, 5), (120, 400), (84, 120), (10,), (1, 1), (7, 13), (127, 131)]


TRAINED = [method for method in METHODS if method != "frozen"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_tensor_train_is_the_contraction_of_its_cores(shape, cores):
    train = TensorTrain(shape, budget=10**6 if cores == 1 else 2000, cores=cores, generator=generator())
    rows, columns = shape[0], math.prod(shape[1:])
    # Entry by entry, from the digits of its row and column: a product of matrices.
    for row, column in [(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)]:
        row_digits = np.unravel_index(row, train.row_factors)
        column_digits = np.unravel_index(column, train.column_factors)
        value = torch.eye(1)
        for core, i, j in zip(train.cores, row_digits, column_digits, strict=True):
            value = value @ core[:, i, j, :]
        built = train().reshape(rows, columns)[row, column]
        torch.testing.assert_close(built, value.squeeze())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("budget", [150, 307, 700, 1400])
@pytest.mark.parametrize("method", TRAINED)
def test_parameters_stay_within_the_budget(shape, budget, method):
    if len(shape) == 1:
        return
    kind = find_method(method, shape)
    if kind.minimum(shape) > budget:
        with pytest.raises(ValueError, match="takes at least"):
            kind(shape, budget=budget)
        return
    baseline = kind(shape, budget=budget, std=0.1, generator=generator())
    assert baseline.parameter_count <= budget
    assert baseline().shape == shape


@pytest.mark.parametrize(
    ("shape", "budget"), [((256, 784), 307), ((256, 784), 680), ((120, 400), 700), ((84, 120), 400)]
)
def test_tensor_train_uses_nearly_all_of_the_budget(shape, budget):
    assert TensorTrain(shape, budget=budget).parameter_count >= 0.9 * budget


def test_no_rank_could_be_raised_any_more():
    modes, budget = [20, 16, 15, 10], 700
    ranks = choose_ranks(modes, budget)
    assert count_parameters(modes, ranks) <= budget
    for bond in range(1, len(modes)):
        larger = [rank + (k == bond) for k, rank in enumerate(ranks)]
        assert count_parameters(modes, larger) > budget


def test_ranks_do_not_exceed_what_a_bond_can_carry():
    assert choose_ranks([4, 100, 3], 10**6) == [1, 4, 3, 1]


@pytest.mark.parametrize("size", [1, 2, 7, 28, 84, 127, 400, 784, 1000, 4096])
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_factors_cover_the_axis(size, parts):
    factors = factorise(size, parts)
    assert len(factors) == parts
    assert size <= math.prod(factors) < 2 * max(1, size)
    if parts == 1:
        assert factors == [size]


def test_tensor_train_fitted_with_full_ranks_is_the_weight():
    weight = torch.randn(12, 20, generator=generator())
    train = TensorTrain((12, 20), budget=10**5, cores=3)
    assert not torch.allclose(train(), weight, atol=1e-2)
    torch.testing.assert_close(train.fit_(weight)(), weight, atol=1e-5, rtol=1e-4)


def test_fitting_with_two_cores_is_the_best_low_rank_approximation():
    weight = torch.randn(16, 16, generator=generator())
    train = TensorTrain((16, 16), budget=96, cores=2).fit_(weight)
    # Two cores of 4·4 entries: the matrix (row 1, column 1) × (row 2, column 2), cut at the rank.
    paired = weight.view(4, 4, 4, 4).permute(0, 2, 1, 3).reshape(16, 16)
    lost = torch.linalg.svdvals(paired)[train.ranks[1] :].square().sum()
    assert train.ranks[1] == 3
    torch.testing.assert_close((train() - weight).square().sum(), lost)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(256, 784), (16, 6, 5, 5)])
def test_entries_start_with_the_deviation_asked_for(method, shape):
    budget = 3000
    baseline = find_method(method, shape)(shape, budget=budget, std=0.05, generator=generator())
    assert float(baseline().detach().square().mean().sqrt()) == pytest.approx(0.05, rel=0.25)


def test_low_rank_is_a_product_with_the_largest_rank_that_fits():
    layer = LowRank((30, 4, 5), budget=170, generator=generator())
    assert layer.rank == 3
    product = np.einsum("ir,rj->ij", layer.left.detach().numpy(), layer.right.detach().numpy())
    np.testing.assert_allclose(layer().detach().numpy().reshape(30, 20), product, rtol=1e-5)
    assert torch.linalg.matrix_rank(layer().detach().view(30, 20)) == 3


def test_hashing_shares_few_values_with_both_signs():
    layer = Hashing((50, 40), budget=16, generator=generator())
    assert layer.parameter_count == 16
    assert len(layer().detach().abs().unique()) == 16
    built, values = layer().detach().flatten().tolist(), layer.values.tolist()
    for entry, sign, which in zip(built, layer.signs.flatten().tolist(), layer.which.flatten().tolist(), strict=True):
        assert entry == sign * values[which]
    assert set(layer.signs.unique().tolist()) == {-1.0, 1.0}


def test_frozen_has_nothing_to_train_and_is_drawn_as_torch_draws():
    layer = Frozen((200, 100), std=1 / math.sqrt(300), generator=generator())
    assert layer.parameter_count == 0
    assert not layer().requires_grad
    assert 0.099 < float(layer().abs().max()) <= 0.1


@pytest.mark.parametrize("method", METHODS)
def test_replaced_layers_train_and_keep_the_rest(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 20))
    bias, kernel = model[2].bias, model[0].weight
    counts = replace_(model, {"2": 400}, method=method, generator=generator())
    assert list(counts) == ["2"]
    assert (counts["2"] == 0) if method == "frozen" else (0 < counts["2"] <= 400)
    assert model[2].bias is bias
    assert model[0].weight is kernel
    own = sum(p.numel() for p in model[2].parameters()) - 20
    assert own == counts["2"]
    before = model[2].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.randn(4, 3, 6, 6)).square().mean().backward()
    optimizer.step()
    changed = not torch.equal(before, model[2].weight)
    assert changed == (method != "frozen")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_generator_gives_the_same_weight_and_state_loads(method):
    def make(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(40, 30))
        replace_(model, {"0": 200}, method=method, generator=generator(seed))
        return model

    one, two, other = make(0), make(0), make(1)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one[0].weight, other[0].weight)


def test_a_train_of_cosines_is_fitted_to_the_coefficients_and_keeps_its_budget():
    axes, frequencies = (12, 6, 5), (0, 4, 0)
    smooth = from_cosines(torch.randn(12, 4, 5, generator=generator()), axes, frequencies).reshape(12, 30)
    model = nn.Sequential(nn.Linear(30, 12), nn.Linear(12, 10))
    with torch.no_grad():
        model[0].weight.copy_(smooth)
    seen = {"0": (axes, frequencies)}
    fitted = copy.deepcopy(model)
    replace_(fitted, {"0": 10**5}, method="tensor-train", fitted=True, cosines=seen, generator=generator())
    torch.testing.assert_close(fitted[0].weight, smooth, atol=1e-5, rtol=1e-4)
    counts = replace_(model, {"0": 100, "1": 60}, method="tensor-train", cosines=seen, generator=generator())
    assert 0 < counts["0"] <= 100
    assert 0 < counts["1"] <= 60
    built = model[0].weight.detach()
    assert float(built.square().mean().sqrt()) == pytest.approx(1 / math.sqrt(90), rel=0.25)
    assert to_cosines(built.reshape(axes), (0, 6, 0))[:, 4:].abs().max() < 1e-6


def test_a_rival_for_other_coefficients_is_refused():
    with pytest.raises(ValueError, match=r"coefficients of shape \(12, 4, 5\), got a rival for \(12, 20\)"):
        InCosines((12, 30), axes=(12, 6, 5), frequencies=(0, 4, 0), inner=Hashing((12, 20), budget=9))


@pytest.mark.parametrize(
    ("budgets", "method", "said"),
    [
        ({"0": 100}, "magic", "unknown method 'magic'"),
        ({"0": 100, "nix": 100}, "hashing", "no layer 'nix'"),
        ({"0": 100, "1": 100}, "hashing", "no layer '1'"),
        ({"2": 100, "0": 5}, "tensor-train", r"0: tensor train.*at least 24.*budget of 5"),
        ({"2": 100, "0": 69}, "low-rank", r"0: low rank.*at least 70.*budget of 69"),
        ({"0": 0}, "hashing", "budget of 0"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_the_model_alone(budgets, method, said):
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10))
    keys = list(model.state_dict())
    with pytest.raises(ValueError, match=said):
        replace_(model, budgets, method=method)
    assert list(model.state_dict()) == keys


def test_an_empty_shape_is_refused():
    with pytest.raises(ValueError, match="at least one entry"):
        Frozen((3, 0))


@pytest.mark.parametrize("shape", [(16, 6, 5, 5), (30, 40), (7, 13)])
@pytest.mark.parametrize("method", TRAINED)
def test_the_minimum_is_what_just_fits(method, shape):
    kind = find_method(method, shape)
    least = kind.minimum(shape)
    assert kind(shape, budget=least, generator=generator()).parameter_count == least
    with pytest.raises(ValueError, match=rf"at least .*got a budget of {least - 1}"):
        kind(shape, budget=least - 1, generator=generator())


@pytest.mark.parametrize(
    ("method", "shape", "budget"),
    [
        ("low-rank", (10, 12), 70),
        ("hashing", (10, 12), 9),
        ("pruned", (10, 12), 9),
        ("tensor-train", (12, 20), 90),
        ("quantised-train", (8, 16), 70),
        ("tucker", (6, 5, 3, 3), 60),
        ("cp", (6, 5, 3, 3), 51),
    ],
)
def test_the_dimension_is_the_rank_of_the_jacobian(method, shape, budget):
    baseline = METHODS[method](shape, budget=budget, generator=generator()).double()
    names = [name for name, _ in baseline.named_parameters()]

    def build(*values):
        return torch.func.functional_call(baseline, dict(zip(names, values, strict=True))).flatten()

    found = torch.autograd.functional.jacobian(build, tuple(baseline.parameters()))
    jacobian = torch.cat([part.flatten(1) for part in found], 1)
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-9) == baseline.dimension


@pytest.mark.parametrize("method", TRAINED)
@pytest.mark.parametrize("shape", [(16, 6, 5, 5), (30, 40)])
def test_a_fitted_start_is_nearer_to_the_weight_and_has_its_norm(method, shape):
    torch.manual_seed(0)
    # Few large singular values, as trained weights have.
    weight = (torch.randn(shape[0], 2) @ torch.randn(2, math.prod(shape[1:]))).view(shape) + 0.1 * torch.randn(shape)
    layer = nn.Linear(40, 30) if len(shape) == 2 else nn.Conv2d(6, 16, 5)
    layer.weight.data.copy_(weight)
    model = nn.Sequential(layer)
    replace_(model, {"0": 500}, method=method, fitted=True, generator=generator())
    found = model[0].weight.detach()
    assert float((found * weight).sum() / (found.norm() * weight.norm())) > 0.4
    if method != "pruned":
        torch.testing.assert_close(found.norm(), weight.norm(), rtol=1e-3, atol=0)


def test_tucker_and_cp_are_their_sums():
    tucker = Tucker((8, 6, 3, 2), budget=100, generator=generator())
    expected = np.einsum("oa,abk,ib->oik", *(p.detach().numpy() for p in (tucker.left, tucker.core, tucker.right)))
    np.testing.assert_allclose(tucker().detach().numpy().reshape(8, 6, 6), expected, rtol=1e-5, atol=1e-6)
    larger = [(tucker.ranks[0] + 1, tucker.ranks[1]), (tucker.ranks[0], tucker.ranks[1] + 1)]
    assert all(8 * r1 + 6 * r2 + 6 * r1 * r2 > 100 for r1, r2 in larger)
    cp = CP((8, 6, 3, 2), budget=60, generator=generator())
    assert cp.rank == 3
    expected = np.einsum("or,ir,yr,xr->oiyx", *(p.detach().numpy() for p in cp.factors))
    np.testing.assert_allclose(cp().detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="only a convolution's kernel"):
        CP((8, 6), budget=60)


def test_tucker_and_cp_take_exact_forms_back():
    for kind, budget in ((Tucker, 150), (CP, 51)):
        weight = kind((8, 6, 3, 3), budget=budget, std=1.0, generator=generator(5))().detach()
        fitted = kind((8, 6, 3, 3), budget=budget, generator=generator()).fit_(weight)
        assert ((fitted() - weight).norm() / weight.norm()).item() < 0.05


def test_pruning_keeps_the_largest_entries():
    weight = torch.randn(30, 40)
    kept = Pruned((30, 40), budget=25).fit_(weight)()
    assert int((kept != 0).sum()) == 25
    assert torch.equal(kept[kept != 0], weight[kept != 0])
    assert weight[kept == 0].abs().max() <= kept[kept != 0].abs().min()


def test_the_finest_train_has_bits_for_modes():
    train = QuantisedTrain((4, 30), budget=200, generator=generator())
    assert train.row_factors == [1, 2, 2, 1, 1]
    assert train.column_factors == [2] * 5
    weight = torch.randn(4, 30)
    full = QuantisedTrain((4, 30), budget=10**5, generator=generator()).fit_(weight)
    torch.testing.assert_close(full(), weight, atol=1e-5, rtol=1e-4)


def test_budgets_are_shared_by_bits_and_no_layer_gets_less_than_it_needs():
    shapes = {"conv": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120)}
    shared = allot(1200, shapes, method="hashing")
    assert shared == {"conv": 1200 * 13 // 43, "fc1": 1200 * 16 // 43, "fc2": 1200 * 14 // 43}
    low = allot(1200, shapes, method="low-rank")
    assert low["fc1"] == 520
    assert low["conv"] >= 166
    assert low["fc2"] >= 204
    assert sum(low.values()) <= 1200
    with pytest.raises(ValueError, match="at least 890 parameters, not 800"):
        allot(800, shapes, method="low-rank")
