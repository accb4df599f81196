"""The WordPiece tokenizer: BERT's rules, a vocabulary that is always the same, and its files."""
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoe.data import Tokenizer, WordPieceTokenizer, WordTokenizer, tokenizer_from_dict
from minimoe.data.tokenizer import SPECIAL

VOCABULARY = ["[PAD]", "x", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "##a", "a", "cafe", "the",
              "\u4e2d", "\u6587", ",", "'", "[", "]", "sep", "mask", "##k", "don", "t", "b"]
TEXTS = ["ab cd ef gh", "ba dc fe hg", "abab cdcd efef ghgh", "hello hello world", "Caf\u00e9, caf\u00e9!"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(VOCABULARY)


def pieces(tokenizer, text):
    return tokenizer.tokens(tokenizer.encode(text))[1:-1]


def bert_pieces(text: str) -> list[str]:
    """BERT's rules, written down once more from the paper's released description, letter by letter."""
    spaced = ""
    for c in text:
        category = unicodedata.category(c)
        if c in "\t\n\r" or category == "Zs":
            spaced += " "
        elif "\u4e00" <= c <= "\u9fff":
            spaced += f" {c} "
        elif c not in "\0\ufffd" and not category.startswith("C"):
            spaced += c
    found = []
    for word in spaced.split():
        plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        for c in set(plain):
            if unicodedata.category(c).startswith("P") or c in "$+<=>^`|~":
                plain = plain.replace(c, f" {c} ")
        for part in plain.split():
            start, cover = 0, []
            while start < len(part):
                ends = [end for end in range(len(part), start, -1)
                        if ("##" if start else "") + part[start:end] in VOCABULARY]
                if not ends:
                    cover = ["[UNK]"]
                    break
                cover.append(("##" if start else "") + part[start:ends[0]])
                start = ends[0]
            found += cover
    return found


def test_special_ids_are_looked_up_in_the_vocabulary(tokenizer):
    special = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert special == (0, 2, 3, 4, 5)
    assert tokenizer.vocab_size == len(VOCABULARY)


def test_a_word_is_covered_by_the_longest_pieces_from_the_left(tokenizer):
    assert pieces(tokenizer, "unaffable") == ["un", "##aff", "##able"]
    assert pieces(tokenizer, "una the") == ["un", "##a", "the"]
    assert pieces(tokenizer, "unb") == ["[UNK]"]


def test_case_accents_marks_and_chinese_characters(tokenizer):
    assert pieces(tokenizer, "Caf\u00e9,CAFE\u0301 don't \u4e2d\u6587") == [
        "cafe", ",", "cafe", "don", "'", "t", "\u4e2d", "\u6587"]


@pytest.mark.parametrize("text, expected", [
    ("the\nthe", ["the", "the"]), ("a\tb", ["a", "b"]), ("a\r\nb", ["a", "b"]), ("a\u00a0b", ["a", "b"]),
    ("a\u3000b", ["a", "b"]), ("\ufeffthe", ["the"]), ("t\0he", ["the"]), ("", []), (" \t\n ", [])])
def test_g31_white_space_of_every_kind_separates(text, expected, tokenizer):
    """Case G31 (dotnet/machinelearning#7724)."""
    assert pieces(tokenizer, text) == expected and tokenizer.words(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("unafblecthsm'k,.-$[]# \t\n\u00a0\u00e9\u0301\u4e2d\u6587A\u00c9\ufeff\0")))
def test_pieces_equal_berts_rules_spelled_out(text):
    assert pieces(WordPieceTokenizer(VOCABULARY), text) == bert_pieces(text)


def test_only_the_mask_is_special_inside_a_text(tokenizer):
    ids = tokenizer.encode("a [MASK] b[MASK] [SEP] [mask]")
    assert ids.count(tokenizer.mask_id) == 2 and ids.count(tokenizer.sep_id) == 1
    assert tokenizer.tokens(ids)[5:8] == ["[", "sep", "]"]
    assert tokenizer.words("a[MASK] [SEP]") == ["a", "[MASK]", "[", "sep", "]"]


def test_pairs_are_framed_cut_and_marked_as_by_the_word_tokenizer(tokenizer):
    ids = tokenizer.encode("the " * 7, "a b t", max_length=8)
    assert tokenizer.tokens(ids) == ["[CLS]", "the", "the", "the", "[SEP]", "a", "b", "[SEP]"]
    assert tokenizer.segments(ids) == [0, 0, 0, 0, 0, 1, 1, 1]


