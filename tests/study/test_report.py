"""The report: result files in, fair comparisons, tables, figures and a verdict out."""
import csv
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from made_results import BASE, BUDGET, ROWS, result, write, write_rows
from scipy.stats import ttest_1samp

from minimoe.study.comparisons import compare_rows
from minimoe.study.report import write_report
from minimoe.study.rows import groups, read_rows
from minimoe.study.tables import markdown
from minimoe.study.verdicts import beats, conclusion, decisive_of, evidence, marks_of, overall, read_marks

SPREAD = np.array([0.0, 0.004, -0.004, 0.002, -0.001])
WINS = {"topk2": 0.8 + SPREAD[::-1], "shuffled": 0.8 + SPREAD, "budget": 0.85 + SPREAD + 0.001 * SPREAD[::-1]}
NEARLY = np.array([0.01, 0.05, 0.03, 0.012, 0.02])              # better if judged alone, not among several
TIES = WINS | {"budget": 0.8 + SPREAD[[1, 0, 2, 4, 3]]}


def rows_of(folder, scores, **more):
    return read_rows(write_rows(folder, {row: list(values) for row, values in scores.items()}, **more))


def pair(rows, candidate, reference):
    return next(one for one in compare_rows(rows)
                if (one.candidate.name, one.reference.name) == (candidate, reference))


# rows
def test_files_are_gathered_by_row_and_seeds_stand_in_order(tmp_path):
    write(tmp_path, *(result("budget", seed, seed / 100) for seed in (10, 2, 0)), result("dense", 0, 0.5))
    (tmp_path / "f.json").write_text("{}")          # what --json wrote is no cell
    found = {row.name: row.scores for row in read_rows(tmp_path)}
    assert found == {"dense": {0: 0.5}, "budget": {0: 0.0, 2: 0.02, 10: 0.1}}
    assert [row.group for row in read_rows(tmp_path)] == ["sentiment", "sentiment"]
    assert list(found) == ["dense", "budget"] and list(found["budget"]) == [0, 2, 10]


def test_every_folder_is_a_grid_of_its_own(tmp_path):
    write_rows(tmp_path / "a", {"budget": [0.5], "topk2": [0.5]})
    write_rows(tmp_path / "b", {"budget": [0.6], "topk2": [0.6]})
    rows = read_rows(tmp_path)
    assert [(row.grid, row.group, row.scores[0]) for row in rows if row.name == "budget"] == [
        ("a", "sentiment (a)", 0.5), ("b", "sentiment (b)", 0.6)]
    assert [one.candidate.grid == one.reference.grid for one in compare_rows(rows)] == [True, True]
    assert [len(group) for group in groups(rows)] == [2, 2]


@pytest.mark.parametrize("config, role", [
    (dict(experts=0), "dense"), (dict(router="switch"), "fixed"), (dict(allocation="top_p"), "fixed"),
    ({}, "importance"), (dict(importance="colmax"), "importance"), (dict(importance="shuffled(rowmax)"), "control"),
    (dict(importance="reversed(colmax)"), "control"), (dict(importance="random"), "control"),
    (dict(importance="router_entropy"), "control"), (dict(router_options={"measure": "uniform"}), "control"),
    (dict(router="mine.py:Mine"), "own"), (dict(router="mine.py:Mine", importance="colmax"), "own"),
    (dict(router="mine.py:Mine", importance="shuffled(colmax)"), "control")])
def test_the_role_of_a_row_is_read_off_its_configuration(tmp_path, config, role):
    write(tmp_path, result("x", 0, 0.5, config=config))
    assert read_rows(tmp_path)[0].role == role


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"score": "high"}', '{"score": 0.5, "seed": 0, "config": {}}'])
def test_a_damaged_file_is_named_in_one_line(tmp_path, text):
    write(tmp_path, result("budget", 0, 0.5))
    (tmp_path / "sentiment--budget--1.json").write_text(text)
    with pytest.raises(ValueError, match=r"sentiment--budget--1.json: this is not a result of minimoe compare; remove"):
        read_rows(tmp_path)


