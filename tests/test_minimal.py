"""The minimal form of a staircase of wide gates: exact both ways, as few numbers as the states have dimensions."""

import pytest
import torch

from adqc.brickwall import BrickWall
from adqc.config import Circuit, Fit
from adqc.experiments.depths import choose_widths, dimension, stored
from adqc.fit import fit_
from adqc.minimal import from_minimal_, has_minimal_form, minimal_size, to_minimal
from adqc.selection import circuit_size

KINDS = [("o8", 1), ("o8", 2), ("o16", 1), ("o16", 2), ("o16", 3), ("o32", 3)]


def make(gate="o8", stride=1, shape=(12, 30), **options):
    config = Circuit(depth=1, gate=gate, wiring="staircase", stride=stride, **options)
    return BrickWall(shape, config, dtype=torch.float64)


@pytest.mark.parametrize(("gate", "stride"), KINDS)
@pytest.mark.parametrize("layout", ["interleaved", "grouped"])
def test_numbers_go_out_and_in(gate, stride, layout):
    wall = make(gate, stride, layout=layout)
    numbers = to_minimal(wall)
    assert len(numbers) == minimal_size(wall.wiring) < wall.parameter_count
    assert numbers[:-1].abs().max() <= 1
    again = from_minimal_(make(gate, stride, layout=layout), numbers)
    torch.testing.assert_close(again("gates"), wall("gates"), rtol=0, atol=1e-11)
    # They are the same for all of a state's coordinates: another basis of what a gate meets changes nothing.
    torch.testing.assert_close(to_minimal(again), numbers, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("gate", "stride"), [("o8", 1), ("o8", 2), ("o16", 2)])
def test_they_are_no_more_than_a_few_beyond_the_dimension_of_the_states(gate, stride):
    wall = make(gate, stride, shape=(2**7,))

    def state(gates):
        return wall.build(gates, wall.scale, route="gates")

    jacobian = torch.func.jacrev(state)(wall.gates.detach())
    rank = torch.linalg.matrix_rank(jacobian, rtol=1e-10).item() + 1
    last = wall.wiring.gates[-1]
    # The last gates' outputs meet the end of the chain: some of their numbers say nothing new.
    assert rank <= minimal_size(wall.wiring) <= rank + 4 ** len(last)
    assert minimal_size(wall.wiring) < wall.parameter_count


def test_other_circuits_and_numbers_get_one_sentence():
    assert not has_minimal_form(Circuit())
    for other in (Circuit(), Circuit(gate="o8", depth=2, wiring="staircase"), Circuit(gate="o8", depth=1)):
        with pytest.raises(ValueError, match="one staircase of 'o8' to 'o64' gates"):
            to_minimal(BrickWall((16, 16), other))
    wall = make()
    before = wall().detach()
    good = to_minimal(wall)
    for bad in (good[:-1], torch.full_like(good, torch.nan), torch.ones_like(good)):
        with pytest.raises(ValueError, match=r"finite numbers|no circuit"):
            from_minimal_(wall, bad)
        assert torch.equal(wall(), before)


@pytest.mark.parametrize(("gate", "stride"), KINDS)
def test_stage_1_finds_a_staircase_again(gate, stride):
    for shape in ((16, 32), (12, 30)):
        target = 3 * make(gate, stride, shape).forward().detach()
        wall = make(gate, stride, shape)
        result = fit_(wall, target, fit=Fit(sweeps=60, tolerance=1e-12))
        whole = shape == (16, 32)
        # What a crop hides is filled in round by round.
        assert result.relative_error < (1e-20 if whole else 1e-2)
        assert all(after < before for before, after in zip(result.history[1:], result.history[2:], strict=False))
        if whole:
            torch.testing.assert_close(wall(), target, rtol=0, atol=1e-9)


def test_a_fit_to_noise_is_better_than_the_start_and_wider_gates_fit_better():
    target = torch.randn(16, 64, dtype=torch.float64)
    errors = [fit_(make(gate, 1, (16, 64)), target).relative_error for gate in ("o8", "o16", "o32")]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 1


def test_wide_gates_fill_a_budget_from_below():
    shapes = {"fc1": (120, 400), "fc2": (84, 120)}
    before = 0
    for budget in (300, 600, 1200, 2400):
        configs = choose_widths(budget, shapes, {})
        sizes = [minimal_size(circuit_size(shapes[name], config)[0]) for name, config in configs.items()]
        assert before < sum(sizes) <= budget
        before = sum(sizes)
        walls = [BrickWall(shapes[name], config) for name, config in configs.items()]
        assert sizes == [stored(wall) for wall in walls] == [dimension(wall) for wall in walls]
    with pytest.raises(ValueError, match=r"at least \d+ parameters, not 50"):
        choose_widths(50, shapes, {})
