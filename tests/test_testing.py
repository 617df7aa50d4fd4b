"""The suite for a user's own circuits: it covers every route, and sees what is wrong."""

import pytest
import torch

import adqc
from adqc import BrickWall, Circuit
from adqc.config import ROUTES
from adqc.testing import RouteSuite


def wrong_weight(monkeypatch):
    """Compressed layers use a weight that is off by little."""
    true = adqc.nn._weight
    monkeypatch.setattr(adqc.nn.Linear, "weight", property(lambda layer: true(layer) * (1 + 1e-8)))


class TestMine(RouteSuite):
    """As the documentation has it."""

    @pytest.fixture(params=[(6, 10), (4, 3, 3), (2, 3, 2, 2), (2, 2, 2, 2, 2)], ids=str)
    def wall(self, request):
        return BrickWall(request.param, Circuit(depth=3))


def test_each_route_of_the_engine_has_a_test_of_its_own():
    tests = {name: test for name, test in vars(RouteSuite).items() if name.startswith("test_")}
    for route in set(ROUTES) - {"auto", "gates"}:
        assert tests[f"test_{route.replace('-', '_')}"].__doc__.startswith(f"The route '{route}'")
    assert {"test_own_route", "test_output", "test_pennylane", "test_quimb", "test_gates", "test_state"} <= set(tests)


def test_a_layer_with_another_weight_than_its_circuits_is_seen(monkeypatch):
    wrong_weight(monkeypatch)
    with pytest.raises(AssertionError, match="differs by"):
        RouteSuite().test_output(BrickWall((6, 10), dtype=torch.float64))


def test_a_wall_that_no_layer_can_have_says_so():
    with pytest.raises(pytest.skip.Exception, match=r"no layer of adqc\.nn has a weight of shape \(5,\)"):
        RouteSuite().test_output(BrickWall((5,)))


def test_a_wall_whose_pieces_are_far_larger_than_its_weight_says_so():
    with pytest.raises(pytest.skip.Exception, match="far larger than its weight"):
        RouteSuite().test_matrix_free(BrickWall((16, 16), Circuit(depth=24)))


def test_the_wall_is_left_alone():
    wall = BrickWall((4, 4))
    before = [parameter.clone() for parameter in wall.parameters()]
    RouteSuite().test_output(wall)
    for own, kept in zip(wall.parameters(), before, strict=True):
        assert torch.equal(own, kept)
        assert own.grad is None
