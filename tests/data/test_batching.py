"""Encoding a data set and cutting it into batches."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoe.data import (
    Dataset,
    Encoded,
    Example,
    WordPieceTokenizer,
    WordTokenizer,
    batch_order,
    batches,
    encode_dataset,
    load_builtin,
    make_batch,
)
from minimoe.data.tokenizer import SPECIAL

WORDS = ["a", "b", "c", "d", "e", "f", "g"]


@pytest.fixture
def tokenizer():
    return WordTokenizer([*SPECIAL, *WORDS])        # a is 5, b is 6, ...


def dataset(*examples, n_classes=2):
    return Dataset("toy", "train", examples, n_classes, ("accuracy",), ("no", "yes"))


def encoded(*lengths):
    """Rows 10, 11, ... of the given lengths."""
    ids = [np.arange(10, 10 + n, dtype=np.int32) for n in lengths]
    return Encoded(ids, [np.zeros(n, np.int32) for n in lengths], None, [np.zeros(0, np.int64) for _ in lengths])


def test_ids_segments_and_class_labels(tokenizer):
    found = encode_dataset(dataset(Example("a b", "c", 1), Example("d", None, 0)), tokenizer, 10)
    assert [row.tolist() for row in found.ids] == [[2, 5, 6, 3, 7, 3], [2, 8, 3]]
    assert [row.tolist() for row in found.segments] == [[0, 0, 0, 0, 1, 1], [0, 0, 0]]
    assert found.labels.tolist() == [1, 0] and found.labels.dtype == np.int64
    assert all(row.dtype == np.int32 for row in found.ids + found.segments)


def test_regression_labels_are_float32(tokenizer):
    found = encode_dataset(dataset(Example("a", "b", 4.25), Example("a", "c", 3), n_classes=1), tokenizer, 10)
    assert found.labels.tolist() == [4.25, 3.0] and found.labels.dtype == np.float32


def test_a_regression_label_that_is_no_number_is_refused(tokenizer):
    with pytest.raises(ValueError, match="toy train has labels that are NaN or infinite"):
        encode_dataset(dataset(Example("a", "b", 4.25), Example("a", "c", float("nan")), n_classes=1), tokenizer, 10)


def test_hidden_labels_are_none_and_never_a_number(tokenizer):
    assert encode_dataset(dataset(Example("a"), Example("b")), tokenizer, 10).labels is None


@pytest.mark.parametrize("labels, message", [
    ((1, None), r"1 of the 2 examples of toy train have no label"), ((0, -1), r"needed classes from 0 to 1"),
    ((0, 2), r"needed classes from 0 to 1"), ((0, 0.5), r"needed classes from 0 to 1")])
def test_labels_that_the_task_does_not_have_are_refused(labels, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        encode_dataset(dataset(*(Example("a", None, label) for label in labels)), tokenizer, 10)


def test_deciding_words_are_found_again_behind_cls_and_sep(tokenizer):
    found = encode_dataset(dataset(Example("a b c", "d e", 1, (0, 2, 3, 4))), tokenizer, 10)
    assert tokenizer.tokens(found.ids[0][found.deciding[0]]) == ["a", "c", "d", "e"]


def test_deciding_words_that_were_cut_are_left_out(tokenizer):
    found = encode_dataset(dataset(Example("a b c d", "e f g", 1, (0, 1, 2, 3, 4, 5, 6))), tokenizer, 6)
    assert tokenizer.tokens(found.ids[0]) == ["[CLS]", "a", "b", "[SEP]", "e", "[SEP]"]
    assert found.deciding[0].tolist() == [1, 2, 4]
    found = encode_dataset(dataset(Example("a b c", None, 1, (0, 2))), tokenizer, 4)
    assert found.deciding[0].tolist() == [1]


def test_every_deciding_word_of_a_built_in_pair_is_the_same_word_after_encoding():
    data = load_builtin("paraphrase", "dev")
    tokenizer = WordTokenizer.train(data.texts(), 200)
    found = encode_dataset(data, tokenizer, 64)
    for example, ids, deciding in zip(data.examples, found.ids, found.deciding, strict=True):
        words = (example.text + " " + example.pair).split()
        assert tokenizer.tokens(ids[deciding]) == [words[i] for i in example.deciding]


def test_pieces_of_words_get_no_deciding_positions():
    tokenizer = WordPieceTokenizer([*SPECIAL, *WORDS])
    found = encode_dataset(dataset(Example("a b", None, 1, (1,))), tokenizer, 10)
    assert found.ids[0].tolist() == [2, 5, 6, 3] and found.deciding[0].size == 0


def test_a_batch_is_padded_to_its_longest_row_and_masked_by_length(tokenizer):
    data = dataset(Example("a b", "c", 1, (1, 2)), Example("d", None, 0, (0,)), Example("a b c d e f g", None, 0))
    batch = make_batch(encode_dataset(data, tokenizer, 20), [1, 0], pad_id=9)
    assert batch.ids.tolist() == [[2, 8, 3, 9, 9, 9], [2, 5, 6, 3, 7, 3]]
    assert batch.mask.tolist() == [[True] * 3 + [False] * 3, [True] * 6]
    assert batch.segments.tolist() == [[0] * 6, [0, 0, 0, 0, 1, 1]]
    assert batch.words.tolist() == [[False, True] + [False] * 4, [False, True, True, False, True, False]]
    assert batch.deciding.tolist() == [[False, True] + [False] * 4, [False, False, True, False, True, False]]
    assert batch.labels.tolist() == [0, 1] and batch.index.tolist() == [1, 0]
    assert (batch.ids.dtype, batch.segments.dtype, batch.mask.dtype) == (np.int32, np.int32, np.bool_)


def test_a_real_token_with_the_padding_id_is_not_masked():
    data = Encoded([np.array([2, 0, 3], np.int32)], [np.zeros(3, np.int32)], None, [np.zeros(0, np.int64)])
    assert make_batch(data, [0], pad_id=0).mask.all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=200), st.integers(1, 7), st.one_of(st.none(), st.integers(0, 9)))
def test_every_example_is_in_exactly_one_batch_and_one_batch_at_most_is_small(lengths, size, seed):
    order = batch_order(lengths, size, None if seed is None else np.random.default_rng(seed))
    assert sorted(int(i) for index in order for i in index) == list(range(len(lengths)))
    assert sorted(map(len, order), reverse=True) == [size] * (len(lengths) // size) + (
        [len(lengths) % size] if len(lengths) % size else [])


def test_without_rng_the_order_is_by_length_and_equal_lengths_keep_theirs():
    assert [index.tolist() for index in batch_order([3, 1, 2, 1, 3], 2)] == [[1, 3], [2, 0], [4]]


def test_with_rng_batches_hold_similar_lengths_in_shuffled_order():
    lengths = np.random.default_rng(0).integers(1, 100, 5000)
    order = batch_order(lengths, 10, np.random.default_rng(1))
    assert np.mean([np.ptp(lengths[index]) for index in order]) < 5         # 80 if taken as they come
    longest = np.array([lengths[index].max() for index in order])
    assert abs(np.corrcoef(longest[:-1], longest[1:])[0, 1]) < 0.2          # close to 1 if sorted


def test_with_rng_a_batch_does_not_hold_neighbours():
    order = batch_order([7] * 1000, 10, np.random.default_rng(0))
    assert np.mean([np.abs(np.diff(index)).mean() for index in order]) > 100        # 1 if taken as they come


def test_the_same_seed_gives_the_same_order_and_the_next_epoch_another():
    lengths = np.arange(1, 300) % 17
    rng = np.random.default_rng(3)
    first, second = (np.concatenate(batch_order(lengths, 8, rng)).tolist() for _ in range(2))
    assert first == np.concatenate(batch_order(lengths, 8, np.random.default_rng(3))).tolist() and first != second


def test_batches_draws_its_order_when_it_is_called():
    """A checkpoint taken inside an epoch saves the generator's state: it must not depend on how far one has read."""
    rng = np.random.default_rng(0)
    epoch = batches(encoded(1, 2, 3, 4), 2, rng)
    state = rng.bit_generator.state
    assert len(list(epoch)) == 2 and rng.bit_generator.state == state


def test_batches_yields_every_token_once():
    found = list(batches(encoded(3, 1, 2, 5, 4), 2))
    assert [batch.index.tolist() for batch in found] == [[1, 2], [0, 4], [3]]
    assert sum(int(batch.mask.sum()) for batch in found) == 15
    assert all(batch.ids[batch.mask].min() >= 10 and (batch.ids[~batch.mask] == 0).all() for batch in found)


def test_nothing_to_encode_gives_no_batches(tokenizer):
    assert list(batches(encode_dataset(dataset(), tokenizer, 10), 4)) == []


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"batch_order: batch_size is 0; needed 1 or more"):
        batch_order([1, 2], 0)
