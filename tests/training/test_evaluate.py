"""Evaluation: the whole set at once, the same every time, experts counted by hand."""
from dataclasses import replace

import numpy as np
import pytest
from small import CONFIG, small_task

from minimoe.data import batches
from minimoe.models import SequenceClassifier
from minimoe.training import evaluate


@pytest.fixture(scope="module")
def model():
    model = SequenceClassifier(CONFIG.model_config(small_task().tokenizer.vocab_size, 2), rng=1)
    for p in model.parameters():                    # lively enough that predictions and K vary
        p.data[...] += np.random.default_rng(p.size).standard_normal(p.shape) * 0.2
    return model


def test_the_score_does_not_depend_on_the_batch_size(model):
    """Case G30 (apache/mxnet#9830, thunlp/Few-NERD#2, udacity/deep-learning-v2-pytorch#74, uclnlp/jack#174)."""
    results = [evaluate(model, small_task().test, ("accuracy", "f1"), size) for size in (1, 7, 40)]
    assert len({r.score for r in results}) == 1 and len({tuple(r.predictions) for r in results}) == 1
    for name in ("k_hist", "expert_load", "tokens"):
        assert len({str([layer[name] for layer in r.layer_stats]) for r in results}) == 1


def test_predictions_stand_in_the_order_of_the_data(model):
    data = small_task().test
    found = evaluate(model, data, ("accuracy",), 7).predictions
    for i in (0, 5, 39):
        alone = model.eval()(data.ids[i][None], segments=data.segments[i][None]).logits.data.argmax()
        assert found[i] == alone


def test_counts_are_those_of_a_loop_over_sentences(model):
    data = small_task().test
    found = evaluate(model, data, ("accuracy",), 16)
    model.eval()
    for layer in range(2):
        hist, load = [0] * 5, [0] * 4
        for batch in batches(data, 1):
            plan = model(batch.ids, batch.mask, batch.segments).routings[layer].plan
            for k in np.diff(plan.row_ptr):
                hist[k] += 1
            for e in plan.expert:
                load[e] += 1
        assert found.layer_stats[layer]["k_hist"] == hist and found.layer_stats[layer]["expert_load"] == load
    kept = sum(sum(layer["expert_load"]) for layer in found.layer_stats)
    assert found.mean_experts_per_token == pytest.approx(kept / (2 * sum(len(ids) for ids in data.ids)))


def test_deciding_words_are_compared_with_the_other_words(model):
    data = small_task().test
    found = evaluate(model, data, ("accuracy",)).deciding
    sums = np.zeros((2, 2))
    model.eval()
    for batch in batches(data, 1):
        for routing in model(batch.ids, batch.mask, batch.segments).routings:
            for position, k in enumerate(routing.k.tolist()):
                if 0 < position < batch.ids.shape[1] - 1:               # not [CLS], not [SEP]
                    sums[int(batch.deciding[0, position])] += k, 1
    others, deciding = sums[:, 0] / sums[:, 1]
    assert found["rowmax"] == pytest.approx((deciding, others))
    assert set(found) == {"rowmax", "colmax"}


def test_experts_as_routed_are_compared_layer_by_layer():
    config = replace(CONFIG, router="da", router_options={"measure": "reversed(colmax)", "allocation": "quantile",
                                                          "levels": [1, 4], "mean_experts": 2.0})
    model = SequenceClassifier(config.model_config(small_task().tokenizer.vocab_size, 2), rng=1).eval()
    data = small_task().test
    found = evaluate(model, data, ("accuracy",)).routed
    sums = np.zeros((2, 2, 2))
    for batch in batches(data, 1):
        for layer, routing in enumerate(model(batch.ids, batch.mask, batch.segments).routings):
            for position in range(1, batch.ids.shape[1] - 1):
                sums[layer, int(not batch.deciding[0, position])] += routing.k[position], 1
    assert np.array(found) == pytest.approx(sums[..., 0] / sums[..., 1])
    assert found[0] != found[1] and found[0][0] != found[0][1]


def test_evaluation_leaves_the_models_mode_and_generators_alone(model):
    model.train()
    before = [g.bit_generator.state for _, g in model.named_generators()]
    evaluate(model, small_task().test, ("accuracy",))
    assert model.training and [g.bit_generator.state for _, g in model.named_generators()] == before


def test_a_dense_model_has_one_block_for_all():
    dense = replace(CONFIG, experts=0, router_options={})
    model = SequenceClassifier(dense.model_config(small_task().tokenizer.vocab_size, 2))
    found = evaluate(model, small_task().test, ("accuracy",))
    assert found.mean_experts_per_token == 1.0 and found.layer_stats == []
    assert found.deciding == {} and found.routed == []


def test_a_split_without_labels_is_refused(model):
    """Case G28 (google-research/bert#144, huggingface/datasets#183, huggingface/datasets#6506)."""
    with pytest.raises(ValueError, match="this split has no labels"):
        evaluate(model, replace(small_task().test, labels=None), ("accuracy",))


@pytest.mark.parametrize("options", [
    dict(allocation="threshold", threshold_shares=[0.5, 0.9]), dict(allocation="pairs", mean_experts=2.0),
    dict(source="mean_of_layers"), dict(measure="shuffled(rowmax)")], ids=str)
def test_deciding_words_can_be_compared_under_every_kind_of_router_option(options):
    config = replace(CONFIG, router_options=options)
    model = SequenceClassifier(config.model_config(small_task().tokenizer.vocab_size, 2))
    for layer in model.expert_layers():             # running thresholds need one step of training
        layer.router.train()
    batch = next(iter(batches(small_task().train, 16)))
    model(batch.ids, batch.mask)
    found = evaluate(model, small_task().test, ("accuracy",)).deciding
    assert set(found) == {"rowmax", "colmax"} and all(np.isfinite(means).all() for means in found.values())
