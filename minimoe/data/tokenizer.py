"""Words to numbers: what all tokenizers share, and the word tokenizer, which is all that the built-in tasks need."""
from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from unicodedata import normalize

from minimoe.files import write_text

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK = "[MASK]"
MOST_TOKENS = 1_000_000
# A word with its inner apostrophes, or one mark. Control characters and lone surrogates are neither: they separate.
WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), 0x2060, 0xFEFF])   # soft hyphen, joiners, byte-order mark


class Tokenizer:
    """What both tokenizers share: [CLS] a [SEP] or [CLS] a [SEP] b [SEP], cut to length, and the way to JSON.

    A literal "[MASK]" in a text is the mask token; every other special token's name in a text is ordinary text.
    """

    kind: str
    pad_id: int
    unk_id: int
    cls_id: int
    sep_id: int
    mask_id: int

    def __init__(self, tokens: Sequence[str]):
        """`tokens[i]` is the token with id i; the five special ones must be among them."""
        self._tokens = list(tokens)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (self._ids[name] for name in SPECIAL)

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Those of SPECIAL, in its order."""
        return self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id

    def words(self, text: str) -> list[str]:
        """The words and marks of a text, before any of them is looked up."""
        raise NotImplementedError

    def texts_ids(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        raise NotImplementedError

    def encode(self, text: str, pair: str | None = None, max_length: int | None = None) -> list[int]:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP].

        Too long for `max_length`: the longer of the two loses its last token until all fit (at a tie the pair loses).
        Raises ValueError when max_length leaves no room for a token of every text that has any.
        """
        return self.encode_batch([(text, pair)], max_length)[0]

    def encode_batch(self, texts: Iterable[tuple[str, str | None]], max_length: int | None = None) -> list[list[int]]:
        """`encode` of many (text, pair)."""
        texts = list(texts)
        for part in (part for both in texts for part in both):
            if not isinstance(part, str) and part is not None:
                raise TypeError(f"encode: a text is a {type(part).__name__}; needed a str")
        firsts = self.texts_ids([text for text, _ in texts])
        seconds = iter(self.texts_ids([pair for _, pair in texts if pair is not None]))
        return [self._join(first, None if pair is None else next(seconds), max_length)
                for first, (_, pair) in zip(firsts, texts, strict=True)]

    def _join(self, a: list[int], b: list[int] | None, max_length: int | None) -> list[int]:
        if max_length is not None:
            room = max_length - (2 if b is None else 3)
            if room < (len(a) > 0) + (b is not None and len(b) > 0):
                raise ValueError(f"encode: max_length {max_length} leaves {max(room, 0)} tokens for the text beside"
                                 f" the special ones; use at least {3 if b is None else 5}")
            a, b = cut(a, b, room)
        return [self.cls_id, *a, self.sep_id] + ([] if b is None else [*b, self.sep_id])

    def segments(self, ids: Iterable[int]) -> list[int]:
        """0 up to and including the first [SEP], then 1."""
        ids = list(ids)
        first = ids.index(self.sep_id) + 1 if self.sep_id in ids else len(ids)
        return [0] * first + [1] * (len(ids) - first)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The token of every id. Raises ValueError for an id outside the vocabulary, TypeError for no integer."""
        ids = [operator.index(i) for i in ids]
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"{type(self).__name__}: id {i} is outside the vocabulary of {self.vocab_size}")
        return [self._tokens[i] for i in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens, separated by spaces, without [PAD], [CLS] and [SEP] ([UNK] and [MASK] stay)."""
        return " ".join(token for token in self.tokens(ids) if token not in ("[PAD]", "[CLS]", "[SEP]"))

    def to_dict(self) -> dict:
        """All of the tokenizer as plain data; `tokenizer_from_dict` is the way back."""
        return {"kind": self.kind, "tokens": self._tokens}

    @classmethod
    def from_dict(cls, state: dict) -> Tokenizer:
        """The way back from `to_dict`. Trusts nothing in `state`; raises ValueError for what does not fit."""
        if not isinstance(state, dict) or state.get("kind") != cls.kind:
            raise ValueError(f'{cls.__name__}.from_dict: needed a table with "kind": "{cls.kind}" and "tokens"')
        return cls(checked_tokens(state.get("tokens"), f"{cls.__name__}.from_dict"))

    def save(self, path: str | Path) -> None:
        """Writes the tokenizer as JSON, under a temporary name first."""
        write_text(path, json.dumps(self.to_dict(), ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Reads what `save` wrote. Raises ValueError when it is something else, OSError when it cannot be read."""
        with open(path, encoding="utf-8") as file:
            try:
                found = tokenizer_from_dict(json.load(file))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}: not a tokenizer: {error}") from error
        if not isinstance(found, cls):
            raise ValueError(f"{path}: this is a {type(found).__name__}, not a {cls.__name__}")
        return found


def cut(a: list[int], b: list[int] | None, room: int) -> tuple[list[int], list[int] | None]:
    """Both lists cut to `room` tokens in all: the longer one loses its last token first, at a tie `b` does."""
    if b is None:
        return a[:room], None
    larger_half = (room + 1) // 2
    keep_a = min(len(a), max(larger_half, room - len(b)))
    return a[:keep_a], b[:room - keep_a]


def checked_texts(texts: Iterable[str], where: str) -> Iterator[str]:
    """The texts, one after another. Raises TypeError for one text in place of several, and for what is no text."""
    if isinstance(texts, str):
        raise TypeError(f"{where}: texts is one str; give a list of texts")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{where}: a text is a {type(text).__name__}; needed a str")
        yield text


def checked_tokens(tokens: object, where: str) -> list[str]:
    """`tokens` if it can be a vocabulary: different texts without white space, the special ones among them."""
    if not isinstance(tokens, list) or len(tokens) > MOST_TOKENS:
        raise ValueError(f"{where}: the tokens must be a list of at most {MOST_TOKENS} texts")
    for token in tokens:
        if not isinstance(token, str) or token.split() != [token] or CONTROL.search(token):
            raise ValueError(f"{where}: {token!r:.60} is no token; needed a non-empty text without white space")
    if len(set(tokens)) < len(tokens):
        twice = next(token for token, count in Counter(tokens).items() if count > 1)
        raise ValueError(f"{where}: the token {twice!r:.60} occurs twice")
    if missing := [name for name in SPECIAL if name not in tokens]:
        raise ValueError(f"{where}: the tokens lack {' '.join(missing)}")
    return tokens


class WordTokenizer(Tokenizer):
    """Lower-case words, numbers and marks; a word that training did not see becomes [UNK]. Special ids are 0 to 4."""

    kind = "word"

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 16000) -> WordTokenizer:
        """The most frequent words, ties in alphabetical order; vocab_size counts the five special tokens.

        Raises ValueError when vocab_size leaves room for no word, TypeError for what is no list of texts.
        """
        if vocab_size <= len(SPECIAL):
            raise ValueError(f"WordTokenizer.train: vocab_size is {vocab_size}; needed over {len(SPECIAL)}, the number"
                             " of special tokens")
        counts = Counter(word for text in checked_texts(texts, "WordTokenizer.train")
                         for word in split_words(text))
        counts.pop(MASK, None)
        best = sorted(counts, key=lambda word: (-counts[word], word))
        return cls([*SPECIAL, *best[:vocab_size - len(SPECIAL)]])

    def words(self, text: str) -> list[str]:
        """White space of every kind separates, a byte-order mark vanishes, "don't" is one word, [MASK] stays whole."""
        return split_words(text)

    def texts_ids(self, texts: list[str]) -> list[list[int]]:
        return [[self._ids.get(word, self.unk_id) for word in split_words(text)] for text in texts]

    @classmethod
    def from_dict(cls, state: dict) -> WordTokenizer:
        found = super().from_dict(state)
        if found._tokens[:len(SPECIAL)] != list(SPECIAL):
            raise ValueError(f"WordTokenizer.from_dict: the first tokens must be {' '.join(SPECIAL)}")
        return found


def split_words(text: str) -> list[str]:
    """See WordTokenizer.words. Composed letters and lower case, so that a word has one form."""
    words: list[str] = []
    for i, part in enumerate(text.split(MASK)):
        if i > 0:
            words.append(MASK)
        if not part.isascii():
            part = normalize("NFC", part.translate(INVISIBLE))
        words += WORD.findall(part.lower())
    return words


def tokenizer_class(kind: str) -> type[Tokenizer]:
    """The tokenizer called "word" or "wordpiece". Raises ValueError for another name."""
    if kind == "word":
        return WordTokenizer
    if kind == "wordpiece":
        from minimoe.data.wordpiece import WordPieceTokenizer  # late: that file imports this one

        return WordPieceTokenizer
    raise ValueError(f"tokenizer: {kind!r:.60} is neither word nor wordpiece")


def tokenizer_from_dict(state: dict) -> Tokenizer:
    """The tokenizer whose `to_dict` gave `state`. Trusts nothing in it; raises ValueError for what does not fit."""
    if not isinstance(state, dict):
        raise ValueError(f"tokenizer_from_dict: the state is a {type(state).__name__}; needed a table")
    return tokenizer_class(state.get("kind")).from_dict(state)
