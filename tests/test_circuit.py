"""The circuit outside torch: PennyLane, quimb, drawings, resources, all against the gate-by-gate oracle."""

import subprocess
import sys

import pennylane as qml
import pytest
import torch
from torch import nn

import adqc
from adqc import BrickWall, Circuit
from adqc.circuit import draw, find_wall, qnode, resources, tensor_from_pennylane, to_pennylane, to_quimb
from adqc.engine.arrange import to_tensor
from adqc.engine.statevector import run_gates

OWN = adqc.gate_family(
    "ry-cz-test", 2, lambda p, wires: [qml.RY(p[0], wires[0]), qml.RY(p[1], wires[1]), qml.CZ(wires)]
)
FAMILIES = ["cartan", "so4", "cartan-su4", "su4", "free", OWN]


def name(gate):
    return getattr(gate, "name", gate) if not isinstance(gate, int) else str(gate)


def make(gate, shape=(3, 5), depth=3, dtype=torch.float64, **options):
    wall = BrickWall(shape, Circuit(depth=depth, gate=gate, **options), dtype=dtype)
    with torch.no_grad():
        wall.scale.fill_(1.7)
        if wall.state is not None:
            wall.state.copy_(torch.randn(wall.state.shape))
    return wall


def gradients(wall, tensor):
    weights = torch.randn(wall.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.autograd.grad((tensor * weights).sum(), list(wall.parameters()), materialize_grads=True)


def from_quimb(wall):
    state = to_quimb(wall).to_dense([f"k{q}" for q in range(wall.sites)])
    return to_tensor(state.real if state.is_complex() else state, wall.layout) * wall.scale


def assert_same(found, expected, tolerance=1e-12):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    size = expected.abs().max().item() if expected.numel() else 0.0
    assert ((found - expected).abs() <= tolerance * max(size, 1)).all()


@pytest.mark.parametrize("build", [tensor_from_pennylane, from_quimb])
@pytest.mark.parametrize("wiring", ["brick-wall", "staircase"])
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_values_and_gradients_are_the_oracles(gate, wiring, build):
    wall = make(gate, wiring=wiring)
    expected = wall("gates")
    found = build(wall)
    assert_same(found, expected)
    for one, other in zip(gradients(wall, found), gradients(wall, expected), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("build", [tensor_from_pennylane, from_quimb])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [((1,), "interleaved"), ((2,), "rows-first"), ((3,), "interleaved"), ((2, 2), "rows-first"), ((5,), (2, 0, 1)),
     ((2, 3, 2), "rows-first"), ((1, 6), "interleaved")],
)  # fmt: skip
@pytest.mark.parametrize("gate", ["cartan", "free"])
def test_any_number_of_qubits_layout_and_crop(gate, shape, layout, build):
    wall = make(gate, shape=shape, layout=layout, depth=4)
    expected = wall("gates")
    found = build(wall)
    assert_same(found, expected)
    for one, other in zip(gradients(wall, found), gradients(wall, expected), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gate", ["cartan", "su4", "free"])
def test_short_floats_give_the_tensor_in_their_own_type(gate, dtype):
    wall = make(gate, dtype=dtype)
    for found in (tensor_from_pennylane(wall), from_quimb(wall)):
        assert ((found.double() - wall("gates").double()).abs() < (2e-2 if dtype.itemsize < 4 else 1e-5)).all()
    assert tensor_from_pennylane(wall).dtype == dtype


def test_the_qnode_takes_parameters_in_place_of_the_circuits_own():
    wall, other = make("free"), make("free")
    node = wall.qnode()
    params, state = other.gate_parameters().detach().requires_grad_(), other.state.detach().requires_grad_()
    found = node(params, state)
    expected = run_gates(other.matrices(), other.wiring, other.state)
    assert_same(found.real, expected)
    slopes = torch.autograd.grad(found.real.pow(3).sum(), [params, state])
    due = torch.autograd.grad(expected.pow(3).sum(), [other.gates, other.state])
    assert_same(slopes[0].flatten(), due[0])
    assert_same(slopes[1], due[1])
    # The circuit's own are read at each call.
    with torch.no_grad():
        wall.gates.copy_(other.gates)
        wall.state.copy_(other.state)
    assert_same(node().real, expected)


def test_the_qnode_of_a_complex_family_returns_the_whole_state():
    wall = make("su4")
    expected = run_gates(wall.matrices(), wall.wiring)
    assert_same(wall.qnode()(), expected)
    assert expected.imag.abs().max() > 0.01


@pytest.mark.parametrize("spread", [3e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("gate", ["so4", "su4"])
@pytest.mark.parametrize("shape", [(4,), (16,)])
def test_near_the_identity_too(shape, gate, spread):
    # Where torch's exponential of a single matrix is off by 2e-10, in one gate and in several.
    wall = make(gate, shape=shape, depth=1 if shape == (4,) else 6)
    wall.set_gate_parameters_(torch.randn(wall.gate_parameters().shape) * spread)
    matrices = wall.matrices()
    assert (matrices @ matrices.mH - torch.eye(4)).abs().max() < 1e-14
    expected = wall("gates")
    found = tensor_from_pennylane(wall)
    assert_same(found, expected, 1e-14)
    for one, other in zip(gradients(wall, found), gradients(wall, expected), strict=True):
        assert_same(one, other, 1e-13)


def test_gradcheck_through_pennylane():
    wall = make("cartan", shape=(2, 2), depth=2)
    node = qnode(wall)
    assert torch.autograd.gradcheck(lambda p: node(p).real, wall.gate_parameters().detach().requires_grad_())


def test_a_layers_circuit_works_inside_any_qnode_on_wires_with_any_names():
    layer = adqc.nn.Linear(3, 2, circuit=Circuit(depth=2), dtype=torch.float64)
    prepare = to_pennylane(layer)

    @qml.qnode(qml.device("default.qubit"))
    def expectation():
        prepare(wires=["a", "b", "c"])
        return qml.expval(qml.Z("a") @ qml.Z("c"))

    state = run_gates(layer.circuit.matrices(), layer.circuit.wiring)
    signs = torch.tensor([(-1) ** ((k >> 2) + (k & 1)) for k in range(8)])
    value = expectation()
    assert abs(value - (signs * state**2).sum()) < 1e-12
    slope, due = (torch.autograd.grad(x, layer.circuit.gates)[0] for x in (value, (signs * state**2).sum()))
    assert_same(slope, due)


DEVICES = [("default.qubit", "adjoint"), ("default.qubit", "parameter-shift"), ("default.mixed", "backprop"),
           ("lightning.qubit", "adjoint")]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The two-qubit decomposition may not be differentiable")
@pytest.mark.parametrize(("device", "diff_method"), DEVICES)
@pytest.mark.parametrize("gate", ["cartan", "so4", "cartan-su4", "su4", OWN], ids=name)
def test_a_qnode_on_any_device_is_differentiable(gate, device, diff_method):
    wall = make(gate, shape=(2, 4))
    prepare = to_pennylane(wall)

    def expectation():
        prepare()
        return qml.expval(qml.Z(0) @ qml.X(1) @ qml.Z(2))

    value, due = (
        qml.QNode(expectation, qml.device(*where), diff_method=how, interface="torch")()
        for where, how in (((device, 3), diff_method), (("default.qubit", 3), "backprop"))
    )
    # Not every device computes in float64.
    assert abs(value - due) < 1e-6
    slope, expected = (torch.autograd.grad(x, wall.gates)[0] for x in (value, due))
    assert (slope - expected).abs().max() < 1e-5


def test_the_network_is_tagged_by_gate_layer_and_site():
    wall = make("cartan", shape=(4, 4), depth=3)
    network = to_quimb(wall)
    assert set(network.outer_inds()) == {"k0", "k1", "k2", "k3"}
    for number, (sites, layer) in enumerate(zip(wall.wiring.gates, wall.wiring.layer_of, strict=True)):
        (tensor,) = network.select_tensors(f"GATE{number}")
        assert {f"LAYER{layer}", *(f"SITE{site}" for site in sites)} <= set(tensor.tags)
    assert len(network.select_tensors("LAYER0")) == 2
    assert len(to_quimb(make("free", shape=(4, 4))).select_tensors("START")) == 4


def test_torch_networks_and_quimbs_own_circuits_live_in_one_process():
    # In a process of its own, as autoray, which PennyLane pins, remembers the first backend that was named to it.
    code = """
import quimb.tensor as qtn, torch, adqc
from adqc.circuit import to_quimb

def numpy_circuit():
    circuit = qtn.Circuit(3)
    circuit.h(0); circuit.cx(0, 1); circuit.cx(1, 2)
    circuit.psi.contract(output_inds=["k0", "k1", "k2"], optimize="greedy")

wall = adqc.BrickWall((4, 4))
numpy_circuit()
wall("network").sum().backward()
numpy_circuit()
to_quimb(wall).to_dense(["k0", "k1", "k2", "k3"]).sum().backward()
numpy_circuit()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("call", [to_pennylane, to_quimb, find_wall])
def test_a_module_without_a_circuit_is_named(call):
    with pytest.raises(TypeError, match=r"expected a compressed layer .* got Linear"):
        call(nn.Linear(2, 2))


@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_small_circuits_are_drawn_by_operations_and_large_ones_by_bricks(gate):
    text = draw(make(gate, shape=(2, 2), depth=1))
    assert text.startswith("0: ─")
    assert "G0" not in text
    assert text.count("\n") == 1
    text = make(gate, shape=(512, 512), depth=8).draw()
    lines = text.splitlines()
    assert len(lines) == 18
    assert max(map(len, lines)) <= 100
    assert "G67" in text


def test_the_operations_are_drawn_with_their_angles():
    wall = make("cartan", shape=(2, 2), depth=1)
    wall.set_gate_parameters_(torch.tensor([[0.25, 0, 0.5, -0.75]]))
    assert draw(wall).splitlines() == [
        "0: ─╭RXY(-0.50)─╭RYX(-0.00)──RY(0.50)──┤  ",
        "1: ─╰RXY(-0.50)─╰RYX(-0.00)──RY(-0.75)─┤  ",
    ]
    assert draw(wall, bricks=True).splitlines() == ["0: ─╭G0─┤  ", "1: ─╰G0─┤  "]


def test_the_product_state_of_free_gates_is_drawn():
    assert draw(make("free", shape=(2, 2), depth=1), bricks=True).splitlines() == ["0: ──ψ0─╭G0─┤  ", "1: ──ψ1─╰G0─┤  "]


@pytest.mark.parametrize("shape", [(1,), (4, 4), (64, 64)])
def test_a_figure_is_drawn_and_not_kept_by_pyplot(shape):
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    figure = make("cartan", shape=shape).draw("mpl")
    assert isinstance(figure, Figure)
    assert not pyplot.get_fignums()


def test_an_unknown_kind_of_drawing():
    with pytest.raises(ValueError, match="unknown kind of drawing 'svg': use 'text' or 'mpl'"):
        make("cartan").draw("svg")


def test_drawing_a_wall_far_too_large_to_build():
    assert draw(make("free", shape=(2**40,), depth=1)).count("\n") == 39


@pytest.mark.parametrize(
    ("gate", "cx"), [("cartan", 10), ("so4", 10), ("cartan-su4", 13), ("su4", 13), (OWN, 6), ("free", None)], ids=name
)
def test_resources(gate, cx):
    # Five sites, depth 3: gates on (0,1), (2,3); (1,2), (3,4); (0,1), (2,3).
    wall = make(gate, shape=(3, 8))
    found = wall.resources()
    assert (found.qubits, found.gates, found.depth, found.cx) == (5, 6, 3, cx)
    assert found.parameters == sum(p.numel() for p in wall.parameters()) == wall.parameter_count
    assert str(found).startswith("5 qubits, 6 two-qubit gates, ")


def test_resources_of_one_qubit_and_of_a_staircase():
    assert resources(make("cartan", shape=(2,))).gates == 0
    assert resources(make("cartan", shape=(2,))).cx == 0
    # Sweeps of a staircase overlap: the second one starts when the first has gone two sites on.
    assert resources(make("cartan", shape=(16,), depth=2, wiring="staircase")).depth == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("gate", FAMILIES, ids=name)
def test_pennylane_on_cuda(gate):
    wall = make(gate).cuda()
    found, expected = tensor_from_pennylane(wall), wall("gates")
    assert found.is_cuda
    assert_same(found.detach().cpu(), expected.detach().cpu())
    one, other = (torch.autograd.grad(x.pow(3).sum(), list(wall.parameters())) for x in (found, expected))
    for a, b in zip(one, other, strict=True):
        assert_same(a.cpu(), b.cpu())
