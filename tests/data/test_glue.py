"""Reading GLUE files: every layout, and what is said about a file that is not in it."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minimoe.data import load_glue
from minimoe.data.glue import TASKS

LABELLED = {
    "cola": "gj04\t0\t*\tThem runs.\n",
    "sst2": "sentence\tlabel\na fine film \t1\n",
    "mrpc": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tIt rained.\tRain fell.\n",
    "rte": "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was dry.\tnot_entailment\n",
    "stsb": "index\tgenre\tsentence1\tsentence2\tscore\n0\tnews\tIt rained.\tRain fell.\t4.250\n",
    "wnli": "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tRain fell.\t1\n",
    "qnli": "index\tquestion\tsentence\tlabel\n0\tDid it rain?\tYes.\tentailment\n",
    "qqp": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tRain?\tWet?\t0\n",
    "mnli": "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tIt rained.\tIt poured.\tneutral\tneutral\n",
}
EXPECTED = {
    "cola": ("Them runs.", None, 0), "sst2": ("a fine film ", None, 1), "mrpc": ("It rained.", "Rain fell.", 1),
    "rte": ("It rained.", "It was dry.", 1), "stsb": ("It rained.", "Rain fell.", 4.25),
    "wnli": ("It rained.", "Rain fell.", 1), "qnli": ("Did it rain?", "Yes.", 0), "qqp": ("Rain?", "Wet?", 0),
    "mnli": ("It rained.", "It poured.", 1),
}
FOLDERS = {"cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "rte": "RTE", "stsb": "STS-B", "wnli": "WNLI",
           "qnli": "QNLI", "qqp": "QQP", "mnli": "MNLI"}


def write(folder, task, split, content):
    """`content`: text or bytes."""
    path = folder / FOLDERS[task] / f"{split}.tsv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.mark.parametrize("task", LABELLED)
def test_each_task_reads_its_published_columns(task, tmp_path):
    write(tmp_path, task, "train", LABELLED[task])
    data = load_glue(task, tmp_path, "train")
    assert [(e.text, e.pair, e.label) for e in data.examples] == [EXPECTED[task]]
    assert type(data.examples[0].label) is (float if task == "stsb" else int)
    assert (data.name, data.split, len(data)) == (task, "train", 1)


def test_metrics_and_classes_are_the_official_ones():
    assert {name: (task.metrics, len(task.classes)) for name, task in TASKS.items()} == {
        "cola": (("matthews",), 2), "sst2": (("accuracy",), 2), "mrpc": (("accuracy", "f1"), 2),
        "rte": (("accuracy",), 2), "stsb": (("pearson", "spearman"), 0), "wnli": (("accuracy",), 2),
        "qnli": (("accuracy",), 2), "qqp": (("accuracy", "f1"), 2), "mnli": (("accuracy",), 3)}


def test_stsb_is_regression_and_mnli_has_three_named_classes(tmp_path):
    write(tmp_path, "stsb", "dev", LABELLED["stsb"])
    write(tmp_path, "mnli", "train", LABELLED["mnli"])
    assert load_glue("stsb", tmp_path, "dev").n_classes == 1
    mnli = load_glue("mnli", tmp_path, "train")
    assert (mnli.n_classes, mnli.label_names) == (3, ("entailment", "neutral", "contradiction"))


def test_columns_are_found_by_name_in_any_order(tmp_path):
    write(tmp_path, "sst2", "dev", "label\tnote\tsentence\n1\tx\tgood\n")
    assert load_glue("sst2", tmp_path, "dev").examples[0].text == "good"


def test_g27_quotes_are_letters(tmp_path):
    """Case G27 (facebookresearch/pytext#777): a CSV reader swallows lines between two quotation marks."""
    texts = [('"Why is the sea salt?', "Where does sea salt come from?"), ('Is 3" the same as 3 inches?', '"No"'),
             ('"', "'"), ('What is ""x"" here?', "C:\\new\\table or \\t?"), ("Last one", 'ends with one"')]
    lines = [f"{i}\t1\t2\t{a}\t{b}\t{i % 2}" for i, (a, b) in enumerate(texts)]
    write(tmp_path, "qqp", "train", "\n".join([LABELLED["qqp"].split("\n")[0], *lines, ""]))
    found = load_glue("qqp", tmp_path, "train").examples
    assert [(e.text, e.pair, e.label) for e in found] == [(a, b, i % 2) for i, (a, b) in enumerate(texts)]


def test_g28_colas_labelled_files_have_no_header(tmp_path):
    """Case G28 (google-research/bert#144): the first sentence must not be taken for a header."""
    write(tmp_path, "cola", "train", 'ab01\t1\t\tThe lamp lit the room.\nab01\t0\t?*\tWho left "early?\n')
    found = load_glue("cola", tmp_path, "train").examples
    assert [(e.text, e.label) for e in found] == [("The lamp lit the room.", 1), ('Who left "early?', 0)]


def test_g28_colas_test_file_has_a_header_and_no_labels(tmp_path):
    """Case G28 (huggingface/datasets#183): no placeholder such as -1 may reach a loss or a score."""
    write(tmp_path, "cola", "test", "index\tsentence\n0\tThe river ran the boat.\n1\tThey has gone.\n")
    found = load_glue("cola", tmp_path, "test").examples
    assert [(e.text, e.label) for e in found] == [("The river ran the boat.", None), ("They has gone.", None)]


def test_a_label_column_in_a_test_file_is_not_used(tmp_path):
    write(tmp_path, "mrpc", "test", LABELLED["mrpc"])
    assert load_glue("mrpc", tmp_path, "test").examples[0].label is None


@pytest.mark.parametrize("asked, file", [("dev", "dev_matched"), ("test", "test_matched"),
                                         ("dev_mismatched", "dev_mismatched"), ("test_mismatched", "test_mismatched")])
def test_mnli_dev_and_test_mean_the_matched_files(asked, file, tmp_path):
    write(tmp_path, "mnli", file, LABELLED["mnli"])
    assert load_glue("mnli", tmp_path, asked).split == file


def test_byte_order_mark_and_crlf_are_not_part_of_the_data(tmp_path):
    write(tmp_path, "sst2", "dev", b"\xef\xbb\xbf" + b"sentence\tlabel\r\ngood\t1\r\nbad\t0\r\n")
    assert [(e.text, e.label) for e in load_glue("sst2", tmp_path, "dev").examples] == [("good", 1), ("bad", 0)]


def test_only_a_line_feed_ends_a_line(tmp_path):
    text = "one\u2028two\x85three\x0bfour\x0cfive\x1csix"
    write(tmp_path, "sst2", "dev", f"sentence\tlabel\n{text}\t1\n")
    assert [e.text for e in load_glue("sst2", tmp_path, "dev").examples] == [text]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="\t\n\r\0", exclude_categories=["Cs"])),
                          st.integers(0, 1)), min_size=1, max_size=5))
