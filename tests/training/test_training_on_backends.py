"""Twenty steps of training on every backend follow NumPy's losses."""
from dataclasses import replace

import numpy as np
import pytest
from small import CONFIG, small_task

from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.optim import AdamW, WarmupLinear, clip_grad_norm_
from minimoe.training import Trainer

STEPS = 20


def model_losses(backend: str, dtype: str, model_class=SequenceClassifier, **options) -> list[float]:
    """The losses of 20 steps of a small encoder on random batches with padding and dropout."""
    config = EncoderConfig(30, d_model=16, n_layers=2, n_heads=2, d_ff=16, max_length=9, **{"n_experts": 4, **options})
    model = model_class(config, rng=0).to(dtype=dtype).to(backend=backend)
    optimiser = AdamW(model.parameters(), lr=3e-3)
    schedule = WarmupLinear(optimiser, 4, STEPS)
    random, losses = np.random.default_rng(0), []
    for _ in range(STEPS):
        ids = random.integers(1, 30, (4, 9))
        mask = np.arange(9) < random.integers(1, 10, 4)[:, None]
        labels = ids[:, 0] % 2 if model_class is SequenceClassifier else np.where(ids % 3 == 0, ids, -100)
        loss = model.loss(ids, labels, mask=mask)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-4), ("float64", 1e-9)])
def test_twenty_steps_follow_numpy(dtype, tolerance, backend):
    expected = model_losses("numpy", dtype)
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(model_losses(backend, dtype), expected, rtol=tolerance)


@pytest.mark.parametrize("options", [
    {"router_options": {"allocation": "budget", "mean_experts": 2.0, "measure": "colmax"}}, {"router": "switch"},
    {"router": "topk", "activation": "geglu"}, {"n_experts": 0, "activation": "relu"}, {"moe_every": 2},
    {"router_options": {"soft_importance": True}, "activation": "gelu_tanh"}], ids=str)
def test_other_models_follow_numpy_too(options, backend):
    np.testing.assert_allclose(model_losses(backend, "float64", **options),
                               model_losses("numpy", "float64", **options), rtol=1e-9)


def test_masked_language_model_follows_numpy(backend):
    np.testing.assert_allclose(model_losses(backend, "float64", MaskedLanguageModel),
                               model_losses("numpy", "float64", MaskedLanguageModel), rtol=1e-9)


def test_the_trainer_scores_and_counts_as_on_numpy(backend):
    def figures(backend):
        config = replace(CONFIG, max_steps=6, backend=backend)
        return Trainer(config, small_task(), progress=False).train()

    found, expected = figures(backend), figures("numpy")
    assert found["backend"] == backend
    for name in ("score", "mean_experts_per_token", "k_histogram", "expert_load", "validation_score"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3)


def test_a_router_that_meets_nan_is_named_and_skipping_goes_on(backend):
    def model(**options):
        made = SequenceClassifier(EncoderConfig(20, d_model=8, n_layers=2, n_heads=2, d_ff=8, n_experts=4, max_length=8,
                                                router_options=options), rng=0).to(backend=backend)
        made.layers[1].moe.router.weight.data[0, 0] = np.nan
        return made

    ids = np.array([[2, 5, 7, 3], [2, 9, 3, 0]])
    with pytest.raises(FloatingPointError, match=r"layers\.1: route: router logits.* of 7 of 8 tokens are NaN"):
        model()(ids)
    assert model(on_nonfinite="skip")(ids).routings[1].stats["nonfinite"] == 7