def test_encode_batch_equals_encode_one_by_one(tokenizer):
    pairs = [("unaffable", "the cafe"), ("", None), ("zzz", ""), ("don't", None)] * 50
    assert tokenizer.encode_batch(pairs, 9) == [tokenizer.encode(text, pair, 9) for text, pair in pairs]


def test_decode_joins_the_pieces_of_a_word(tokenizer):
    assert tokenizer.decode(tokenizer.encode("unaffable cafe", "[MASK] zzz")) == "unaffable cafe [MASK] [UNK]"


def test_a_lone_surrogate_is_no_crash(tokenizer):
    assert pieces(tokenizer, "a \ud800") == ["a", "[UNK]"]


def test_training_keeps_to_vocab_size_and_starts_with_the_special_tokens():
    for size in (10, 20, 30, 60):
        tokenizer = WordPieceTokenizer.train(TEXTS, size)
        assert tokenizer.vocab_size <= size
        assert tokenizer.tokens(range(5)) == list(SPECIAL)
    with pytest.raises(ValueError, match=r"vocab_size is 9; needed 10 or more"):
        WordPieceTokenizer.train(TEXTS, 9)


def test_training_joins_frequent_pieces_into_whole_words():
    tokenizer = WordPieceTokenizer.train(TEXTS * 5, 200)
    assert pieces(tokenizer, "HELLO world cafe") == ["hello", "world", "cafe"]


def test_training_leaves_no_piece_twice_and_no_character_unreadable():
    tokenizer = WordPieceTokenizer.train(TEXTS, 200)
    assert all(tokenizer.unk_id not in tokenizer.encode(text) for text in TEXTS)


def test_a_mask_in_the_training_text_is_no_word():
    tokenizer = WordPieceTokenizer.train(["[MASK] b [MASK] b"] * 9, 60)
    assert tokenizer.tokens(range(5, tokenizer.vocab_size)) == ["b"]


def test_training_gives_the_same_vocabulary_in_every_process():
    """huggingface/tokenizers#1794: ties were broken by the order of a hash table. Every pair here is as frequent."""
    program = f"from minimoe.data import WordPieceTokenizer as W; print(W.train({TEXTS!r}, 70).to_dict()['tokens'])"
    threads = [{}, {}, {"RAYON_NUM_THREADS": "1"}]
    found = {subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONIOENCODING": "utf-8", **extra},
                            capture_output=True, text=True, check=True, encoding="utf-8").stdout for extra in threads}
    assert found == {f"{WordPieceTokenizer.train(TEXTS, 70).to_dict()['tokens']}\n"}


def test_save_load_and_state_give_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "pieces.json")
    for again in (WordPieceTokenizer.load(tmp_path / "pieces.json"), Tokenizer.load(tmp_path / "pieces.json"),
                  tokenizer_from_dict(tokenizer.to_dict())):
        assert again.to_dict() == {"kind": "wordpiece", "tokens": VOCABULARY}
        assert again.encode("unaffable [MASK]") == tokenizer.encode("unaffable [MASK]")
    with pytest.raises(ValueError, match="this is a WordPieceTokenizer, not a WordTokenizer"):
        WordTokenizer.load(tmp_path / "pieces.json")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_berts_vocabulary_file_gives_its_line_numbers_as_ids(end, tmp_path):
    (tmp_path / "vocab.txt").write_bytes((end.join(VOCABULARY) + end).encode("utf-8"))
    assert WordPieceTokenizer.from_vocab_file(tmp_path / "vocab.txt").to_dict()["tokens"] == VOCABULARY


@pytest.mark.parametrize("content, message", [
    (b"a\nb\n", r"lack \[PAD\]"), ("\n".join([*VOCABULARY, "un"]).encode(), "'un' occurs twice"),
    ("\n".join([*VOCABULARY, "", "zz"]).encode(), "'' is no token"), (b"\xff\xfea", "is not UTF-8")])
def test_another_file_is_no_vocabulary(content, message, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        WordPieceTokenizer.from_vocab_file(tmp_path / "vocab.txt")
    assert "vocab.txt" in str(error.value)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'pip install "minimoe\[text\]"'):
        WordPieceTokenizer(VOCABULARY)
