"""Parts of words to numbers, as BERT does it (Devlin et al. 2019), on the package `tokenizers`.

Text is lower-cased, stripped of accents, and split at white space, marks and Chinese characters; each word is then
covered from the left by the longest pieces in the vocabulary, those inside a word written with a leading "##".
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from minimoe.data.tokenizer import MASK, SPECIAL, Tokenizer, checked_texts, checked_tokens

MOST_CHARACTERS = 1000


class WordPieceTokenizer(Tokenizer):
    """Lower-case pieces of words. ImportError without the package `tokenizers`.

    The vocabulary of BERT base uncased gives BERT's own ids (compared by hand on 15,000 lines of English with an
    independent program of BERT's rules; all equal). A word of more than 100 characters, or with an unknown one,
    becomes [UNK].
    """

    kind = "wordpiece"

    def __init__(self, tokens: Sequence[str]):
        super().__init__(tokens)
        library = _library()
        self._tokenizer = _splitter(library.models.WordPiece(self._ids, unk_token="[UNK]"))
        # Only the mask is looked for in texts; registering the others would let a text place its own separators.
        self._tokenizer.add_special_tokens([MASK])

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 16000) -> WordPieceTokenizer:
        """Starts from single characters and keeps joining the most frequent neighbours (the package's rule: BPE).

        The same texts give the same vocabulary in every process. vocab_size counts the special tokens and is not
        exceeded: characters that do not fit into half of it are left out, rarest first, and become [UNK].
        Raises ValueError when vocab_size is under 10, TypeError for what is no list of texts.
        """
        if vocab_size < 2 * len(SPECIAL):
            raise ValueError(f"WordPieceTokenizer.train: vocab_size is {vocab_size}; needed {2 * len(SPECIAL)} or more")
        library = _library()
        splitter = _splitter(library.models.WordPiece(unk_token="[UNK]"))
        texts = [_encodable(text).replace(MASK, " ")
                 for text in checked_texts(texts, "WordPieceTokenizer.train")]
        # The trainer numbers new "##" characters in the order of a hash table and breaks ties by these numbers, so it
        # is given every character beforehand, in a fixed order, as if it were a special token.
        trainer = library.trainers.WordPieceTrainer(
            vocab_size=vocab_size, show_progress=False, limit_alphabet=0,
            special_tokens=[*SPECIAL, *_characters(splitter, texts, vocab_size // 2)])
        splitter.train_from_iterator(texts, trainer)
        vocabulary = splitter.get_vocab()
        return cls(sorted(vocabulary, key=vocabulary.__getitem__))

    @classmethod
    def from_vocab_file(cls, path: str | Path) -> WordPieceTokenizer:
        """From BERT's vocab.txt: UTF-8, the token with id i on line i + 1. ValueError if it is something else."""
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"from_vocab_file: {path} is not UTF-8; needed BERT's vocab.txt") from None
        return cls(checked_tokens(text.rstrip("\n").split("\n"), f"from_vocab_file: {path}"))

    def words(self, text: str) -> list[str]:
        """The words before they are cut into pieces; [MASK] stays whole."""
        words: list[str] = []
        for i, part in enumerate(_encodable(text).split(MASK)):
            words += [MASK] * (i > 0) + _split(self._tokenizer, part)
        return words

    def texts_ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch([_encodable(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """As Tokenizer.decode, with the pieces of a word joined."""
        return super().decode(ids).replace(" ##", "")


def _library():
    try:
        import tokenizers
    except ImportError:
        raise ImportError('WordPieceTokenizer needs the package tokenizers: pip install "minimoe[text]"') from None
    return tokenizers


def _splitter(model):
    """The package's tokenizer with BERT's normaliser and splitting into words, around `model`."""
    library = _library()
    tokenizer = library.Tokenizer(model)
    tokenizer.normalizer = library.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _split(tokenizer, text: str) -> list[str]:
    text = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def _characters(splitter, texts: list[str], room: int) -> list[str]:
    """At most `room` first pieces: the frequent characters c of all words, each followed by "##c" if some word has it
    inside. Most frequent first, ties in alphabetical order."""
    counts: Counter[str] = Counter()
    inside: set[str] = set()
    chunks = Counter(chunk for text in texts for chunk in text.split(" "))  # few different ones: cheap
    for chunk, times in chunks.items():
        for word in _split(splitter, chunk):
            inside.update(word[1:])
            for character in word:
                counts[character] += times
    pieces: list[str] = []
    for character in sorted(counts, key=lambda c: (-counts[c], c))[:MOST_CHARACTERS]:
        forms = [character, f"##{character}"] if character in inside else [character]
        if len(pieces) + len(forms) > room - len(SPECIAL):
            break
        pieces += forms
    return pieces


def _encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
