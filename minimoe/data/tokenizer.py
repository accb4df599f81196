"""Words to numbers. The word tokenizer is all that the built-in tasks need."""
from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable

from minimoe.files import write_text

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK = "[MASK]"
PIECES = re.compile(r"\[MASK\]|\w+(?:['’]\w+)*|[^\w\s]")
MOST_WORDS = 1_000_000


class Tokenizer:
    """What both tokenizers share: [CLS] a [SEP] or [CLS] a [SEP] b [SEP], cut to length, and the way to JSON."""

    kind: str
    pad_id: int
    unk_id: int
    cls_id: int
    sep_id: int
    mask_id: int

    @property
    def vocab_size(self) -> int:
        raise NotImplementedError

    def text_ids(self, text: str) -> list[int]:
        """The ids of one text, without special tokens."""
        raise NotImplementedError

    def encode(self, text: str, pair: str | None = None, max_length: int | None = None) -> list[int]:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP].

        Too long for `max_length`: the longer of the two loses its last token until all fit (at a tie the pair loses).
        Raises ValueError when max_length leaves no room for a token of every text that has any.
        """
        return self._join(self.text_ids(text), None if pair is None else self.text_ids(pair), max_length)

    def encode_batch(self, texts: Iterable[tuple[str, str | None]], max_length: int | None = None) -> list[list[int]]:
        """`encode` of many (text, pair)."""
        return [self.encode(text, pair, max_length) for text, pair in texts]

    def _join(self, a: list[int], b: list[int] | None, max_length: int | None) -> list[int]:
        if max_length is not None:
            room = max_length - (2 if b is None else 3)
            if room < (len(a) > 0) + (b is not None and len(b) > 0):
                raise ValueError(f"encode: max_length {max_length} leaves {max(room, 0)} tokens for the text beside the "
                                 f"special ones; use at least {3 if b is None else 5}")
            a, b = cut(a, b, room)
        return [self.cls_id, *a, self.sep_id] + ([] if b is None else [*b, self.sep_id])

    def segments(self, ids: list[int]) -> list[int]:
        """0 up to and including the first [SEP], then 1."""
        first = ids.index(self.sep_id) + 1 if self.sep_id in ids else len(ids)
        return [0] * first + [1] * (len(ids) - first)

    def save(self, path) -> None:
        """Writes the tokenizer as JSON, under a temporary name first."""
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False))

    @classmethod
    def load(cls, path) -> Tokenizer:
        """Reads what `save` wrote. Raises ValueError when it is something else."""
        with open(path, encoding="utf-8") as file:
            try:
                found = tokenizer_from_dict(json.load(file))
            except ValueError as error:
                raise ValueError(f"{path}: not a tokenizer: {error}") from error
        if cls is not Tokenizer and type(found) is not cls:
            raise ValueError(f"{path}: this is a {type(found).__name__}, not a {cls.__name__}")
        return found

    def to_dict(self) -> dict:
        raise NotImplementedError


def cut(a: list[int], b: list[int] | None, room: int) -> tuple[list[int], list[int] | None]:
    """Both lists cut to `room` tokens in all, the longer one first."""
    if b is None:
        return a[:room], None
    over = len(a) + len(b) - room
    keep_a, keep_b = len(a), len(b)
    while over > 0:                                 # at most a few hundred steps
        if keep_a > keep_b:
            keep_a -= 1
        else:
            keep_b -= 1
        over -= 1
    return a[:keep_a], b[:keep_b]


class WordTokenizer(Tokenizer):
    """Lower-case words, numbers and punctuation marks; a word that training did not see becomes [UNK]."""

    kind = "word"
    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)

    def __init__(self, words: list[str]):
        self._words = [*SPECIAL, *words]
        self._ids = {word: i for i, word in enumerate(words, len(SPECIAL))}
        self._ids[MASK] = self.mask_id

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 16000) -> WordTokenizer:
        """The most frequent words, ties in alphabetical order; vocab_size counts the five special tokens.

        Raises ValueError when vocab_size leaves room for no word."""
        if vocab_size <= len(SPECIAL):
            raise ValueError(f"WordTokenizer.train: vocab_size is {vocab_size}; it must be over {len(SPECIAL)}")
        counts = Counter(word for text in texts for word in cls.words(text))
        counts.pop(MASK, None)
        best = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(best[:vocab_size - len(SPECIAL)])

    @property
    def vocab_size(self) -> int:
        return len(self._words)

    @staticmethod
    def words(text: str) -> list[str]:
        """The words of a text. White space of every kind separates; a byte-order mark disappears; [MASK] stays whole."""
        found = PIECES.findall(text.replace("\ufeff", " "))
        return [word if word == MASK else word.lower() for word in found]

    def text_ids(self, text: str) -> list[int]:
        return [self._ids.get(word, self.unk_id) for word in self.words(text)]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The word of every id."""
        return [self._words[i] for i in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The words, separated by spaces, without special tokens ([UNK] and [MASK] stay)."""
        return " ".join(self._words[i] for i in ids if i not in (self.pad_id, self.cls_id, self.sep_id))

    def to_dict(self) -> dict:
        return {"kind": self.kind, "words": self._words[len(SPECIAL):]}

    @classmethod
    def from_dict(cls, state: dict) -> WordTokenizer:
        words = state.get("words")
        if not isinstance(words, list) or len(words) > MOST_WORDS or not all(isinstance(w, str) for w in words):
            raise ValueError("words must be a list of at most a million texts")
        if len(set(words)) < len(words) or set(words) & set(SPECIAL):
            raise ValueError("words must all differ, from one another and from the special tokens")
        return cls(words)


def tokenizer_class(kind: str) -> type[Tokenizer]:
    """The tokenizer called "word" or "wordpiece". Raises ValueError for another name."""
    if kind == "word":
        return WordTokenizer
    if kind == "wordpiece":
        from minimoe.data.wordpiece import WordPieceTokenizer       # late: needs the `tokenizers` package

        return WordPieceTokenizer
    raise ValueError(f"tokenizer: {kind!r} is neither word nor wordpiece")


def tokenizer_from_dict(state: dict) -> Tokenizer:
    """The tokenizer whose `to_dict` gave `state`. Trusts nothing in it; raises ValueError for what does not fit."""
    if not isinstance(state, dict):
        raise ValueError(f"the tokenizer's state is a {type(state).__name__}, not a table")
    return tokenizer_class(state.get("kind")).from_dict(state)
