"""The encoder against loops over samples, heads, tokens and experts, written apart from the library."""
import math

import numpy as np
import pytest

from minimoe import Tensor, gradcheck, no_grad
from minimoe.models import Encoder, EncoderConfig, EncoderLayer, MaskedLanguageModel, SequenceClassifier

CONFIG = EncoderConfig(vocab_size=20, n_classes=3, d_model=8, n_layers=2, n_heads=2, d_ff=6, n_experts=4, max_length=9,
                       dropout=0.0)
IDS = np.array([[3, 7, 5, 2, 9], [4, 6, 0, 0, 0]])


def norm(x, weight, bias):
    return (x - x.mean()) / math.sqrt(x.var() + 1e-5) * weight + bias


def gelu(h):
    return np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in h])


def layer_by_loops(weights, prefix, x, mask, n_heads, n_experts):
    """One sample: x (S, d), mask (S,) -> (x, attention (H, S, S), K, chosen experts)."""
    w = {name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)}
    length, d = x.shape
    d_h = d // n_heads
    h = np.array([norm(row, w["norm1.weight"], w["norm1.bias"]) for row in x])
    qkv = h @ w["attention.in_proj_weight"].T + w["attention.in_proj_bias"]
    q, k, v = qkv[:, :d], qkv[:, d:2 * d], qkv[:, 2 * d:]
    attention = np.zeros((n_heads, length, length))
    joined = np.zeros((length, d))
    for head in range(n_heads):
        part = slice(head * d_h, (head + 1) * d_h)
        for i in range(length):
            if not mask[i]:
                continue
            scores = {j: q[i, part] @ k[j, part] / math.sqrt(d_h) for j in range(length) if mask[j]}
            total = sum(math.exp(s) for s in scores.values())
            for j, s in scores.items():
                attention[head, i, j] = math.exp(s) / total
                joined[i, part] += attention[head, i, j] * v[j, part]
    x = x + joined @ w["attention.out_proj.weight"].T + w["attention.out_proj.bias"]
    counts, y = [], np.zeros_like(x)
    for i in range(length):
        importance = np.mean([attention[head, i].max() for head in range(n_heads)]) if mask[i] else 0
        count = min(max(math.ceil(n_experts * (importance - 1e-6)), 1), n_experts) if mask[i] else 0
        counts.append(count)
        t = norm(x[i], w["norm2.weight"], w["norm2.bias"])
        z = w["moe.router.weight"] @ t
        p = np.exp(z) / np.exp(z).sum()
        for e in sorted(range(n_experts), key=lambda e: (-z[e], e))[:count]:
            r = gelu(t @ w["moe.experts.w1"][e] + w["moe.experts.b1"][e])
            y[i] += p[e] * (r @ w["moe.experts.w2"][e] + w["moe.experts.b2"][e])
    return x + y, attention, counts


def lively(model):
    """The model in float64 with weights large enough that attention is sharp and K varies."""
    random = np.random.default_rng(5)
    model.to(dtype="float64")
    for parameter in model.parameters():
        parameter.data[...] += random.standard_normal(parameter.shape) * 0.5
    return model


def test_hidden_states_attention_and_counts_equal_the_loops():
    model = lively(Encoder(CONFIG, rng=0))
    weights = model.state_dict()
    output = model(IDS)
    for sample, ids in enumerate(IDS):
        mask = ids != 0
        x = weights["token_embedding.weight"][ids] + weights["position_embedding.weight"][:len(ids)]
        x = x + weights["segment_embedding.weight"][0]
        for layer in range(2):
            x, attention, counts = layer_by_loops(weights, f"layers.{layer}.", x, mask, 2, 4)
            np.testing.assert_allclose(output.attentions[layer].data[sample], attention, atol=1e-12)
            assert output.routings[layer].k.reshape(IDS.shape)[sample].tolist() == counts
        hidden = np.array([norm(row, weights["final_norm.weight"], weights["final_norm.bias"]) for row in x])
        np.testing.assert_allclose(output.hidden.data[sample][mask], hidden[mask], rtol=1e-9, atol=1e-10)
    assert len(set(output.routings[0].k.tolist())) > 2              # the example is not a trivial one


def test_gradients_of_a_whole_layer_equal_finite_differences():
    layer = lively(EncoderLayer(CONFIG, True, rng=0, dropout_rng=0))
    mask = np.array([[True, True, True, True], [True, True, False, False]])
    x = np.random.default_rng(1).standard_normal((2, 4, 8))
    worst = gradcheck(lambda t: layer(t, mask, [])[0], [x])
    assert worst < 1e-6


