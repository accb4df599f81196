"""Properties that hold for any input: the loaders and both tokenizers. The examples are the same in every run.

tests/data has the properties of single texts.
"""
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from minimoe.data import Dataset, Example, WordPieceTokenizer, WordTokenizer, encode_dataset, load_glue, load_text
from minimoe.data.glue import TASKS
from minimoe.data.tokenizer import split_words, tokenizer_from_dict

ALWAYS = dict(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
FIELD = st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"]), max_size=20)
ODD = "aB\u00e9\u0301 '\u2019-#[MASK]\u4e2d\ufeff\u200d\ud800\0\n\u2028\U0001f600"
ANY = st.text(max_size=30) | st.text(st.sampled_from(ODD))


# loaders
def glue_file(facts, rows, columns, end) -> bytes:
    """rows: (text, pair, label as written). columns: the order of the columns in the file."""
    names = {"text": facts.text, "pair": facts.pair, "label": facts.label, "other": "note"}
    lines = ["\t".join(names[c] for c in columns)]
    lines += ["\t".join({"text": a, "pair": b, "label": c, "other": "x"}[column] for column in columns)
              for a, b, c in rows]
    return end.join(lines).encode()


@settings(max_examples=60, **ALWAYS)
@given(task=st.sampled_from(sorted(set(TASKS) - {"cola"})), data=st.data(), bom=st.booleans(),
       end=st.sampled_from(["\n", "\r\n"]), last=st.sampled_from(["", "\n", "\r\n"]))
def test_every_glue_table_comes_back_as_it_was_written(tmp_path, task, data, bom, end, last):
    facts = TASKS[task]
    label = st.sampled_from(facts.classes) if facts.classes else st.floats(0, 5, width=32).map(repr)
    rows = data.draw(st.lists(st.tuples(FIELD, FIELD, label), min_size=1, max_size=4))
    columns = data.draw(st.permutations(["text", "label", "other"] + ["pair"] * (facts.pair is not None)))
    split = "dev_matched" if task == "mnli" else "dev"
    (tmp_path / facts.folder).mkdir(exist_ok=True)
    (tmp_path / facts.folder / f"{split}.tsv").write_bytes(
        b"\xef\xbb\xbf" * bom + glue_file(facts, rows, columns, end) + last.encode())
    found = load_glue(task, tmp_path, "dev").examples
    assert [(e.text, e.pair) for e in found] == [(a, b if facts.pair else None) for a, b, _ in rows]
    assert [e.label for e in found] == [facts.classes.index(c) if facts.classes else float(c) for _, _, c in rows]


@settings(max_examples=150, **ALWAYS)
@given(task=st.sampled_from(sorted(TASKS)),
       data=st.binary(max_size=60) | st.text("01\tab\n\r\"'", max_size=40).map(str.encode))
def test_any_bytes_are_a_data_set_or_an_error_that_names_the_file(tmp_path, task, data):
    path = tmp_path / TASKS[task].folder / ("dev_matched.tsv" if task == "mnli" else "dev.tsv")
    path.parent.mkdir(exist_ok=True)
    names = filter(None, (TASKS[task].text, TASKS[task].pair, TASKS[task].label))
    header = b"" if task == "cola" else "\t".join(names).encode() + b"\n"
    for content in (data, header + data):
        path.write_bytes(content)
        try:
            found = load_glue(task, tmp_path, "dev")
        except ValueError as error:
            assert str(path) in str(error) and len(str(error)) < len(str(path)) + 500
        except UserWarning as warning:              # QQP leaves damaged lines out and counts them
            assert task == "qqp" and str(path) in str(warning)
        else:
            assert all(type(e.text) is str and (e.pair is None) == (TASKS[task].pair is None) for e in found.examples)


@settings(max_examples=100, **ALWAYS)
@given(st.binary(max_size=60))
def test_any_bytes_are_paragraphs_or_an_error_that_names_the_file(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    try:
        found = load_text(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert found and all(p and p == p.strip() and "\n" not in p for p in found)


# tokenizers
@pytest.fixture(params=["word", "wordpiece"])
def kind(request):
    return {"word": WordTokenizer, "wordpiece": WordPieceTokenizer}[request.param]


@settings(max_examples=60, **ALWAYS)
@given(texts=st.lists(ANY, max_size=6), size=st.integers(10, 60), text=ANY, pair=st.none() | ANY,
       limit=st.integers(5, 12))
@example(texts=[], size=10, text="", pair="", limit=5)
@example(texts=["\ud800"], size=10, text="\ud800[MASK]\ud800", pair=None, limit=5)
def test_a_tokenizer_of_any_texts_reads_any_text_and_survives_its_state(kind, texts, size, text, pair, limit):
    tokenizer = kind.train(texts, size)
    assert tokenizer.vocab_size <= size
    ids = tokenizer.encode(text, pair, limit)
    assert len(ids) <= limit and ids[0] == tokenizer.cls_id and ids[-1] == tokenizer.sep_id
    assert ids.count(tokenizer.sep_id) == (1 if pair is None else 2) and tokenizer.pad_id not in ids
    assert min(ids) >= 0 and max(ids) < tokenizer.vocab_size and len(tokenizer.segments(ids)) == len(ids)
    again = tokenizer_from_dict(tokenizer.to_dict())
    assert again.to_dict() == tokenizer.to_dict() and again.encode(text, pair, limit) == ids
    assert isinstance(tokenizer.words(text), list)


@settings(max_examples=60, **ALWAYS)
@given(text=st.lists(st.sampled_from("the film was not so bad but long".split()), max_size=12).map(" ".join))
def test_known_words_survive_the_round_trip(kind, text):
    tokenizer = kind.train(["the film was not so bad but long"] * 3, 200)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    ids = tokenizer.encode("bad zzz [MASK] " + text)
    assert tokenizer.encode(tokenizer.decode(ids).replace("[UNK]", "zzz")) == ids


@settings(max_examples=100, **ALWAYS)
@given(first=st.integers(0, 9), second=st.none() | st.integers(0, 9), limit=st.integers(5, 14), data=st.data())
def test_positions_of_deciding_words_point_at_those_words_after_cutting(first, second, limit, data):
    """Every word is another one, so that a position that is off by one shows."""
    words = [f"w{i}" for i in range(first + (second or 0))]
    assume(words)
    marked = data.draw(st.sets(st.sampled_from(range(len(words)))))
    pair = None if second is None else " ".join(words[first:])
    example = Example(" ".join(words[:first]), pair, 1, tuple(sorted(marked)))
    tokenizer = WordTokenizer.train([" ".join(words)], 100)
    encoded = encode_dataset(Dataset("x", "train", (example,), 2, ("accuracy",), ("a", "b")), tokenizer, limit)
    tokens = tokenizer.tokens(encoded.ids[0])
    kept = [word for i, word in enumerate(words) if i in marked and word in tokens]
    assert [tokens[i] for i in encoded.deciding[0]] == kept


@settings(max_examples=100, **ALWAYS)
@given(ANY, ANY)
def test_words_do_not_depend_on_what_stands_beside_them(a, b):
    assert split_words(f"{a} \n {b}") == split_words(a) + split_words(b)