def test_a_copy_of_a_result_is_refused(tmp_path):
    write(tmp_path, result("budget", 0, 0.5))
    whole = (tmp_path / "sentiment--budget--0.json").read_text(encoding="utf-8")
    (tmp_path / "sentiment--budget--0 (copy).json").write_text(whole, encoding="utf-8")
    with pytest.raises(ValueError, match="there is another result of sentiment/budget/0; remove one of them"):
        read_rows(tmp_path)


def test_a_file_without_a_key_of_the_report_says_which(tmp_path):
    found = result("budget", 0, 0.5)
    del found["load_cv"]
    write(tmp_path, found)
    with pytest.raises(ValueError, match="sentiment--budget--0.json: it has no load_cv"):
        read_rows(tmp_path)


def test_the_histogram_pools_the_seeds_and_leaves_out_what_does_not_occur(tmp_path):
    write(tmp_path, result("ceil", 0, 0.5, k_per_layer=[[0, 30, 10, 0, 0], [0, 0, 0, 0, 40]]),
          result("ceil", 1, 0.5, k_per_layer=[[0, 50, 30, 0, 0], [0, 0, 0, 40, 40]]))
    first, second = read_rows(tmp_path)[0].k_shares()
    assert first == {1: 80 / 120, 2: 40 / 120} and second == pytest.approx({3: 40 / 120, 4: 80 / 120})


# comparisons
def test_importance_is_compared_with_everything_and_the_rest_not_among_itself(tmp_path):
    rows = rows_of(tmp_path, dict.fromkeys(ROWS, [0.5, 0.6]))
    found = {(one.candidate.name, one.reference.name) for one in compare_rows(rows)}
    others = {"dense", "switch", "topk2", "shuffled"}
    assert found == {(c, r) for c in ("budget", "colmax", "ceil") for r in others} | {
        ("ceil", "budget"), ("colmax", "ceil"), ("colmax", "budget")}


def test_without_importance_every_two_rows_are_compared(tmp_path):
    rows = rows_of(tmp_path, dict.fromkeys(["dense", "switch", "topk2"], [0.5, 0.6]))
    assert len(compare_rows(rows)) == 3


def test_the_spread_of_k_is_over_the_tokens_of_a_layer_and_the_mean_of_the_layers(tmp_path):
    write(tmp_path, result("ceil", 0, 0.5, k_per_layer=[[0, 50, 50, 0, 0], [0, 25, 50, 25, 0]]),
          result("ceil", 1, 0.5, k_per_layer=[[0, 50, 50, 0, 0], [0, 75, 50, 75, 0]]), result("dense", 0, 0.5))
    dense, ceil = sorted(read_rows(tmp_path), key=lambda row: row.name != "dense")
    assert dense.sd_k() is None
    assert ceil.sd_k() == pytest.approx((0.5 + np.sqrt(200 / 300)) / 2)


def test_compute_within_two_percent_is_equal_and_else_the_difference_is_said(tmp_path):
    write_rows(tmp_path, {"topk2": [0.5, 0.6]})
    write(tmp_path, *(result(row, seed, 0.5 + seed / 9, config=BUDGET, mean_experts_per_token=k)
                      for seed in (0, 1) for row, k in (("near", 2.039), ("far", 2.06), ("low", 1.9))))
    rows = read_rows(tmp_path)
    assert [(pair(rows, row, "topk2").fair, pair(rows, row, "topk2").notes) for row in ("near", "far", "low")] == [
        (True, ""), (False, "compute differs by +3 %"), (False, "compute differs by -5 %")]


def test_a_dense_row_as_wide_as_its_experts_is_equal_compute(tmp_path):
    rows = rows_of(tmp_path, dict.fromkeys(["dense", "switch", "budget"], [0.5, 0.6]))
    assert pair(rows, "budget", "dense").fair                   # 1 x 16 hidden units and 2 x 8
    assert pair(rows, "budget", "switch").notes == "compute differs by +100 %"


def test_another_key_than_those_of_routing_makes_a_comparison_unfair(tmp_path):
    write_rows(tmp_path, {"budget": [0.5, 0.6]})
    write(tmp_path, *(result("long", seed, 0.5, config=dict(router="topk", router_options={"k": 2}, epochs=5))
                      for seed in (0, 1)))
    one = pair(read_rows(tmp_path), "budget", "long")
    assert not one.fair and one.notes == "other epochs" and one.same_compute