def test_any_text_without_tab_and_line_end_comes_back_as_it_was(tmp_path, rows):
    write(tmp_path, "sst2", "dev", "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    assert [(e.text, e.label) for e in load_glue("sst2", tmp_path, "dev").examples] == rows


@pytest.mark.parametrize("task, content, message", [
    ("sst2", "sentence\tlabel\ngood\t1\nbad\n", r"dev\.tsv, line 3 has 1 columns .* needed 2.*Repair or delete"),
    ("sst2", "sentence\tlabel\ngood\t1\textra\n", r"line 2 has 3 columns"),
    ("sst2", "sentence\tlabel\ngood\t1\n\nbad\t0\n", r"line 3 has 1 columns"),
    ("sst2", "sentence\tlabel\ngood\t2\n", r"line 2 has the label '2'; SST-2 needs 0 or 1"),
    ("sst2", "sentence\tlabel\ngood\t-1\n", r"line 2 has the label '-1'"),
    ("sst2", "good\t1\nbad\t0\n", r"line 1 names the columns .*needs one named 'sentence'"),
    ("sst2", "sentence\tscore\ngood\t1\n", r"needs one named 'label'"),
    ("sst2", "sentence\tlabel\n", r"holds no examples"),
    ("sst2", "", r"is empty"),
    ("sst2", "\n\n", r"is empty"),
    ("sst2", b"sentence\tlabel\ncaf\xe9\t1\n", r"line 2 is not UTF-8"),
    ("sst2", b"sentence\tlabel\ngood\t1\nba\0d\t1\n", r"line 3 holds a NUL byte"),
    ("sst2", "sentence\tlabel\ngood\t1\n".encode("utf-16-le"), r"line 1 holds a NUL byte"),
    ("cola", "source\tlabel\tmark\tsentence\n", r"line 1 has the label 'label'; CoLA needs 0 or 1"),
    ("rte", LABELLED["rte"].replace("not_entailment", "no"), r"needs entailment or not_entailment"),
    ("stsb", LABELLED["stsb"].replace("4.250", "5.1"), r"label '5.1'; STS-B needs a number from 0 to 5"),
    ("stsb", LABELLED["stsb"].replace("4.250", "nan"), r"needs a number from 0 to 5"),
    ("stsb", LABELLED["stsb"].replace("4.250", "high"), r"needs a number from 0 to 5"),
])
def test_a_damaged_file_is_refused_by_name_and_line(task, content, message, tmp_path):
    path = write(tmp_path, task, "dev", content)
    with pytest.raises(ValueError, match=message) as error:
        load_glue(task, tmp_path, "dev")
    assert str(path) in str(error.value)


def test_a_missing_file_is_named_with_its_folder_and_the_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file train\.tsv in .*SST-2; .*DATA_DIR/SST-2/train\.tsv .*CoLA"):
        load_glue("sst2", tmp_path, "train")


def test_unknown_task_and_split_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"task is 'SST-2'; needed one of cola sst2 mrpc"):
        load_glue("SST-2", tmp_path, "train")
    with pytest.raises(ValueError, match=r"split is 'validation'; sst2 has train dev test"):
        load_glue("sst2", tmp_path, "validation")
    with pytest.raises(ValueError, match=r"split is 'dev_matched'; rte has"):
        load_glue("rte", tmp_path, "dev_matched")


