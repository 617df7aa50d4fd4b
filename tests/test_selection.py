"""Selection: which weights get which circuit, and what wrong selections are told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adqc import BrickWall, Circuit
from adqc.compress import compress_, plan
from adqc.selection import circuit_size, find_targets, select_targets

SMALL = Circuit(depth=2)


class Net(nn.Module):
    """Layers with a compressed form, tensors without one, and a tied pair."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(60, 32)
        self.features = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3))
        self.attn = nn.MultiheadAttention(32, 4)
        self.lstm = nn.LSTM(32, 32)
        self.head = nn.Linear(32, 60, bias=False)
        self.head.weight = self.emb.weight
        self.tiny = nn.Linear(3, 2)


def chosen(model: nn.Module, select: object, config: Circuit = SMALL) -> dict[str, Circuit]:
    choices = select_targets(model, config, select)  # type: ignore[arg-type]
    return {choice.target.name: choice.config for choice in choices if choice.config is not None}


def test_the_default_takes_layers_that_shrink() -> None:
    model = Net()
    assert list(chosen(model, None)) == ["emb", "features.0", "features.2", "attn.out_proj"]
    why = {choice.target.name: choice.why for choice in select_targets(model, SMALL)}
    assert why["tiny"] == "would not shrink: 8 parameters for 6 weights"
    assert why["lstm.weight_hh_l0"] == "not selected"


@pytest.mark.parametrize(
    ("select", "names"),
    [
        ("features.0", ["features.0"]),
        ("features.0.weight", ["features.0"]),
        (["head"], ["emb"]),
        (["lstm.weight_hh_l0", "features.2"], ["features.2", "lstm.weight_hh_l0"]),
        ("re:features.*", ["features.0", "features.2"]),
        ("re:features.*|attn.out_proj", ["features.0", "features.2", "attn.out_proj"]),
        ("re:.*in_proj_weight", ["attn.in_proj_weight"]),
        (["re:lstm.*", "emb"], ["emb", "lstm.weight_ih_l0", "lstm.weight_hh_l0"]),
        (lambda name, module: isinstance(module, nn.Conv2d), ["features.0", "features.2"]),
        (lambda name, module: name.endswith("weight_ih_l0"), ["lstm.weight_ih_l0"]),
    ],
)
def test_every_form_of_selection(select: object, names: list[str]) -> None:
    assert list(chosen(Net(), select)) == names


def test_a_mapping_gives_each_its_own_circuit_and_the_first_match_wins() -> None:
    deep, staircase = Circuit(depth=3), Circuit(depth=1, wiring="staircase")
    found = chosen(Net(), {"features.2": deep, "attn.out_proj": None, "re:features.*|attn.*": staircase})
    assert found == {"features.0": staircase, "features.2": deep, "attn.in_proj_weight": staircase}


def test_a_pattern_must_match_a_whole_name() -> None:
    with pytest.raises(ValueError, match="matches no layer or tensor"):
        chosen(Net(), "re:features")


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("feature.0", "no layer or tensor 'feature.0': did you mean 'features.0'"),
        (["emb", "lstm.weight_hh_l7"], "did you mean 'lstm.weight_hh_l0'"),
        ("re:clasifier.*", "the pattern 're:clasifier..' matches no layer"),
        ("re:(", "no regular expression"),
        ("features", "'features' is a Sequential, which has no weight of its own: select .*'features.0"),
        ("lstm", "'lstm' is a LSTM, .*'lstm.weight_ih_l0'"),
        ("tiny", "tiny would not shrink: its weight of shape .2, 3. has 6 entries"),
        (lambda name, module: False, "the predicate is false"),
        ([], "the selection is empty"),
        ({"nothing": SMALL}, "no layer or tensor 'nothing'"),
    ],
)
def test_wrong_selections_are_errors(select: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(Net(), select, Circuit(depth=6))


@pytest.mark.parametrize("select", [3, {"emb": 3}, [3]])
def test_selections_of_an_unknown_form_are_type_errors(select: object) -> None:
    with pytest.raises(TypeError, match="select takes names"):
        chosen(Net(), select)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Embedding(64, 64, sparse=True), "sparse=True needs a stored table"),
        (nn.LazyLinear(64), "run one batch"),
        (nn.Linear(64, 64, dtype=torch.complex64), "dtype torch.complex64"),
    ],
)
def test_weights_that_no_circuit_can_make(layer: nn.Module, message: str) -> None:
    model = nn.Sequential(layer)
    name = "0.weight" if isinstance(layer, nn.LazyLinear) else "0"
    with pytest.raises(ValueError, match=message):
        chosen(model, name)
    assert chosen(model, None) == {}


def test_integer_and_empty_weights() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(8, 4))
    model[0].weight = nn.Parameter(torch.zeros(64, 64, dtype=torch.int8), requires_grad=False)
    model[1].weight = nn.Parameter(torch.zeros(0, 8))
    with pytest.raises(ValueError, match=r"0: its weight has dtype torch\.int8"):
        chosen(model, "0")
    with pytest.raises(ValueError, match=r"1: its weight of shape \(0, 8\) has no entries"):
        chosen(model, "1")
    assert chosen(model, None) == {}


def test_a_layout_that_does_not_fit_names_the_layer() -> None:
    with pytest.raises(ValueError, match=r"features\.0: the order of sites for shape"):
        chosen(Net(), "features.0", Circuit(layout=(1, 0, 2)))


def test_a_shared_module_has_every_name() -> None:
    model = nn.Module()
    model.a = model.b = nn.Linear(64, 64)
    assert next(target.names for target in find_targets(model)) == ("a.weight", "a", "b.weight", "b")
    assert list(chosen(model, "b")) == ["a"]


def test_the_model_may_itself_be_a_layer() -> None:
    layer = nn.Linear(64, 64)
    assert list(chosen(layer, None)) == ["weight"]
    compress_(layer, SMALL, fit=None)
    assert isinstance(layer.circuit, BrickWall)


@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4", "free"])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 5), (10, 4, 3)])
def test_circuit_size_is_the_wall_s_own(gate: str, wiring: str, shape: tuple[int, ...]) -> None:
    config = Circuit(depth=3, gate=gate, wiring=wiring)
    wall = BrickWall(shape, config)
    assert circuit_size(shape, config) == (wall.wiring, wall.parameter_count)


def test_plan_prints_a_table_and_changes_nothing() -> None:
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = plan(model, SMALL, select="re:features.*|tiny")
    assert {name: torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()} == dict.fromkeys(
        before, True
    )
    text = str(result)
    route = next(row.route for row in result.rows if row.name == "features.0")
    assert route
    for part in ("features.0", "Conv2d", "16×8×3×3", "1,152", route, "total", "not selected: emb"):
        assert part in text
    assert result.model_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert result.model_parameters_after == result.model_parameters - result.weights + result.parameters


def test_the_plan_is_what_compress_does() -> None:
    model = Net()
    expected = plan(model, SMALL, select=["emb", "re:attn.*"])
    report = compress_(model, SMALL, select=["emb", "re:attn.*"], fit=None)
    assert [(row.name, row.parameters) for row in report.rows] == [(row.name, row.parameters) for row in expected.rows]
    assert sum(parameter.numel() for parameter in model.parameters()) == expected.model_parameters_after
    assert [choice.why for choice in select_targets(model, SMALL) if choice.target.name == "emb"] == [
        "it is compressed already"
    ]