@pytest.mark.parametrize("control, decisive", [
    (dict(importance="shuffled(rowmax)"), True), (dict(importance="shuffled(colmax)"), False),
    (dict(importance="reversed(rowmax)"), False), (dict(importance="shuffled(rowmax)", k_min=2), False),
    (dict(importance="shuffled(rowmax)", router_options={"normalise": "rank"}), False),
    (dict(importance=None, router_options={"measure": "shuffled(rowmax)"}), True)])
def test_decisive_is_the_same_row_with_its_own_importance_shuffled_and_nothing_else(tmp_path, control, decisive):
    write_rows(tmp_path, {"budget": [0.5, 0.6]})
    write(tmp_path, *(result("c", seed, 0.5, config=BUDGET | control) for seed in (0, 1)))
    assert pair(read_rows(tmp_path), "budget", "c").decisive == decisive


@pytest.mark.parametrize("control, decisive", [("mine.py:Mine", True), ("mine.py:Other", False), ("da", False)])
def test_a_router_of_ones_own_has_a_control_of_its_own(tmp_path, control, decisive):
    mine = dict(router="mine.py:Mine", importance="colmax")
    write(tmp_path, *(result(row, seed, 0.5, config=BUDGET | config) for seed in (0, 1) for row, config in (
        ("mine", mine), ("control", mine | dict(router=control, importance="shuffled(colmax)")))))
    assert pair(read_rows(tmp_path), "mine", "control").decisive == decisive


def test_rows_without_a_common_seed_are_not_compared(tmp_path):
    write(tmp_path, result("budget", 0, 0.5), result("topk2", 1, 0.5))
    assert compare_rows(read_rows(tmp_path)) == []


def test_one_of_many_comparisons_must_hold_at_the_level_for_all(tmp_path):
    """Enough for one comparison (p < 0.05), not for one among three (0.05 / 3)."""
    differences = NEARLY
    assert 0.05 / 3 < ttest_1samp(differences, 0).pvalue < 0.05
    noise = np.array([0.1, -0.1, 0.2, -0.1, 0.05])
    base = np.full(5, 0.5)
    alone = pair(rows_of(tmp_path / "a", {"topk2": base, "budget": base + differences}), "budget", "topk2")
    among = pair(rows_of(tmp_path / "b", {"topk2": base, "budget": base + differences, "dense": base + noise,
                                          "shuffled": base - noise, "switch": base + noise}), "budget", "topk2")
    assert alone.sign() == 1 and re.fullmatch(r"better by 0\.\d{4}\.\.0\.\d{4}", alone.words)
    assert among.family == 3 and among.sign() == 0 and among.words == alone.words + ", but not if all 3 are counted"


def test_a_lower_loss_is_better(tmp_path):
    rows = rows_of(tmp_path, {"topk2": 6.0 + SPREAD, "budget": 5.9 + SPREAD[::-1]}, task="mlm", kind="pretrain")
    one = pair(rows, "budget", "topk2")
    assert one.difference.mean == pytest.approx(0.1) and one.sign() == 1
    assert beats(rows[0], {"unigram": 6.5}) and not beats(rows[0], {"unigram": 5.95})


# verdicts
def test_marks_come_from_the_file_beside_or_above_and_else_from_the_results(tmp_path):
    rows = rows_of(tmp_path / "grid", {"budget": [0.7, 0.72]})
    assert read_marks(tmp_path / "grid") == {} and marks_of(rows, {}) == {"best constant answer": 0.5}
    found = {"sentiment": {"constant": {"score": 0.5}, "bag": {"score": 0.75}}}
    (tmp_path / "marks.json").write_text(json.dumps(found))
    measured = read_marks(tmp_path / "grid")
    assert measured == read_marks(tmp_path) and marks_of(rows, measured)["bag of n-grams"] == 0.75


BAD_MARKS = ['{"sentiment": 0.5}', "[", "[" * 100_000, *(
    f'{{"sentiment": {{"constant": {{"score": 0.5}}, "bag": {{"score": {score}}}}}}}' for score in ('"high"', "NaN"))]