@pytest.mark.parametrize("name", ["layers.0.moe.router.weight", "layers.0.attention.in_proj_weight",
                                  "layers.1.moe.experts.w1", "token_embedding.weight", "head.weight"])
def test_gradients_of_the_loss_equal_finite_differences(name):
    model = lively(SequenceClassifier(CONFIG, rng=0))
    parameter = dict(model.named_parameters())[name]
    labels = np.array([2, 0])
    model.loss(IDS, labels).backward()
    gradient = parameter.grad.copy()
    random = np.random.default_rng(0)
    flat = parameter.data.reshape(-1)
    for index in random.choice(np.flatnonzero(gradient), 12, replace=False):
        kept, values = flat[index], []
        for change in (1e-6, -1e-6):
            flat[index] = kept + change
            with no_grad():
                values.append(model.loss(IDS, labels).item())
        flat[index] = kept
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient.reshape(-1)[index], rel=1e-4, abs=1e-8)


def test_parameter_names_are_the_public_ones():
    names = set(SequenceClassifier(CONFIG).state_dict())
    assert {"token_embedding.weight", "position_embedding.weight", "segment_embedding.weight", "final_norm.weight",
            "head.weight", "head.bias", "layers.0.norm1.weight", "layers.1.norm2.bias",
            "layers.0.attention.in_proj_weight", "layers.0.attention.out_proj.bias", "layers.0.moe.router.weight",
            "layers.0.moe.experts.w1", "layers.0.moe.experts.b2"} <= names


def test_the_dense_model_has_feed_forward_blocks_and_no_routing():
    model = SequenceClassifier(EncoderConfig(vocab_size=20, n_experts=0, d_model=8, n_heads=2, d_ff=6))
    output = model(IDS)
    assert output.routings == [] and output.aux_loss.item() == 0 and output.logits.shape == (2, 2)
    assert any(".feedforward." in name for name in model.state_dict())


def test_moe_every_2_puts_experts_in_every_second_layer():
    config = EncoderConfig(vocab_size=20, d_model=8, n_layers=4, n_heads=2, d_ff=6, moe_every=2)
    assert [layer.has_experts for layer in Encoder(config).layers] == [False, True, False, True]


def test_what_a_sample_is_batched_with_does_not_change_its_output():
    model = SequenceClassifier(CONFIG).eval()
    alone = model(IDS[1:, :2]).logits.data[0]
    np.testing.assert_allclose(model(IDS).logits.data[1], alone, rtol=1e-6, atol=1e-6)


def test_the_default_mask_is_ids_that_are_not_padding():
    model = SequenceClassifier(CONFIG).eval()
    assert np.array_equal(model(IDS).logits.data, model(IDS, IDS != 0).logits.data)


def test_a_sample_of_padding_alone_is_finite_in_value_and_gradient():
    model = SequenceClassifier(CONFIG)
    model.loss(np.zeros((2, 4), int), np.array([0, 1])).backward()
    assert all(np.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model(np.zeros((2, 4), int)).routings[0].stats["assignments"] == 0


def test_segments_matter():
    model = SequenceClassifier(CONFIG).eval()
    other = model(IDS, segments=np.array([[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]])).logits.data
    assert not np.allclose(model(IDS).logits.data, other)
    assert np.array_equal(model(IDS).logits.data, model(IDS, segments=np.zeros_like(IDS)).logits.data)


def test_equal_seeds_give_equal_models_and_no_two_layers_start_equal():
    a, b = (SequenceClassifier(CONFIG, rng=3).state_dict() for _ in range(2))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["layers.0.moe.experts.w1"], a["layers.1.moe.experts.w1"])


def test_switch_and_da_start_with_the_same_weights():
    switch = EncoderConfig.from_dict(CONFIG.to_dict() | {"router": "switch"})
    a, b = SequenceClassifier(CONFIG).state_dict(), SequenceClassifier(switch).state_dict()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_regression_gives_one_number_and_mean_squared_error():
    model = SequenceClassifier(EncoderConfig.from_dict(CONFIG.to_dict() | {"n_classes": 1})).eval()
    output = model(IDS)
    labels = np.array([1.5, 4.0])
    loss = model.task_loss(output, labels).item()
    assert output.logits.shape == (2, 1)
    assert loss == pytest.approx(float(((output.logits.data[:, 0] - labels) ** 2).mean()), rel=1e-6)


