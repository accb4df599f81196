"""Schedules at points computed by hand."""
import math

import numpy as np
import pytest

from minimoe import Tensor
from minimoe.optim import SGD, Constant, InverseSqrt, WarmupCosine, WarmupLinear


def optimiser(lr=0.8):
    return SGD([Tensor(np.ones(1), requires_grad=True)], lr=lr)


POINTS = [
    (lambda o: WarmupLinear(o, 4, 12), {1: 0.2, 2: 0.4, 4: 0.8, 5: 0.7, 8: 0.4, 11: 0.1, 12: 0.0, 99: 0.0}),
    (lambda o: WarmupLinear(o, 0, 4), {1: 0.6, 2: 0.4, 4: 0.0}),
    (lambda o: WarmupLinear(o, 0, 1), {1: 0.0, 2: 0.0}),
    (lambda o: WarmupLinear(o, 3, 3), {1: 0.8 / 3, 3: 0.8, 4: 0.0}),
    (lambda o: WarmupCosine(o, 4, 12), {1: 0.2, 4: 0.8, 6: 0.4 * (1 + math.sqrt(0.5)), 8: 0.4, 12: 0.0, 13: 0.0}),
    (lambda o: InverseSqrt(o, 1), {1: 0.8, 4: 0.4, 16: 0.2}),
    (lambda o: InverseSqrt(o, 4), {1: 0.2, 4: 0.8, 16: 0.4, 64: 0.2}),
    (lambda o: Constant(o, 4), {1: 0.2, 3: 0.6, 4: 0.8, 1000: 0.8}),
    (lambda o: Constant(o), {1: 0.8, 2: 0.8}),
]


@pytest.mark.parametrize("make, points", POINTS)
def test_rates_at_hand_computed_steps(make, points):
    schedule = make(optimiser())
    for t, rate in points.items():
        assert schedule.lr_at(t) == pytest.approx(rate, abs=1e-12), t


@pytest.mark.parametrize("make, points", POINTS)
def test_the_rate_in_force_at_step_t_is_that_of_t_starting_with_1(make, points):
    o = optimiser()
    schedule = make(o)
    used = []
    for _ in range(13):
        used.append(o.lr)                           # what optimiser.step() number t sees
        schedule.step()
    assert used == [schedule.lr_at(t) for t in range(1, 14)]


def test_lr_at_changes_nothing():
    o = optimiser()
    schedule = WarmupLinear(o, 4, 12)
    schedule.lr_at(7)
    assert o.lr == schedule.lr_at(1) and schedule.state_dict()["t"] == 1


def test_groups_keep_the_proportion_of_their_rates():
    a, b = (Tensor(np.ones(1), requires_grad=True) for _ in range(2))
    o = SGD([{"params": [a]}, {"params": [b], "lr": 0.1}], lr=1.0)
    schedule = Constant(o, 4)
    schedule.step()
    assert [group["lr"] for group in o.param_groups] == [0.5, 0.05]


def test_a_loaded_state_continues_even_over_an_optimiser_whose_rate_is_half_way():
    one, two = optimiser(), optimiser(lr=0.123)
    schedule = WarmupCosine(one, 4, 12)
    for _ in range(6):
        schedule.step()
    resumed = WarmupCosine(two, 4, 12)
    resumed.load_state_dict(schedule.state_dict())
    assert two.lr == one.lr
    schedule.step()
    resumed.step()
    assert two.lr == one.lr == schedule.lr_at(8)


def test_the_state_of_other_groups_is_refused():
    with pytest.raises(ValueError, match="2 groups, the optimiser has 1"):
        Constant(optimiser()).load_state_dict({"t": 3, "first_rates": [0.1, 0.2]})


@pytest.mark.parametrize("make, match", [
    (lambda o: Constant(o, -1), "Constant: warmup_steps is -1"),
    (lambda o: Constant(o, math.inf), "Constant: warmup_steps is inf"),
    (lambda o: InverseSqrt(o, float("nan")), "InverseSqrt: warmup_steps is nan"),
    (lambda o: InverseSqrt(o, 0), "InverseSqrt: warmup_steps is 0"),
    (lambda o: WarmupLinear(o, 5, 4), "WarmupLinear: total_steps is 4"),
    (lambda o: WarmupCosine(o, 0, 0), "WarmupCosine: total_steps is 0"),
    (lambda o: Constant(o).lr_at(0), "t is 0"),
])
def test_steps_that_make_no_schedule_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make(optimiser())