@pytest.mark.parametrize("text", BAD_MARKS, ids=["no tables", "no JSON", "brackets", "a text", "nan"])
def test_a_file_that_holds_no_marks_is_named(tmp_path, text):
    (tmp_path / "marks.json").write_text(text)
    with pytest.raises(ValueError, match="marks.json: these are no marks; make them again with"):
        read_marks(tmp_path)


def test_a_task_on_which_no_mean_beats_both_marks_carries_no_evidence(tmp_path):
    rows = rows_of(tmp_path, WINS)
    between = {"sentiment": {"best constant answer": 0.5, "bag of n-grams": 0.83}}
    above = {"sentiment": {"best constant answer": 0.9, "bag of n-grams": 0.83}}
    assert evidence(rows, between).startswith("Only the means of budget beat both marks (best constant answer 0.500")
    assert evidence(rows, above).startswith("No row's mean beats both marks") and "no evidence" in evidence(rows, above)
    assert evidence(rows, {}).startswith("Every row's mean beats the mark") and "was not measured" in evidence(rows, {})
    comparisons = compare_rows(rows)
    assert len(decisive_of(rows, comparisons, between)) == 1 and decisive_of(rows, comparisons, above) == []
    assert "nothing can be said about importance" in overall([])


def budget_says(rows):
    return conclusion(next(row for row in rows if row.name == "budget"), compare_rows(rows))


def test_beating_the_shuffled_control_is_a_gain_from_importance(tmp_path):
    said = budget_says(rows_of(tmp_path, WINS))
    assert re.match(r"\*\*budget\*\*: against shuffled, its shuffled control, better by 0\.0\d+\.\.0\.0\d+, 5 seeds; "
                    r"against topk2 better by", said) and said.endswith("which words get the experts matters here.")


def test_if_the_shuffled_control_ties_the_gain_is_compute(tmp_path):
    said = budget_says(rows_of(tmp_path, TIES | {"topk2": 0.7 + SPREAD[::-1]}))
    assert "its shuffled control, within noise (-0.00" in said and "the gain is compute spread unevenly" in said


def test_if_everything_ties_no_gain_is_seen(tmp_path):
    assert budget_says(rows_of(tmp_path, TIES)).endswith("no gain from importance is seen.")


def test_losing_to_the_shuffled_control_is_said(tmp_path):
    said = budget_says(rows_of(tmp_path, WINS | {"shuffled": 0.95 + SPREAD}))
    assert "worse by" in said and said.endswith("random words are a better choice than these.")


def test_without_its_control_or_with_one_seed_nothing_is_said_about_importance(tmp_path):
    assert "says nothing about importance" in budget_says(rows_of(tmp_path / "a", {"topk2": [0.5], "budget": [0.9]}))
    rows = rows_of(tmp_path / "b", {"shuffled": [0.6], "budget": [0.9]})
    assert budget_says(rows).endswith("without a spread over seeds this says nothing.")
    assert decisive_of(rows, compare_rows(rows), {}) == []


def test_an_unfair_comparison_enters_no_verdict(tmp_path):
    write_rows(tmp_path, {"budget": list(0.9 + SPREAD)})
    write(tmp_path, *(result("c", seed, 0.5 + SPREAD[seed] / 2, mean_experts_per_token=1.9,
                             config=BUDGET | dict(importance="shuffled(rowmax)")) for seed in range(5)))
    rows = read_rows(tmp_path)
    said = budget_says(rows)
    assert "says nothing about importance" in said and "against" not in said
    assert decisive_of(rows, compare_rows(rows), {}) == []


def overall_of(folder, *grids):
    for i, scores in enumerate(grids):
        write_rows(folder / f"g{i}", {row: list(values) for row, values in scores.items()})
    rows = read_rows(folder)
    return overall(decisive_of(rows, compare_rows(rows), {}))


