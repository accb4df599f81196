"""The edges of routing, continued: nothing to do, odd sizes, one expert, evaluation."""
from __future__ import annotations

import numpy as np
import pytest
from every_router import EVERY, ROUTERS, D, E, aux, backward, batch, layer_given, layer_of
from moe_oracle import gelu

from minimoe import Tensor
from minimoe.models import Encoder, EncoderConfig
from minimoe.moe import MoELayer, build_plan
from minimoe.moe.plan import scan_counts

# ---- row: A = 0, N = 0

@EVERY
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_tokens_give_empty_arrays_of_the_right_shape_and_type_and_gradients_of_zero(name, shape, dtype):
    layer = layer_of(name, dtype=dtype, capacity=1.0)
    y, routing, gx = backward(layer, np.zeros((*shape, D), dtype), np.zeros(shape, dtype))
    assert y.shape == gx.shape == (*shape, D) and y.dtype == gx.dtype == routing.gates.dtype == dtype
    plan = routing.plan
    assert [a.shape for a in (plan.expert, plan.perm, plan.inv, plan.token, routing.gates)] == [(0,)] * 5
    assert plan.row_ptr.tolist() == [0] and plan.offsets.tolist() == [0] * (E + 1) and routing.k.shape == (0,)
    assert {a.dtype for a in vars(plan).values()} == {np.dtype("int32")}
    assert routing.logits.shape == routing.probabilities.shape == (0, E) and aux(routing) == [0, 0, 0]
    assert all(not p.grad.any() for p in layer.parameters() if p.requires_grad) and routing.stats["mean_k"] == 0


@EVERY
def test_no_assignments_give_an_output_of_zeros(name):
    x, importance, mask = batch(lengths=(2, 2))
    y, routing = layer_of(name, dtype="float32")(Tensor(x.astype(np.float32)), 0 * importance, ~mask)
    assert y.data.shape == x.shape and y.dtype == np.float32 and not y.data.any() and routing.plan.expert.size == 0


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0, 0)], ids=str)
def test_a_model_takes_a_batch_without_tokens(shape):
    model = Encoder(EncoderConfig(vocab_size=9, d_model=8, n_heads=2, d_ff=4, n_experts=4, n_layers=2))
    output = model(np.zeros(shape, int))
    (output.hidden.sum() + output.aux_loss).backward()
    assert output.hidden.shape == (*shape, 8) and output.aux_loss.item() == 0
    assert [r.stats["assignments"] for r in output.routings] == [0, 0]


# ---- row: float16

def test_float16_is_refused_by_tensors_and_by_models():
    with pytest.raises(TypeError, match="dtype float16 is not supported; use float32"):
        Tensor(np.zeros((2, 3), np.float16))
    with pytest.raises(TypeError, match="dtype float16 is not supported; use float32 or float64"):
        MoELayer(D, 5, E, "da", rng=0).to(dtype="float16")


# ---- row: E = 1

MORE_THAN_ONE = [name for name, (_, options) in ROUTERS.items() if {"k", "mean_experts"} & set(options)]


@pytest.mark.parametrize("name", [name for name in ROUTERS if name not in MORE_THAN_ONE])
def test_one_expert_has_probability_1_and_a_balance_loss_of_alpha_without_gradient(name):
    options = dict(k_max=1) if name in ("da affine", "da mass") else {}
    layer = layer_of(name, n_experts=1, balance_weight=0.5, z_weight=0.0, entropy_weight=0.0, **options)
    x, importance, mask = batch()
    _, routing, _ = backward(layer, x, importance, mask)
    assert (routing.probabilities.data == 1).all() and (routing.gates.data == 1).all()
    assert routing.k.tolist() == mask.reshape(-1).astype(int).tolist()
    assert routing.balance_loss.item() == 0.5 and not layer.router.weight.grad.any()


# ---- row: sizes that are no multiple of anything

@pytest.mark.parametrize("n_experts", [2, 3, 31, 33, 257, 300])
@pytest.mark.parametrize("d", [1, 7])
def test_odd_numbers_of_experts_and_odd_widths_equal_loops(n_experts, d):
    random = np.random.default_rng(n_experts)
    counts = random.integers(0, min(n_experts, 5) + 1, 9)
    layer = layer_given(counts, n_experts, d, 3)
    x = random.standard_normal((9, d))
    y, routing = layer(Tensor(x))
    e = layer.experts
    for i in range(9):
        z = layer.router.weight.data @ x[i]
        p = np.exp(z) / np.exp(z).sum()
        mine = sorted(range(n_experts), key=lambda expert: (-z[expert], expert))[:counts[i]]
        assert routing.plan.expert[routing.plan.row_ptr[i]:routing.plan.row_ptr[i + 1]].tolist() == mine
        expected = np.zeros(d)
        for j in mine:
            h = x[i] @ e.w1.data[j] + e.b1.data[j]
            expected += p[j] * (np.array([gelu(v) for v in h]) @ e.w2.data[j] + e.b2.data[j])
        np.testing.assert_allclose(y.data[i], expected, rtol=1e-9, atol=1e-12)


# ---- row: duplicate expert in one token

@EVERY
def test_no_token_ever_has_an_expert_twice(name):
    layer = layer_of(name)
    for seed in range(5):
        x, importance, mask = batch(lengths=(6, 4, 1), seed=seed)
        plan = layer(Tensor(x.round(1)), importance.round(1), mask)[1].plan
        pairs = list(zip(plan.token.tolist(), plan.expert.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)


def test_a_plan_in_which_a_token_has_an_expert_twice_is_refused():
    row_ptr = scan_counts(np.array([1, 3]))
    with pytest.raises(ValueError, match="token 1 has expert 2 twice"):
        build_plan(row_ptr, np.array([2, 2, 0, 2], np.int32), 3)
    build_plan(row_ptr, np.array([2, 2, 0, 1], np.int32), 3)


# ---- row: evaluation and training

@EVERY
def test_evaluation_has_no_noise_and_draws_nothing(name):
    layer = layer_of(name, jitter=0.3, gauss=1.0).eval()
    x, importance, mask = batch()
    plain = layer_of(name).eval()(Tensor(x), importance, mask)[0].data
    before = layer.router.noise.bit_generator.state
    for _ in range(2):
        np.testing.assert_array_equal(layer(Tensor(x), importance, mask)[0].data, plain)
    assert layer.router.noise.bit_generator.state == before
    layer.train()
    assert not np.array_equal(layer(Tensor(x), importance, mask)[0].data, plain)


def test_experts_drop_out_in_training_only():
    layer = MoELayer(D, 50, E, "switch", rng=0, dropout=0.5)
    x = Tensor(batch((4,), dtype="float32")[0])
    one, other = (layer(x)[0].data for _ in range(2))
    assert not np.array_equal(one, other)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x)[0].data)


@EVERY
def test_without_noise_training_and_evaluation_route_alike(name):
    layer = layer_of(name)
    x, importance, mask = batch()
    train = layer(Tensor(x), importance, mask)
    evaluation = layer.eval()(Tensor(x), importance, mask)
    np.testing.assert_array_equal(train[0].data, evaluation[0].data)
    assert train[1].k.tolist() == evaluation[1].k.tolist()


@pytest.mark.parametrize("name", [name for name in ROUTERS if name != "expert_choice"])
def test_every_real_token_gets_at_least_one_expert_by_default(name):
    x, importance, mask = batch(lengths=(6, 3, 1))
    k = layer_of(name)(Tensor(x), importance, mask)[1].k.reshape(mask.shape)
    assert (k[mask] >= 1).all() and not k[~mask].any()
