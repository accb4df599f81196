"""Twenty training steps of a small encoder here and in PyTorch: equal losses, gradient norms and parameters.

Everything that a step is made of runs in both libraries: forward, auxiliary losses, backward, clipping, schedule,
AdamW with a group that does not decay. The model in torch is torch_twin.py, written apart from ours.
"""
import numpy as np
import pytest

from minimoe import optim
from minimoe.models import EncoderConfig, SequenceClassifier

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402  needs torch

STEPS, WARMUP, LIMIT = 20, 4, 1e-9
CONFIG = EncoderConfig(vocab_size=30, n_classes=3, d_model=16, n_layers=2, n_heads=2, d_ff=24, n_experts=4,
                       max_length=10, dropout=0.0)
MODELS = {"dense": ({"n_experts": 0}, None), "Switch": ({"router": "switch"}, 1),
          "top-2": ({"router": "topk", "router_options": {"k": 2}}, 2), "DA-MoE": ({"router": "da"}, "da")}


def batches():
    """ids with padding, labels and segments: the class is the most frequent of three words."""
    random = np.random.default_rng(1)
    for _ in range(STEPS):
        ids = random.integers(1, 30, (8, 10))
        ids[np.arange(10) >= random.integers(3, 11, (8, 1))] = 0
        segments = (np.arange(10) >= 5) & (ids > 0)
        yield ids, np.array([[(row % 3 == c).sum() for c in range(3)] for row in ids]).argmax(1), segments.astype(int)


def train(model, optimiser, schedule, clip, as_batch):
    """(loss, gradient norm) of every step."""
    history = []
    for ids, labels, segments in batches():
        optimiser.zero_grad()
        loss = model.loss(*(as_batch(a) for a in (ids, labels)), segments=as_batch(segments))
        loss.backward()
        norm = clip(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        history.append((loss.item(), float(norm)))
    return np.array(history)


def groups(model):
    """Biases and norms do not decay."""
    named = list(model.named_parameters())
    return [{"params": [p for name, p in named if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for name, p in named if p.ndim == 1], "weight_decay": 0.0}]


@pytest.mark.parametrize("name", MODELS)
def test_twenty_steps_equal_those_of_torch(name):
    changes, k = MODELS[name]
    config = EncoderConfig.from_dict(CONFIG.to_dict() | changes)
    ours = SequenceClassifier(config, rng=0).to(dtype="float64")
    theirs = torch_twin.carry_over(ours, torch_twin.Classifier(config, k))

    mine = optim.AdamW(groups(ours), lr=0.02)
    history = train(ours, mine, optim.WarmupLinear(mine, WARMUP, STEPS), optim.clip_grad_norm_, np.asarray)
    torchs = torch.optim.AdamW(groups(theirs), lr=0.02)
    rates = torch.optim.lr_scheduler.LambdaLR(
        torchs, lambda done: min((done + 1) / WARMUP, (STEPS - done - 1) / (STEPS - WARMUP)))
    expected = train(theirs, torchs, rates, torch.nn.utils.clip_grad_norm_, torch.tensor)

    np.testing.assert_allclose(history, expected, rtol=LIMIT)
    assert (history[:, 1] > 1).any()                                # clipping was at work
    parameters = dict(theirs.named_parameters())
    for path, p in ours.named_parameters():
        np.testing.assert_allclose(p.data, parameters[path].detach().numpy(), atol=1e-7, err_msg=path)