def test_the_verdict_counts_the_decisive_comparisons_of_all_grids(tmp_path):
    loses = WINS | {"shuffled": 0.95 + SPREAD}
    assert "no effect of importance is seen beyond noise in 2 comparisons" in overall_of(tmp_path / "a", TIES, TIES)
    helps = overall_of(tmp_path / "b", WINS, TIES)
    assert "importance helps in 1 of 2 comparisons. (Each judged alone: 1 better, 0 worse, 1 within noise" in helps
    assert "importance hurts in 1 of 1 comparison." in overall_of(tmp_path / "c", loses)
    assert "importance helps in 1 of 3 comparisons and hurts in 1" in overall_of(tmp_path / "d", WINS, TIES, loses)


def test_one_success_among_twenty_ties_does_not_count(tmp_path):
    lucky = {"shuffled": np.full(5, 0.5), "budget": 0.5 + NEARLY}
    said = overall_of(tmp_path, lucky, *[TIES] * 19)
    assert "no effect of importance is seen beyond noise in 20" in said and "judged alone: 1 better" in said


# the report
@pytest.fixture
def report(tmp_path):
    write_rows(tmp_path / "builtin", {row: list(0.8 + SPREAD * (i + 1) / 3) for i, row in enumerate(ROWS)})
    write_rows(tmp_path / "words", {"topk2": [5.9, 6.0], "budget": [5.8, 5.95]}, task="mlm", kind="pretrain")
    (tmp_path / "marks.json").write_text(json.dumps({"sentiment": {"constant": {"score": 0.5}, "bag": {"score": 0.7}}}))
    written = write_report(str(tmp_path))
    return tmp_path, written, (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_report_is_tables_and_figures_and_lists_what_it_wrote(report):
    folder, written, text = report
    names = [path.relative_to(folder).as_posix() for path in written]
    assert names == ["rows.csv", "differences.csv", "report.md", "figures/score_against_compute.svg",
                     "figures/experts_by_role.svg", "figures/differences.svg", "figures/importance_by_frequency.svg",
                     "figures/example_sentences.svg"]
    assert all(path.stat().st_size for path in written)
    assert set(re.findall(r"\]\((figures/[^)]+)\)", text)) == set(names[3:])


def test_the_same_results_give_the_same_bytes(report):
    folder, written, _ = report
    before = [path.read_bytes() for path in written]
    assert write_report(folder) == written and [path.read_bytes() for path in written] == before


def test_every_row_has_its_figures_in_the_table(report):
    _, _, text = report
    table = text.split("### sentiment (builtin)\n")[1].split("\n\n")[0].strip().splitlines()
    head, budget = ([cell.strip() for cell in line.strip("|").split("|")] for line in (table[0], table[6]))
    found = dict(zip(head, budget, strict=True))
    scores = 0.8 + SPREAD * 4 / 3
    assert found == {"row": "budget", "kind": "importance", "seeds": "5",
                     "accuracy": f"{scores.mean():.4f} ± {scores.std(ddof=1):.4f}", "mean K": "2.000",
                     "sd of K": "0.00", "FLOPs/token": "2,000", "tokens/s": "502", "parameters": "4,000",
                     "load CV": "0.38",
                     "dropped": "0.0 %", "K of deciding words": "2.25", "K of the others": "1.75"}


def test_the_differences_are_all_listed_the_decisive_first(report):
    folder, _, text = report
    table = text.split("Differences:\n\n")[1].split("\n\n")[0].splitlines()[2:]
    assert table[0].startswith("| budget | shuffled (its control) | 5 |") and len(table) == 15
    with open(folder / "differences.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 15 + 1 and sum(int(line["decisive"]) for line in lines) == 1
    one = next(line for line in lines if line["grid"] == "words")
    assert float(one["mean"]) == pytest.approx(0.075) and one["verdict"] == "within noise"


def test_the_histogram_of_k_is_given_per_layer(report):
    assert "| ceil | 1: 50.0 %, 2: 50.0 % | 1: 50.0 %, 2: 50.0 % |" in report[2]


def test_the_verdict_names_evidence_control_and_origin(report):
    _, _, text = report
    assert "no effect of importance is seen beyond noise in 1 comparison" in text
    assert "**sentiment (builtin).** Every row's mean beats both marks" in text
    assert "**mlm (words).** Every row's mean beats the mark (guessing by frequency 6.500)." in text
    assert "39 results of 9 rows; minimoe 0.1.0, commit " + "c" * 40 in text and "P, 2 cores, Linux" in text


def test_where_no_mean_beats_the_marks_the_report_draws_no_conclusion(report):
    folder, _, text = report
    assert "- **budget**: against shuffled" in text
    (folder / "marks.json").write_text(json.dumps({"sentiment": {"constant": {"score": 0.5}, "bag": {"score": 0.9}}}))
    write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "No row's mean beats both marks" in text and "- **budget**: against shuffled" not in text
    assert "nothing can be said about importance" in text


def test_lines_end_in_a_line_feed_on_every_system(report):
    for path in report[1][:3]:
        assert b"\r" not in path.read_bytes()


def test_figures_are_drawings_with_the_names_of_rows_and_tasks(report):
    folder, written, _ = report
    for path in written[3:]:
        text = path.read_text(encoding="utf-8")
        assert ET.fromstring(text).tag.endswith("svg")
        for name in ("sentiment (builtin)", *(["budget − shuffled (c)"] if "differences" in path.name else ["budget"])):
            assert f"<!-- {name} -->" in text, (path.name, name)
        assert "ceil − dense" not in text           # compute differs
    assert "mlm (words)" not in (folder / "figures/experts_by_role.svg").read_text(encoding="utf-8")


def test_words_are_means_over_seeds_that_met_the_same(tmp_path):
    asked = dict(by_frequency=[{"first_rank": 1, "share": 0.1, "importance": 9.0, "experts": 9.0}],
                 example={"tokens": ["other"], "experts": [9.0]})
    write(tmp_path, result("budget", 0, 0.5), result("budget", 4, 0.5), result("budget", 5, 0.5, **asked),
          result("topk2", 0, 0.5), result("dense", 0, 0.5))
    dense, topk, budget = read_rows(tmp_path)
    assert dense.by_frequency() is topk.by_frequency() is dense.example() is None
    assert budget.by_frequency()["importance"] == pytest.approx([3.0, 1.5, 1 + 2 / 11])
    tokens, experts = budget.example()
    assert tokens == ["[CLS]", "a", "[SEP]"] and experts.tolist() == [2.0, 1.75, 2.0]
    assert topk.example()[1].tolist() == [2.0, 2.0, 2.0]


def test_a_grid_that_knows_no_words_and_compares_nothing_has_one_figure(tmp_path):
    write_rows(tmp_path, {"topk2": [5.8, 5.9]}, task="mlm", kind="pretrain")
    names = [path.name for path in write_report(tmp_path)]
    assert names == ["rows.csv", "report.md", "score_against_compute.svg"]


def test_metrics_of_a_task_with_two_are_both_shown(tmp_path):
    write_rows(tmp_path, {"budget": [0.7, 0.8]}, task="mrpc", metric="accuracy+f1",
               metrics={"accuracy": 0.65, "f1": 0.75}, majority={"accuracy": 0.6, "f1": 0.8}, deciding={})
    write_report(tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| accuracy+f1 | accuracy | f1 |" in text and "| 0.6500 | 0.7500 |" in text
    assert "best constant answer 0.700" in text and "K of deciding" not in text


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no results here; run minimoe compare"):
        write_report(tmp_path)


def test_without_matplotlib_the_tables_are_written_and_the_extra_is_named(tmp_path, monkeypatch):
    from minimoe.study import report_figures

    def missing():
        raise ImportError('pip install "minimoe[plots]"')

    monkeypatch.setattr(report_figures, "need_matplotlib", missing)
    write_rows(tmp_path, {"budget": [0.5, 0.6]})
    with pytest.raises(ImportError, match="plots"):
        write_report(tmp_path)
    assert (tmp_path / "report.md").is_file() and (tmp_path / "rows.csv").is_file()


def test_a_bar_in_a_name_does_not_break_a_markdown_table():
    assert markdown([{"a": "x|y", "b": "1"}]).splitlines() == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_the_base_of_these_files_is_what_a_run_records():
    """A made result has no key of a configuration that a real one lacks."""
    from minimoe.training import TrainConfig
    assert BASE.keys() <= TrainConfig().to_dict().keys()
