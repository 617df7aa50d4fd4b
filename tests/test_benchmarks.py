"""The benchmarks' machinery at tiny sizes; no time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import adqc
from adqc.engine.statevector import run_gates
from benchmarks import __main__ as command
from benchmarks import growth, layers, planning, render, weights
from benchmarks.factorized import nearest_train
from benchmarks.lines import Line, in_words, make_table, middle, short_rows
from benchmarks.peers import PEERS
from benchmarks.timing import Setup, held_bytes, medians, peak_bytes, training_step

CPU = torch.device("cpu")
SMALL = Setup(CPU, calls=1, budget=0.0, small=True)


def line(**options):
    return Line(**{"row": 1, "work": "w", "against": "other", "ours": 2.0, "theirs": 8.0, **options})


def test_a_ratio_is_met_in_the_direction_of_its_target():
    assert line(at_least=4).ratio == 4
    assert line(at_least=4).met is True
    assert line(at_least=5).met is False
    assert line(at_most=0.25).ratio == 0.25
    assert line(at_most=0.25).met is True
    assert line(at_most=0.2).met is False
    assert line(theirs=None, at_least=5).met is None


def test_the_end_names_what_falls_short_and_what_was_not_compared():
    missing = line(row=3, theirs=None, at_least=5, note="did not run: ImportError")
    said = short_rows([line(at_least=4), line(row=2, at_least=5), missing])
    assert [sentence.split(",")[0] for sentence in said] == ["row 2", "row 3"]
    assert "ImportError" in said[1]


def test_a_line_survives_the_json():
    one = line(at_most=0.05, unit="bytes", note="peak")
    assert Line.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_figures_in_words():
    found = [in_words(2.5e-3, "s"), in_words(1.5, "s"), in_words(3 * 2**20, "bytes"), in_words(None, "s")]
    assert found == ["2.5 ms", "1.5 s", "3 MiB", "–"]


def test_every_side_is_called_often_enough():
    calls = {"a": 0, "b": 0}

    def count(name):
        calls[name] += 1

    found = medians({name: lambda name=name: count(name) for name in calls}, Setup(CPU, calls=5, budget=0.0))
    assert set(found) == set(calls)
    assert min(calls.values()) >= 6


def test_memory_counts_gradients_and_outputs():
    layer, x = nn.Linear(256, 256, bias=False), torch.randn(64, 256)
    gradient, output = 4 * 256 * 256, 4 * 64 * 256
    assert held_bytes(layer) == gradient
    assert gradient <= peak_bytes(training_step(layer, x), CPU) <= gradient + 3 * output


def test_numpy_s_memory_is_counted():
    assert 2**20 <= peak_bytes(lambda: np.empty(2**20, dtype=np.int8), CPU) < 2**21


def test_the_table_of_the_weights_has_every_side(monkeypatch):
    def broken(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr(weights, "load_peer", broken)
    lines = [*weights.peers(SMALL), *weights.floor(SMALL), *weights.deep(SMALL)]
    assert sum(one.met is None for one in lines) == 2 * len(PEERS)
    assert all(one.ours > 0 for one in lines)
    assert [one.row for one in lines if one.met is not None] == [1, 1, 2, 2, *[3] * 20, 9, 9]
    assert make_table(lines, "all").row_count == len(lines)


def test_a_peer_that_is_wrong_is_not_timed(monkeypatch):
    wall = weights.make_wall(SMALL, 4)
    for name, factor in (("amplitudes", 1.001), ("gradients", 1.0)):

        def prepare(wall, factor=factor):
            def run(gates):
                state = factor * run_gates(gates, wall.wiring)
                # The value of one, the gradient of another.
                return state if factor != 1 else state + 1e-3 * (state - state.detach())

            return run

        monkeypatch.setattr(weights, "load_peer", lambda _, prepare=prepare: prepare)
        with pytest.raises(ArithmeticError, match=name):
            weights.peer_step("any", wall)


def test_the_table_of_the_layers_has_every_row():
    lines = [*layers.linear(SMALL), *layers.networks(SMALL)]
    assert sorted({one.row for one in lines}) == [4, 5, 6, 7, 8, 12]
    assert all(one.met is not None for one in lines)


def test_every_row_has_a_section():
    assert sorted(row for rows in command.SECTIONS.values() for row in rows) == list(range(1, 15))


def test_the_train_with_the_nearest_size_is_taken():
    # Cores of 4 on a side: two of 4 · 4 · rank entries at the ends, the others of 4 · 4 · rank².
    assert nearest_train(1024, 2 * 16 * 2 + 3 * 16 * 4) == ((4,) * 5, 2)
    assert nearest_train(4096, 4 * 64) == ((8,) * 4, 1)
    assert nearest_train(4096, 4 * 64, least=2)[1] == 2


def test_slopes_and_plots_follow_from_the_figures(tmp_path):
    one = growth.Series("depth", "adqc", (2, 4, 8, 16), tuple(1e-3 * n**1.5 for n in (2, 4, 8, 16)))
    assert one.slope == pytest.approx(1.5)
    assert growth.Series.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    first, second = (growth.draw([one], tmp_path / name)[0].read_bytes() for name in "ab")
    assert first == second
    assert b"slope 1.50" in first


def test_one_part_written_keeps_the_other(tmp_path):
    path = tmp_path / "cpu.json"
    command.write(path, "table", [line(at_least=4).to_dict(), line(row=2, at_least=5).to_dict()], 2, 1.0)
    command.write(path, "growth", [growth.Series("batch", "a", (1, 2), (1.0, 2.0)).to_dict()], 2, 1.0)
    assert set(json.loads(path.read_text())) == {"table", "growth"}
    page = render.table_page(tmp_path)
    assert "| 1 | w | other | 2 s | 8 s | 4× | ≥ 4× | yes |" in page
    assert "1 of 2 lines meet" in page
    assert "bench-batch.svg" in page


def test_another_machine_is_shown_where_it_comes_out_otherwise(tmp_path):
    command.write(
        tmp_path / "cpu.json", "table", [line(at_least=4).to_dict(), line(row=2, at_least=5).to_dict()], 2, 1.0
    )
    slow = line(at_least=4, ours=4.0).to_dict()
    (tmp_path / "slow").mkdir()
    command.write(tmp_path / "slow" / "cpu.json", "table", [slow, line(row=2, at_least=5).to_dict()], 2, 1.0)
    page = render.table_page(tmp_path)
    assert "There 0 of 2 lines meet their targets" in page
    assert page.count("| 1 | w | other | ≥ 4× | 4×, yes | 2×, no |") == 1
    assert "| 2 | w | other | " not in page.split("Another machine")[1]
    more = line(row=3, at_least=4).to_dict()
    command.write(tmp_path / "slow" / "cpu.json", "table", [slow, more], 2, 1.0)
    there = render.table_page(tmp_path).split("Another machine")[1]
    assert "There 1 of 2 lines meet their targets (1 of those above were not timed)" in there
    assert "| 3 | w | other | 2 s | 8 s | 4× | ≥ 4× | yes |" in there.split("These were timed there alone:")[1]
    assert "| 1 | w | other | 2 s" not in there


def test_the_page_is_what_the_figures_say():
    root = Path(__file__).parents[1]
    assert (root / "docs/benchmarks-table.md").read_text(encoding="utf-8") == render.table_page()
    held = render.read(render.RESULTS / "cpu.json").get("growth", {"lines": []})
    plots = {one["plot"] for one in held["lines"]}
    assert {path.stem for path in (root / "docs/pictures").glob("bench-*.svg")} == {f"bench-{plot}" for plot in plots}


def test_plans_and_growth_are_measured():
    lines = list(planning.planning(SMALL))
    assert [one.row for one in lines] == [11, 11]
    assert all("depth" in one.note for one in lines)
    series = list(growth.grow(SMALL))
    assert {one.plot for one in series} == set(growth.TITLES)
    assert all(len(one.sizes) == len(one.seconds) == 2 for one in series)


def test_a_deep_circuit_takes_no_more_than_six_states():
    # Row 9, forward and backward.
    wall = adqc.BrickWall((1024, 1024), adqc.Circuit(depth=64))
    seed, parameters = torch.ones(1024, 1024), list(wall.parameters())
    assert peak_bytes(lambda: torch.autograd.grad(wall(), parameters, seed), CPU) <= 6 * 4 * 2**20


def test_of_some_rounds_the_median_counts():
    rounds = [line(ours=ours, theirs=theirs, at_most=1.3) for ours, theirs in ((2.0, 2.0), (4.0, 3.0), (2.5, 2.0))]
    found = middle(rounds)
    assert (found.ours, found.theirs) == (2.5, 2.0)
    assert found.met
    assert found.cells()[5] == "1.25× (1 to 1.33)"
    assert Line.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert middle(rounds[:1]) == rounds[0]
    assert middle([line(theirs=None)] * 3) == line(theirs=None)


def test_no_round_at_all_is_refused_in_a_sentence(capsys):
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])
    assert "at least once, got 0" in capsys.readouterr().err
