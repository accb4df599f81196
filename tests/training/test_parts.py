"""A batch computed in parts on threads gives what one thread gives."""
from dataclasses import replace

import numpy as np
import pytest

from minimoe.backend import blas_threads
from minimoe.models import EncoderConfig, MaskedLanguageModel, SequenceClassifier
from minimoe.streams import PartStream
from minimoe.training import PretrainConfig, Pretrainer, TrainConfig, Trainer
from minimoe.training.parts import Inputs, Parts, can_split
from minimoe.training.task import prepare_task

CONFIG = EncoderConfig(30, d_model=8, n_layers=2, n_heads=2, d_ff=12, n_experts=4, max_length=7, dropout=0.2)
ROUTERS = [("da", {}), ("da", {"measure": "shuffled(rowmax)", "jitter": 0.1}), ("da", {"measure": "random"}),
           ("da", {"allocation": "budget", "mean_experts": 2}), ("switch", {"balance_weight": 0.5}),
           ("topk", {"k": 2, "gauss": 0.5}), ("topp", {}), ("expert_choice", {"mean_experts": 2})]


def model_and_inputs(router="da", options=None, words=False, **config):
    random = np.random.default_rng(0)
    lengths = np.array([7, 3, 5, 1, 6, 4, 2])
    mask = np.arange(7) < lengths[:, None]
    ids = np.where(mask, random.integers(1, 30, (7, 7)), 0)
    labels = np.where(mask & (random.random(ids.shape) < 0.3), ids, -100) if words else random.integers(0, 2, 7)
    config = replace(CONFIG, router=router, router_options=options or {}, **config)
    model = (MaskedLanguageModel if words else SequenceClassifier)(config, rng=1).to(dtype="float64")
    return model, Inputs(ids, labels, mask)


def loss_of(model, inputs):
    output = model(inputs.ids, inputs.mask)
    return model.task_loss(output, inputs.labels), output


def whole(model, inputs):
    loss, output = loss_of(model, inputs)
    total = loss + output.aux_loss
    total.backward()
    return total.item()


def state_of(model):
    return [generator.bit_generator.state for _, generator in model.named_generators()]


@pytest.mark.parametrize("threads", [2, 3, 9])
@pytest.mark.parametrize("router, options", ROUTERS, ids=str)
@pytest.mark.parametrize("words", [False, True], ids=["class", "words"])
def test_loss_gradients_and_random_streams_are_those_of_the_whole_batch(router, options, words, threads):
    model, inputs = model_and_inputs(router, options, words)
    twin, _ = model_and_inputs(router, options, words)
    expected = whole(twin, inputs)
    with blas_threads(1):
        loss, routings = Parts(model, loss_of, threads).gradients(inputs)
    assert loss == pytest.approx(expected, rel=1e-12)
    for (name, p), (_, q) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12, err_msg=name)
    assert state_of(model) == state_of(twin)
    assert len(routings) == 2 * min(threads, 7)


def test_every_step_starts_from_fresh_gradients():
    model, inputs = model_and_inputs()
    parts = Parts(model, loss_of, 2)
    parts.gradients(inputs)
    state = state_of(model)
    first = [p.grad.copy() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for (_, generator), before in zip(model.named_generators(), state_of(model_and_inputs()[0]), strict=True):
        generator.bit_generator.state = before
    parts.gradients(inputs)
    assert all(np.array_equal(p.grad, g) for p, g in zip((p for p in model.parameters() if p.grad is not None), first,
                                                         strict=True))
    assert state_of(model) == state


def test_the_threads_see_an_update_of_the_weights():
    model, inputs = model_and_inputs()
    parts = Parts(model, loss_of, 2)
    before, _ = parts.gradients(inputs)
    for p in model.parameters():
        p.data[...] *= 1.5
    assert abs(parts.gradients(inputs)[0] - before) > 1e-3


def test_a_batch_without_targets_has_only_auxiliary_losses():
    model, inputs = model_and_inputs(words=True)
    nothing = replace(inputs, labels=np.full_like(inputs.labels, -100))
    twin, _ = model_and_inputs(words=True)
    assert Parts(model, loss_of, 2).gradients(nothing)[0] == pytest.approx(whole(twin, nothing), rel=1e-12)


def test_an_error_in_one_part_comes_out_and_no_thread_is_left_behind():
    model, inputs = model_and_inputs()
    done = []

    def fails_on_the_first(model, part):
        done.append(len(part.ids))
        if len(part.ids) == 3:
            raise FloatingPointError("layers.0: NaN")
        return loss_of(model, part)

    with pytest.raises(FloatingPointError, match="layers.0: NaN"):
        Parts(model, fails_on_the_first, 2).gradients(inputs)
    assert sorted(done) == [3, 4]


@pytest.mark.parametrize("router, options, config, splits", [
    ("da", {}, {}, True), ("switch", {"capacity": 1.0}, {}, False),
    ("da", {"allocation": "budget", "mean_experts": 2, "group": "batch"}, {}, False),
    ("da", {"allocation": "threshold", "threshold_shares": [0.5]}, {}, False),
    ("da", {}, {"expert_dropout": 0.1}, False)])
def test_a_batch_is_split_only_where_samples_do_not_depend_on_one_another(router, options, config, splits):
    assert can_split(model_and_inputs(router, options, **config)[0]) is splits


def test_a_matrix_library_that_cannot_be_held_to_one_thread_keeps_the_batch_whole(monkeypatch):
    monkeypatch.setattr("minimoe.training.parts.threadpool_info", lambda: [])
    assert not can_split(model_and_inputs()[0])


@pytest.mark.parametrize("shape", [(4, 3), (8, 5), (12,)])
@pytest.mark.parametrize("draw", ["random", "standard_normal", "uniform"])
def test_a_part_of_a_stream_is_that_part_of_the_whole_draw(draw, shape):
    bounds = (-1, 2) if draw == "uniform" else ()
    expected = getattr(np.random.default_rng(5), draw)(*bounds, (shape[0] * 3 // 2, *shape[1:]))
    found = []
    for first, end in ((0, 4), (4, 6)):             # six samples
        stream = PartStream()
        stream.bit_generator.state = np.random.default_rng(5).bit_generator.state
        stream.take(first, end, 6)
        found.append(getattr(stream, draw)(*bounds, (shape[0] // 4 * (end - first), *shape[1:])))
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_training_with_two_threads_follows_one_thread():
    base = TrainConfig(layers=2, d_model=16, heads=2, d_ff=16, experts=4, epochs=1, max_steps=2, threads=1)
    task = prepare_task(base)
    one, two = (Trainer(replace(base, threads=n), task, progress=False) for n in (1, 2))
    one.run()
    two.run()
    assert one.parts is None and two.parts is not None
    for (name, p), (_, q) in zip(one.model.named_parameters(), two.model.named_parameters(), strict=True):
        np.testing.assert_allclose(q.data, p.data, rtol=0, atol=2e-6, err_msg=name)


def test_pretraining_with_two_threads_follows_one_thread(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join("the small cat sat on the large mat and the dog ran to it" for _ in range(60)), "utf-8")
    base = PretrainConfig(text=(str(text),), layers=1, d_model=16, heads=2, d_ff=16, experts=4, epochs=1, max_steps=2,
                          max_length=16, batch_size=8, threads=1)
    one, two = (Pretrainer(replace(base, threads=n), progress=False) for n in (1, 2))
    one.run()
    two.run()
    for (name, p), (_, q) in zip(one.model.named_parameters(), two.model.named_parameters(), strict=True):
        np.testing.assert_allclose(q.data, p.data, rtol=0, atol=2e-6, err_msg=name)
