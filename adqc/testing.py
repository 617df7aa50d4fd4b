"""Checks that a user can run on a circuit of his own, with pytest."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from adqc.brickwall import BrickWall
from adqc.engine import statevector
from adqc.layer_oracle import example_input, expected_output
from adqc.nn import from_torch
from adqc.user_gates import pennylane_matrices
from adqc.verify import BATCHES, COMPARED_ROUTES, pieces_fit


class RouteSuite:
    """Every route from a circuit to its tensor against the gate-by-gate oracle, as a pytest class.

    Subclass it, name the subclass ``Test…`` and give it a fixture ``wall``; all tests are inherited: one for each of
    the engine's routes, by its name (``test_halves``, …), and the ones below. They run on a copy in float64 and leave
    the wall as it was. A test that does not apply is switched off by ``test_… = None``.

    Attributes:
        tolerance: Largest difference allowed, relative to the largest entry where that is above 1.

    Example:
        >>> import adqc, pytest
        >>> class TestMine(RouteSuite):
        ...     @pytest.fixture
        ...     def wall(self):
        ...         return adqc.BrickWall((6, 10), adqc.Circuit(depth=3))
    """

    tolerance: float = 1e-10

    def test_own_route(self, wall: BrickWall) -> None:
        """The route of the wall's own configuration: tensor and gradients."""
        self._compare(wall, lambda exact: exact())

    def test_output(self, wall: BrickWall) -> None:
        """The output of a layer with this weight, for one sample and for a batch: value and gradients."""
        self._compare_output(wall)

    def test_matrix_free(self, wall: BrickWall) -> None:
        """The route 'matrix-free': a layer's output as above, its weight not built."""
        wall = copy.deepcopy(wall)
        wall.config = replace(wall.config, route="matrix-free")
        plain = _plain_layer(wall)
        if plain is not None and not pieces_fit(from_torch(plain, wall)):
            import pytest

            pytest.skip("the circuit's pieces are far larger than its weight")
        try:
            self._compare_output(wall)
        except ValueError as error:
            import pytest

            pytest.skip(str(error))

    def _compare_output(self, wall: BrickWall) -> None:
        plain = _plain_layer(wall)
        if plain is None:
            import pytest

            pytest.skip(f"no layer of adqc.nn has a weight of shape {wall.shape}")
        layer = from_torch(plain.double(), _in_double(wall))
        for batch in BATCHES:
            sample = example_input(layer, batch)

            def expect(exact: BrickWall, x: Tensor = sample) -> Tensor:
                return expected_output(from_torch(plain, exact), exact("gates"), x)

            def find(exact: BrickWall, x: Tensor = sample) -> Tensor:
                output: Tensor = from_torch(plain, exact)(x)
                return output

            self._compare(wall, find, expect)

    def test_pennylane(self, wall: BrickWall) -> None:
        """PennyLane's ``default.qubit``: tensor and gradients."""
        from adqc.circuit import tensor_from_pennylane

        self._compare(wall, tensor_from_pennylane)

    def test_quimb(self, wall: BrickWall) -> None:
        """The network handed to quimb's users, contracted by quimb: tensor and gradients."""
        from adqc.circuit import tensor_from_quimb

        self._compare(wall, tensor_from_quimb)

    def test_gates(self, wall: BrickWall) -> None:
        """Each gate against the matrix that PennyLane makes of the family's own definition."""
        exact = _in_double(wall)
        family = exact.family
        expected = pennylane_matrices(family.operations, exact.gate_parameters(), sites=family.sites)
        found = family.full_matrices(exact.gate_parameters())
        self._close("gates", found.to(expected.dtype), expected)

    def test_state(self, wall: BrickWall) -> None:
        """The state of a unitary circuit has norm 1, and that of a real family real amplitudes."""
        exact = _in_double(wall)
        gates = exact.matrices()
        assert gates.is_complex() is not exact.family.real, f"{exact.family} promises other gates than it makes"
        if exact.family.unitary:
            norm = statevector.run_gates(gates, exact.wiring).norm()
            self._close("norm", norm, torch.ones_like(norm))

    def _compare(
        self,
        wall: BrickWall,
        build: Callable[[BrickWall], Tensor],
        oracle: Callable[[BrickWall], Tensor] = lambda exact: exact("gates"),
    ) -> None:
        expected, found = (_pull_back(wall, way) for way in (oracle, build))
        assert found.keys() == expected.keys()
        for name in expected:
            self._close(name, found[name], expected[name])

    def _close(self, name: str, found: Tensor, expected: Tensor) -> None:
        assert found.shape == expected.shape, f"{name}: expected shape {expected.shape}, got {found.shape}"
        if expected.numel():
            difference = (found - expected).abs().max().item()
            largest = max(1.0, expected.abs().max().item())
            assert difference <= self.tolerance * largest, f"{name} differs by {difference:.1e}"


def _test_of(route: str) -> Callable[[RouteSuite, BrickWall], None]:
    def test(self: RouteSuite, wall: BrickWall) -> None:
        self._compare(wall, lambda exact: exact(route))

    test.__doc__ = f"The route {route!r}: tensor and gradients."
    return test


# One test a route, so that each is reported, and can be switched off, by its name.
for _route in COMPARED_ROUTES:
    setattr(RouteSuite, f"test_{_route.replace('-', '_')}", _test_of(_route))


def _plain_layer(wall: BrickWall) -> nn.Module | None:
    """A layer of torch whose weight has the wall's shape: linear for two axes, a convolution for more."""
    kinds: dict[int, type[nn.Module]] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
    if len(wall.shape) == 2:
        return nn.Linear(wall.shape[1], wall.shape[0], bias=False, device="meta")
    if len(wall.shape) in kinds:
        return kinds[len(wall.shape)](*wall.shape[1::-1], wall.shape[2:], bias=False, device="meta")
    return None


def _in_double(wall: BrickWall) -> BrickWall:
    return copy.deepcopy(wall).double().requires_grad_()


def _pull_back(wall: BrickWall, build: Callable[[BrickWall], Tensor]) -> dict[str, Tensor]:
    """The tensor, and what a fixed random gradient of it becomes in each parameter."""
    exact = _in_double(wall)
    tensor = build(exact)
    found = {"tensor": tensor.detach()}
    generator = torch.Generator().manual_seed(0)
    seed = torch.randn(tensor.shape, generator=generator, dtype=torch.float64, device="cpu").to(tensor.device)
    names, parameters = zip(*((n, p) for n, p in exact.named_parameters() if p.numel()), strict=True)
    grads = torch.autograd.grad(tensor, parameters, seed, allow_unused=True)
    for name, parameter, grad in zip(names, parameters, grads, strict=True):
        found[f"gradient of {name}"] = torch.zeros_like(parameter) if grad is None else grad
    return found
