"""The word tokenizer, and what both tokenizers share."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoe.data import Tokenizer, WordTokenizer, tokenizer_class, tokenizer_from_dict
from minimoe.data.tokenizer import SPECIAL, cut

TEXTS = ["the cat sat .", "the dog sat !", "a cat and the dog"]


@pytest.fixture
def tokenizer():
    return WordTokenizer.train(TEXTS, 100)


def words(text):
    return WordTokenizer(SPECIAL).words(text)


def cut_one_by_one(a: int, b: int, room: int) -> tuple[int, int]:
    """How many tokens of each text are left, by the rule as it is worded."""
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


def test_training_numbers_words_by_frequency_and_ties_by_alphabet(tokenizer):
    assert tokenizer.tokens(range(tokenizer.vocab_size)) == [
        *SPECIAL, "the", "cat", "dog", "sat", "!", ".", "a", "and"]


def test_the_special_ids_are_the_first_five(tokenizer):
    special = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert special == (0, 1, 2, 3, 4)


def test_vocab_size_counts_the_special_tokens():
    tokenizer = WordTokenizer.train(TEXTS, 7)
    assert tokenizer.vocab_size == 7 and tokenizer.tokens([5, 6]) == ["the", "cat"]
    with pytest.raises(ValueError, match=r"vocab_size is 5; needed over 5"):
        WordTokenizer.train(TEXTS, 5)


@pytest.mark.parametrize("text, expected", [
    ("sun\nflower", ["sun", "flower"]), ("day\tlight", ["day", "light"]), ("over\r\nlook", ["over", "look"]),
    ("a\u00a0b", ["a", "b"]), ("wide\u3000space", ["wide", "space"]), ("line\u2028end", ["line", "end"]),
    ("  lead and trail \n", ["lead", "and", "trail"]), ("nul\0byte", ["nul", "byte"]), ("\ufeffstart", ["start"]),
    ("", []), (" \t\n ", []),
])
def test_g31_white_space_of_every_kind_separates(text, expected):
    """Case G31 (dotnet/machinelearning#7724): line ends were dropped as control characters and glued words together."""
    assert words(text) == expected


def test_g31_a_replacement_character_is_a_mark_of_its_own():
    """Case G31 (dotnet/machinelearning#7724)."""
    assert words("bad\ufffdchar") == ["bad", "\ufffd", "char"]


@pytest.mark.parametrize("text, expected", [
    ("It's 3.14, isn't it?", ["it's", "3", ".", "14", ",", "isn't", "it", "?"]),
    ('"Go!" (now)', ['"', "go", "!", '"', "(", "now", ")"]),
    ("'quoted' dogs'", ["'", "quoted", "'", "dogs", "'"]),
    ("CAFE\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
    ("\u4e2d\u6587!", ["\u4e2d\u6587", "!"]),
    ("soft\u00adware", ["software"]),
])
def test_words_are_lower_case_and_marks_stand_alone(text, expected):
    assert words(text) == expected


def test_only_the_mask_is_special_inside_a_text(tokenizer):
    ids = tokenizer.encode("the [MASK] [SEP] [PAD] [CLS] [UNK] [mask]")
    assert ids.count(tokenizer.mask_id) == 1 and ids[2] == tokenizer.mask_id
    assert ids.count(tokenizer.sep_id) == 1 and ids.count(tokenizer.cls_id) == 1 and tokenizer.pad_id not in ids
    assert words("a [SEP]") == ["a", "[", "sep", "]"]


def test_a_mask_in_the_training_text_takes_no_place_in_the_vocabulary():
    assert WordTokenizer.train(["[MASK] a", "[MASK] b"], 100).vocab_size == 7


def test_encode_frames_one_text_and_a_pair(tokenizer):
    the, cat, dog = tokenizer.encode("the cat dog")[1:-1]
    assert tokenizer.encode("the cat") == [2, the, cat, 3]
    assert tokenizer.encode("the cat", "dog") == [2, the, cat, 3, dog, 3]
    assert tokenizer.encode("the", "") == [2, the, 3, 3]
    assert tokenizer.encode("") == [2, 3]


def test_a_word_that_training_did_not_see_is_unknown(tokenizer):
    assert tokenizer.encode("the bird") == [2, 5, 1, 3]


def test_encode_batch_equals_encode_one_by_one(tokenizer):
    pairs = [("the cat", None), ("a dog", "the cat"), ("", None), ("sat", "")]
    assert tokenizer.encode_batch(pairs, 6) == [tokenizer.encode(text, pair, 6) for text, pair in pairs]


def test_segments_are_0_to_the_first_sep_and_1_after_it(tokenizer):
    assert tokenizer.segments(tokenizer.encode("the cat", "dog")) == [0, 0, 0, 0, 1, 1]
    assert tokenizer.segments(np.array(tokenizer.encode("the cat"))) == [0, 0, 0, 0]


@pytest.mark.parametrize("a, b, limit, kept", [(7, 3, 8, (3, 2)), (3, 7, 8, (3, 2)), (1, 30, 10, (1, 6)),
                                               (5, 0, 8, (5, 0)), (2, 1, 8, (2, 1)), (4, 4, 10, (4, 3))])
def test_g32_the_longer_text_is_cut_first_and_at_a_tie_the_second(a, b, limit, kept, tokenizer):
    """Case G32 (facebookresearch/mmf#383): a pair has three special tokens, and both texts may need cutting."""
    ids = tokenizer.encode("the " * a, "dog " * b, max_length=limit)
    the, dog = tokenizer.encode("the dog")[1:-1]
    assert ids == [2, *[the] * kept[0], 3, *[dog] * kept[1], 3] and len(ids) <= limit
    assert tokenizer.segments(ids) == [0] * (kept[0] + 2) + [1] * (kept[1] + 1)


@pytest.mark.parametrize("limit", [4, 3, 2, 1, 0, -1])
def test_g32_a_limit_without_room_for_both_texts_is_an_error(limit, tokenizer):
    """Case G32 (huggingface/transformers#1252)."""
    with pytest.raises(ValueError, match=r"encode: max_length .* use at least 5"):
        tokenizer.encode("the cat", "dog", max_length=limit)


def test_a_single_text_keeps_its_first_tokens_and_needs_room_for_one(tokenizer):
    assert tokenizer.encode("the cat sat", max_length=4) == tokenizer.encode("the cat")
    with pytest.raises(ValueError, match=r"use at least 3"):
        tokenizer.encode("the cat", max_length=2)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 60))
