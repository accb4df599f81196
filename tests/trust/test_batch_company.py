"""What a sample is batched with, how often a model runs and on how many threads change nothing that matters."""
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from random_models import build, draw
from threadpoolctl import threadpool_limits

from minimoe import no_grad
from minimoe.models import EncoderConfig, SequenceClassifier

DROPLESS = {"capacity": None, "eval_capacity": None}


def gradients(model, ids, mask, segments, upstream):
    """(hidden states, name -> gradient) for sum(hidden * upstream)."""
    model.zero_grad()
    hidden = model(ids, mask, segments).hidden
    (hidden * upstream).sum().backward()
    return hidden.data, {name: np.zeros(p.shape) if p.grad is None else p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("block", range(5))
def test_a_samples_output_and_gradients_do_not_depend_on_what_it_is_batched_with(block):
    """60 random models of every router, dropless and with groups of one sample: alone, and as the second of three."""
    for seed in range(block, 60, 5):
        config, training, ids, mask, segments = draw(seed)
        group = {"group": "sample"} if "group" in config.router_options else {}
        config = replace(config, router_options=config.router_options | DROPLESS | group)
        model = build(config, seed)[0].train(training)
        mask = (ids != 0) if mask is None else mask
        random = np.random.default_rng(seed)
        others = [np.concatenate([a[:1], a[-1:], a[:1]]) for a in (ids, mask, segments)]
        others[0][0] = random.integers(0, config.vocab_size, ids.shape[1])
        upstream = np.zeros((3, ids.shape[1], config.d_model))
        upstream[1] = random.standard_normal(upstream.shape[1:])
        alone, expected = gradients(model, ids[-1:], mask[-1:], segments[-1:], upstream[1:2])
        hidden, found = gradients(model, *others, upstream)
        np.testing.assert_allclose(hidden[1], alone[0], rtol=1e-12, atol=1e-12, err_msg=f"model {seed}")
        for name, gradient in found.items():
            scale = max(np.abs(expected[name]).max(initial=0), 1)
            np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=1e-10 * scale,
                                       err_msg=f"model {seed}, {name}")


def test_one_thread_and_two_agree_to_a_millionth():
    """Wide enough that the matrix library shares its products out."""
    config = EncoderConfig(vocab_size=500, d_model=256, n_layers=2, d_ff=512, max_length=64)
    model, ids = SequenceClassifier(config).eval(), np.random.default_rng(0).integers(1, 500, (16, 64))
    outputs = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"), no_grad():
            outputs.append(model(ids))
    one, two = outputs
    assert [r.k.tolist() for r in one.routings] == [r.k.tolist() for r in two.routings]
    np.testing.assert_allclose(two.hidden.data, one.hidden.data, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(two.logits.data, one.logits.data, rtol=1e-6, atol=1e-6)


RUN = """
import hashlib
from dataclasses import replace
from small import CONFIG, small_task
from minimoe.training import Trainer
trainer = Trainer(replace(CONFIG, max_steps=10, epochs=2), small_task(), progress=False)
trainer.run()
print(hashlib.sha256(b"".join(value.tobytes() for value in trainer.model.state_dict().values())).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_whose_sets_have_another_order_train_to_the_same_bits():
    path = os.pathsep.join(folder for folder in sys.path if folder)
    weights = [subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True,
                              env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}).stdout for seed in "12"]
    assert weights[0] == weights[1] and len(weights[0].strip()) == 64