def test_texts_gives_both_texts_of_every_example(tmp_path):
    write(tmp_path, "wnli", "train", LABELLED["wnli"] + "1\tc\td\t0\n")
    assert list(load_glue("wnli", tmp_path, "train").texts()) == ["It rained.", "Rain fell.", "c", "d"]


def test_a_file_of_qqp_of_which_no_line_is_whole_is_refused(tmp_path):
    (tmp_path / "QQP").mkdir()
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    (tmp_path / "QQP" / "dev.tsv").write_text(head + "1\t2\tcut", encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev.tsv: every line is damaged \(not 6 columns\); get the published file"):
        load_glue("qqp", tmp_path, "dev")


def test_damaged_lines_of_qqp_are_left_out_with_a_warning_that_counts_them(tmp_path):
    """nyu-mll/GLUE-baselines#5: the published file has a few lines with too few columns."""
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    lines = [header, "0\t1\t2\ta\tb\t1", "1\t3", "2\t4\t5\tc\td\t0", "e\tf\t1"]
    (tmp_path / "QQP").mkdir()
    (tmp_path / "QQP" / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"left out 2 damaged lines \(not 6 columns\), the first is line 3"):
        found = load_glue("qqp", tmp_path, "train")
    assert [(e.text, e.pair, e.label) for e in found.examples] == [("a", "b", 1), ("c", "d", 0)]