def test_cutting_at_once_equals_dropping_one_token_at_a_time(a, b, room):
    kept = cut(list(range(a)), list(range(b)), room)
    assert (len(kept[0]), len(kept[1])) == cut_one_by_one(a, b, room)
    assert kept == (list(range(len(kept[0]))), list(range(len(kept[1]))))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_gives_words_that_stay_the_same_when_read_again(text):
    once = words(text)
    assert all(word and not any(c.isspace() for c in word) for word in once)
    assert words(" ".join(once)) == once


@settings(max_examples=100, deadline=None)
@given(st.text(), st.one_of(st.none(), st.text()), st.integers(5, 12))
def test_any_encoding_starts_with_cls_ends_with_sep_and_fits(text, pair, limit):
    ids = WordTokenizer.train(TEXTS, 100).encode(text, pair, limit)
    assert ids[0] == 2 and ids[-1] == 3 and len(ids) <= limit
    assert ids.count(3) == (1 if pair is None else 2) and ids.count(2) == 1 and 0 not in ids


def test_decode_leaves_out_the_frame_and_shows_unknown_and_mask(tokenizer):
    assert tokenizer.decode([*tokenizer.encode("The cat zzz [MASK] .", "dog"), 0, 0]) == "the cat [UNK] [MASK] . dog"


def test_tokens_names_every_id_and_refuses_those_outside(tokenizer):
    assert tokenizer.tokens(np.array([2, 5, 0])) == ["[CLS]", "the", "[PAD]"]
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(ValueError, match=rf"id {wrong} is outside the vocabulary of 13"):
            tokenizer.tokens([wrong])


def test_a_text_that_is_no_string_is_a_type_error(tokenizer):
    with pytest.raises(TypeError, match=r"encode: a text is a bytes; needed a str"):
        tokenizer.encode(b"the cat")


def test_save_and_load_give_the_same_tokenizer_and_leave_one_file(tmp_path):
    tokenizer = WordTokenizer.train(["na\u00efve \u4e2d \u2028 \U0001f600 don't"], 50)
    tokenizer.save(tmp_path / "words.json")
    assert WordTokenizer.load(tmp_path / "words.json").to_dict() == tokenizer.to_dict()
    assert Tokenizer.load(str(tmp_path / "words.json")).encode("don't") == tokenizer.encode("don't")
    assert [path.name for path in tmp_path.iterdir()] == ["words.json"]


def test_the_state_survives_json(tokenizer):
    state = json.loads(json.dumps(tokenizer.to_dict()))
    assert state["kind"] == "word" and tokenizer_from_dict(state).encode("a cat") == tokenizer.encode("a cat")


@pytest.mark.parametrize("state, message", [
    (None, "needed a table"), ([], "needed a table"), ({}, "neither word nor wordpiece"),
    ({"kind": ["word"]}, "neither word nor wordpiece"), ({"kind": "x" * 10_000}, "neither word nor wordpiece"),
    ({"kind": "word"}, "must be a list"), ({"kind": "word", "tokens": "abc"}, "must be a list"),
    ({"kind": "word", "tokens": {"a": 1}}, "must be a list"),
    ({"kind": "word", "tokens": [*SPECIAL, 7]}, "7 is no token"),
    ({"kind": "word", "tokens": [*SPECIAL, ""]}, "'' is no token"),
    ({"kind": "word", "tokens": [*SPECIAL, "two words"]}, "is no token"),
    ({"kind": "word", "tokens": [*SPECIAL, "\ud800"]}, "is no token"),
    ({"kind": "word", "tokens": [*SPECIAL, "a", "a"]}, "'a' occurs twice"),
    ({"kind": "word", "tokens": [*SPECIAL, "[MASK]"]}, "occurs twice"),
    ({"kind": "word", "tokens": ["[PAD]", "[UNK]", "[CLS]", "a"]}, r"lack \[SEP\] \[MASK\]"),
    ({"kind": "word", "tokens": ["a", *SPECIAL]}, "first tokens must be"),
])
def test_a_hostile_state_is_refused(state, message):
    with pytest.raises(ValueError, match=message) as error:
        tokenizer_from_dict(state)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"kind": "word"}', b"3"])
def test_a_file_that_is_no_tokenizer_is_refused_by_name(content, tmp_path):
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json: not a tokenizer"):
        WordTokenizer.load(tmp_path / "broken.json")


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'letters' is neither word nor wordpiece"):
        tokenizer_class("letters")


@pytest.mark.parametrize("kind", [tokenizer_class("word"), tokenizer_class("wordpiece")])
@pytest.mark.parametrize("texts, message", [("one text", "texts is one str; give a list"), ([1], "a text is a int")])
def test_one_text_in_place_of_several_is_refused(kind, texts, message):
    with pytest.raises(TypeError, match=f"{kind.__name__}.train: {message}"):
        kind.train(texts, 30)
