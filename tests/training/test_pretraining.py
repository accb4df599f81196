"""Masked language model: what is hidden, how it is measured, and that it goes on bit for bit."""
from dataclasses import replace

import numpy as np
import pytest
from small import CONFIG, small_task

from minimoe.data import WordTokenizer
from minimoe.models.language_model import IGNORE
from minimoe.training import PretrainConfig, Pretrainer, Trainer, load_checkpoint
from minimoe.training.masking import blocks_of, hide_tokens, unigram_loss
from minimoe.training.pretrainer import prepare_corpus

TOKENIZER = WordTokenizer.train(["a b c d e f g h i j k l m n o p q r s t"], 40)


@pytest.fixture
def text(tmp_path):
    random = np.random.default_rng(0)
    words = "the cat sat on a mat while one dog ran to some big old red house by night".split()
    starts = random.integers(0, len(words), 120)                        # a word follows from its neighbours
    lines = [" ".join(words[(start + i) % len(words)] for i in range(12)) for start in starts]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    return str(tmp_path / "text.txt")


def config(text, **changes):
    return PretrainConfig(**dict(text=(text,), d_model=16, heads=2, d_ff=8, experts=4, epochs=2, batch_size=8,
                                 max_length=16, vocab_size=60) | changes)


def test_blocks_hold_every_token_once_in_order_with_separators():
    blocks = blocks_of(["a b c", "d e", "f g h i j"], TOKENIZER, 5)
    cls, sep = TOKENIZER.cls_id, TOKENIZER.sep_id
    assert blocks.shape == (3, 5) and (blocks[:, 0] == cls).all()
    stream = TOKENIZER.encode("a b c")[1:] + TOKENIZER.encode("d e")[1:] + TOKENIZER.encode("f g h i j")[1:]
    assert blocks[:, 1:].reshape(-1).tolist() == stream[:12] and stream.count(sep) == 3


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="3 tokens do not fill one block of 9; give more text"):
        blocks_of(["a b"], TOKENIZER, 9)


def test_of_the_chosen_tokens_80_percent_are_masked_10_random_and_10_stay():
    ids = np.random.default_rng(0).integers(5, TOKENIZER.vocab_size, (400, 250)).astype(np.int32)
    hidden, labels = hide_tokens(ids, TOKENIZER, 0.15, np.random.default_rng(1))
    chosen = labels != IGNORE
    assert chosen.mean() == pytest.approx(0.15, abs=0.005)
    assert np.array_equal(labels[chosen], ids[chosen]) and np.array_equal(hidden[~chosen], ids[~chosen])
    masked = hidden[chosen] == TOKENIZER.mask_id
    same = hidden[chosen] == ids[chosen]
    assert masked.mean() == pytest.approx(0.8, abs=0.01)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 20, abs=0.01)       # a random word may be the word itself
    others = hidden[chosen][~masked]
    assert others.min() >= 5                                            # never a special token


def test_special_tokens_are_never_chosen():
    ids = np.tile(np.arange(5, dtype=np.int32), (50, 1))
    hidden, labels = hide_tokens(ids, TOKENIZER, 0.99, np.random.default_rng(0))
    assert np.array_equal(hidden, ids) and (labels == IGNORE).all()


def test_unigram_loss_is_that_of_smoothed_frequencies():
    train, targets = np.array([[5, 5, 6]]), np.array([5, 7])
    assert unigram_loss(train, targets, 10) == pytest.approx(-(np.log(3 / 13) + np.log(1 / 13)) / 2)


def test_masks_are_fresh_in_every_epoch_and_equal_for_equal_seeds(text):
    trainer, twin = (Pretrainer(config(text), progress=False) for _ in range(2))
    first, second = trainer.epoch_batches(), trainer.epoch_batches()
    assert {seed for _, seed in first}.isdisjoint(seed for _, seed in second)
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(first, twin.epoch_batches(), strict=True))


def test_every_twentieth_paragraph_is_held_out_when_no_file_is_named(text):
    trainer = Pretrainer(config(text), progress=False)
    assert len(trainer.train_blocks) * 15 <= 114 * 13 < (len(trainer.train_blocks) + 1) * 15
    assert len(trainer.held_out[0]) == 6 * 13 // 15


def test_it_learns_and_reports_perplexities(text):
    figures = Pretrainer(config(text, epochs=15, lr=1e-2), progress=False).train()
    found = figures["metrics"]
    assert found["perplexity"] < 0.6 * found["unigram_perplexity"] and figures["score"] == found["perplexity"]
    assert found["ratio"] == pytest.approx(found["perplexity"] / found["unigram_perplexity"])
    assert figures["steps"] == 15 * 13 and figures["layers"][0]["tokens"] == 5 * 16


def test_a_stopped_run_resumes_to_the_same_bits(text, tmp_path):
    whole = Pretrainer(config(text, out=str(tmp_path / "a")), progress=False)
    whole.run()
    part = Pretrainer(config(text, out=str(tmp_path / "b"), save_every=5), progress=False)
    step = part._step

    def dying(item, bar):
        if part.step == 17:
            raise SystemExit
        step(item, bar)

    part._step = dying
    with pytest.raises(SystemExit):
        part.run()
    rest = Pretrainer(config(text, out=str(tmp_path / "b"), save_every=5), progress=False)
    assert rest.restore() and rest.step == 15
    rest.run()
    expected = whole.model.state_dict()
    assert all(np.array_equal(value, expected[name]) for name, value in rest.model.state_dict().items())


def test_resuming_with_other_text_of_the_same_words_is_refused(text, tmp_path):
    Pretrainer(config(text, max_steps=2, out=str(tmp_path)), progress=False).run()
    corpus = prepare_corpus(config(text))
    other = replace(corpus, train_blocks=corpus.train_blocks[::-1])
    with pytest.raises(ValueError, match="resume: the run in .* had other data"):
        Pretrainer(config(text, max_steps=2, out=str(tmp_path)), progress=False, corpus=other).restore()


def test_a_classifier_starts_from_the_language_models_weights_and_tokenizer(text, tmp_path):
    Pretrainer(config(text, max_steps=2, out=str(tmp_path)), progress=False).run()
    start = replace(CONFIG, init_from=str(tmp_path), max_length=16, vocab_size=None, router_options={})
    trainer = Trainer(start, progress=False)
    found = load_checkpoint(tmp_path)
    own = trainer.model.state_dict()
    assert trainer.tokenizer.to_dict() == found.tokenizer.to_dict()
    shared = [name for name in own if name in found.weights]
    assert all(np.array_equal(own[name], found.weights[name]) for name in shared)
    assert {name for name in own if name not in found.weights} == {"head.weight", "head.bias"}


def test_sizes_that_do_not_fit_the_pre_trained_model_are_refused(text, tmp_path):
    Pretrainer(config(text, max_steps=2, out=str(tmp_path)), progress=False).run()
    with pytest.raises(ValueError, match="d_model: 32 does not fit the model in .*, which has 16; leave"):
        Trainer(replace(CONFIG, init_from=str(tmp_path), d_model=32), small_task(), progress=False)