def test_language_model_loss_asks_only_for_labelled_positions():
    model = MaskedLanguageModel(CONFIG).eval()
    labels = np.full(IDS.shape, -100)
    labels[0, 1], labels[1, 0] = 7, 4
    output = model(IDS)
    assert output.logits.shape == (2, 5, 20)
    rows = output.logits.data[[0, 1], [1, 0]].astype(np.float64)
    expected = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(rows, [7, 4], strict=True)])
    assert model.task_loss(model.encode(IDS), labels).item() == pytest.approx(expected, rel=1e-5)
    assert model.task_loss(model.encode(IDS), np.full(IDS.shape, -100)).item() == 0


@pytest.mark.parametrize("ids, match", [(np.zeros((2, 10), int), "length 10, the model's max_length is 9"),
                                        (np.zeros(4, int), r"must be an integer array \(B, S\)"),
                                        (np.zeros((2, 3)), r"must be an integer array \(B, S\)")])
def test_bad_ids_are_refused(ids, match):
    with pytest.raises(ValueError, match=match):
        Encoder(CONFIG)(ids)


def test_nan_in_the_weights_is_caught_with_the_layers_name():
    model = Encoder(CONFIG)
    model.layers[1].norm2.weight.data[0] = np.nan
    with pytest.raises(FloatingPointError, match=r"layers\.1: route: router logits of 7 of 10 tokens"):
        model(IDS)


@pytest.mark.parametrize("change, match", [
    (dict(d_model=10, n_heads=4), "d_model 10 is not a multiple of n_heads 4"), (dict(n_layers=0), "n_layers is 0"),
    (dict(dropout=1.0), "dropout is 1.0"), (dict(router="best"), "router 'best' is not one of da, switch"),
    (dict(activation="swish"), "activation 'swish'"), (dict(vocab_size=2.5), "vocab_size is 2.5"),
    (dict(router_options=[1]), r"router_options is \[1\]")])
def test_bad_configurations_name_the_field(change, match):
    with pytest.raises(ValueError, match=match):
        EncoderConfig(**dict(vocab_size=5) | change)


def test_config_goes_through_json_unchanged_and_refuses_unknown_fields():
    assert EncoderConfig.from_json(CONFIG.to_json()) == CONFIG
    with pytest.raises(ValueError, match="there is no field 'width'"):
        EncoderConfig.from_dict({"vocab_size": 5, "width": 3})


def test_flops_per_token_follow_the_formula():
    config = EncoderConfig(vocab_size=5, d_model=8, n_heads=2, d_ff=6, n_layers=2, n_experts=4, moe_every=2)
    attention, dense, experts = 8 * 64 + 4 * 10 * 8, 4 * 8 * 6, 2 * 8 * 4 + 4 * 8 * 6 * 1.5
    assert config.flops_per_token(1.5, 10) == 2 * attention + dense + experts


def test_tensors_are_accepted_as_ids():
    assert Encoder(CONFIG)(Tensor(IDS)).hidden.shape == (2, 5, 8)


@pytest.mark.parametrize("n_experts", [0, 4])
@pytest.mark.parametrize("activation", ["geglu", "reglu"])
def test_gated_activations_train_in_experts_and_dense_blocks_and_cost_a_half_more(activation, n_experts):
    config = EncoderConfig.from_dict(CONFIG.to_dict() | {"activation": activation, "n_experts": n_experts})
    plain = EncoderConfig.from_dict(config.to_dict() | {"activation": "gelu"})
    model = SequenceClassifier(config)
    model.loss(IDS, np.array([2, 0])).backward()
    hidden = "layers.0.moe.experts.w1" if n_experts else "layers.0.feedforward.linear1.weight"
    p = dict(model.named_parameters())[hidden]
    assert p.grad.any() and 2 * CONFIG.d_ff in p.shape
    assert config.flops_per_token(1, 5) - plain.flops_per_token(1, 5) == 2 * 2 * CONFIG.d_model * CONFIG.d_ff


def test_a_classifier_needs_a_first_token():
    with pytest.raises(ValueError, match="ids has length 0, but the class is read off the first token"):
        SequenceClassifier(CONFIG)(np.zeros((3, 0), int))
