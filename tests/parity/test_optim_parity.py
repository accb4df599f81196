"""Optimisers, clipping and schedules against PyTorch's, over 50 steps on the same gradients.

A schedule of ours has set the rate of step 1 when it is made, as a torch scheduler has, and a torch scheduler counts
the steps that are done: its epoch is our t - 1.
"""
import math

import numpy as np
import pytest

from minimoe import Tensor, optim

torch = pytest.importorskip("torch")

SHAPES = ((5, 3), (7,), (), (2, 3, 4))
CHOICES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.3}),
]


def pairs(dtype, seed=0):
    """The same parameters as minimoe tensors and as torch ones."""
    random = np.random.default_rng(seed)
    values = [np.array(random.standard_normal(shape), dtype) for shape in SHAPES]
    return ([Tensor(v.copy(), requires_grad=True) for v in values],
            [torch.tensor(v, requires_grad=True) for v in values])


def give(ours, theirs, gradients):
    for p, q, g in zip(ours, theirs, gradients, strict=True):
        p.grad = None if g is None else g.copy()
        q.grad = None if g is None else torch.tensor(g)


def draw(random, dtype):
    return [np.array(random.standard_normal(shape), dtype) for shape in SHAPES]


@pytest.mark.parametrize("name, options", CHOICES)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_fifty_steps_equal_those_of_torch(name, options, dtype, tolerance):
    ours, theirs = pairs(dtype)
    mine, torchs = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    random = np.random.default_rng(1)
    for step in range(50):
        gradients = draw(random, dtype)
        if step % 7 == 3:
            gradients[step % 4] = None              # skipped by both: its bias correction must lag too
        give(ours, theirs, gradients)
        mine.step()
        torchs.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_with_their_own_options_equal_those_of_torch(name):
    ours, theirs = pairs(np.float64)

    def groups(ps):
        return [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.001, "weight_decay": 0.5}]

    mine, torchs = (getattr(library, name)(groups(ps), lr=0.01, weight_decay=0.0)
                    for library, ps in ((optim, ours), (torch.optim, theirs)))
    random = np.random.default_rng(2)
    for _ in range(50):
        give(ours, theirs, draw(random, np.float64))
        mine.step()
        torchs.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("limit", [0.0, 0.5, 100.0])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_clipping_equals_that_of_torch(limit, dtype, tolerance):
    ours, theirs = pairs(dtype)
    give(ours, theirs, [*draw(np.random.default_rng(3), dtype)[:-1], None])
    norm = optim.clip_grad_norm_(ours, limit)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit)
    assert norm == pytest.approx(float(expected), rel=tolerance)
    assert ours[-1].grad is None
    for p, q in zip(ours[:-1], theirs, strict=False):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=tolerance)


def after_warmup(optimiser, warmup, then):
    """torch's linear warm-up from 1/warmup to 1, then `then`, which starts when the rate is whole."""
    rising = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / warmup, 1.0, total_iters=warmup - 1)
    return torch.optim.lr_scheduler.SequentialLR(optimiser, [rising, then], milestones=[warmup - 1])


W, T = 5, 20
SCHEDULES = {
    "Constant": (lambda o: optim.Constant(o, W),
                 lambda o, s: after_warmup(o, W, s.ConstantLR(o, 1.0))),
    "Constant without warm-up": (optim.Constant, lambda o, s: s.ConstantLR(o, 1.0)),
    "WarmupLinear": (lambda o: optim.WarmupLinear(o, W, T),
                     lambda o, s: after_warmup(o, W, s.LinearLR(o, 1.0, 0.0, total_iters=T - W))),
    "WarmupCosine": (lambda o: optim.WarmupCosine(o, W, T),
                     lambda o, s: after_warmup(o, W, s.CosineAnnealingLR(o, T - W))),
    "WarmupCosine without warm-up": (lambda o: optim.WarmupCosine(o, 0, T),     # at t = 1 one step is behind us
                                     lambda o, s: s.LambdaLR(o, lambda e: (1 + math.cos(math.pi * (e + 1) / T)) / 2)),
    "InverseSqrt": (lambda o: optim.InverseSqrt(o, W),
                    lambda o, s: s.LambdaLR(o, lambda e: min((e + 1) / W, math.sqrt(W / (e + 1))))),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_of_a_schedule_equal_those_of_a_torch_scheduler(name):
    make, make_torch = SCHEDULES[name]
    ours, theirs = pairs(np.float64)
    mine, torchs = optim.SGD(ours, lr=0.3), torch.optim.SGD(theirs, lr=0.3)
    schedule, scheduler = make(mine), make_torch(torchs, torch.optim.lr_scheduler)
    for t in range(1, T + 1):
        assert mine.lr == pytest.approx(torchs.param_groups[0]["lr"], rel=1e-12, abs=1e-16), t
        mine.step()
        torchs.step()
        schedule.step()
        scheduler.step()
