import gzip
import json

import numpy as np
import pytest

from comal.errors import DataError, GameError
from comal.evaluation.audit.formats.sources import Table, read_source, read_sources
from comal.evaluation.audit.structure import structure

LINE = {"prompt_id": "q", "system_1": "a", "system_2": "b", "preference": 1}


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def outputs(path, system, answers):
    rows = [{"instruction": q, "output": text, "generator": system} for q, text in answers.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def read(tmp_path, *rows):
    return read_source(jsonl(tmp_path / "v.jsonl", *rows)).verdicts


def test_preferences_in_words_and_numbers(tmp_path):
    values = [1, 2, "tie", "2", 1.5, 1.25, None]
    found = read(tmp_path, *({**LINE, "prompt_id": str(i), "preference": v} for i, v in enumerate(values)))
    np.testing.assert_allclose(found.tables()[:, 0, 1], [1, 0, 0.5, 0, 0.5, 0.75, np.nan])


def test_probabilities_raters_repeats_and_lengths(tmp_path):
    one = {"instruction": "q", "generator_1": "b", "generator_2": "a", "probability": 0.9, "judge": "j"}
    found = read(tmp_path, one, one, one | {"judge": "k", "output_1": "four", "length_2": 9, "annotator_note": "x"})
    assert found.systems == ("a", "b")
    assert found.raters == ("j", "k")
    assert [row.repeat for row in found.rows] == [0, 1, 0]
    assert found.tables()[0, 1, 0] == pytest.approx(0.9)
    assert found.lengths.tolist() == [[9, 4]]


def test_labels_are_peoples_and_once_a_pair(tmp_path):
    back = {"prompt_id": "q", "system_1": "b", "system_2": "a", "preference": 2, "label": 2}
    found = read(tmp_path, LINE | {"label": 1}, back)
    assert found.raters == ("rater", "label")
    assert sum(row.rater == 1 for row in found.rows) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference": 0}, r"v.jsonl:1: preference: expected 1, 2.*probabilities go into `probability`"),
        ({"preference": 2.5}, "expected 1, 2"),
        ({"preference": True}, "expected 1, 2"),
        ({"preference": "first"}, "expected 1, 2"),
        ({"probability": 0.5}, "either `preference` .* or `probability`"),
        ({"system_2": "a"}, "compares a with itself"),
        ({"system_1": None}, "system_1: is needed"),
        ({"preferense": 1}, "preferense: there is no such key. Did you mean `preference`?"),
        ({"length_1": -3}, "length_1: expected a number of characters"),
        ({"label": 7}, "label: expected 1, 2"),
    ],
)
def test_broken_lines_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, LINE | change)


def test_probability_out_of_range(tmp_path):
    row = {k: v for k, v in LINE.items() if k != "preference"}
    for value in (1.2, "high", float("nan")):
        with pytest.raises(DataError, match="from 0 to 1"):
            read(tmp_path, row | {"probability": value})
    with pytest.raises(DataError, match="either"):
        read(tmp_path, row)


def test_lines_that_are_no_objects(tmp_path):
    (tmp_path / "v.jsonl").write_text("{oops\n")
    with pytest.raises(DataError, match=r"v.jsonl:1: this line is not JSON"):
        read_source(tmp_path / "v.jsonl")
    with pytest.raises(DataError, match="expected an object"):
        read(tmp_path, [1])
    with pytest.raises(DataError, match="the file has no rows"):
        read(tmp_path)


def test_outputs_of_several_systems_are_joined_on_their_prompts(tmp_path):
    a = outputs(tmp_path / "a.json", "a", {"p": "1", "q": "2"})
    b = outputs(tmp_path / "b.json", "b", {"q": "3", "r": "4"})
    found = read_sources([a, b]).answers
    assert (found.systems, found.prompts, found.texts) == (("a", "b"), ("q",), (("2", "3"),))
    assert found.lengths.tolist() == [[1, 1]]


def test_compressed_outputs(tmp_path):
    plain = outputs(tmp_path / "a.json", "a", {"p": "1"})
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(plain.read_bytes().replace(b'"a"', b'"b"')))
    assert read_sources([plain, tmp_path / "b.json.gz"]).answers.systems == ("a", "b")
    (tmp_path / "c.json.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"c.json.gz: not a gzip file"):
        read_source(tmp_path / "c.json.gz")


def test_outputs_that_do_not_fit(tmp_path):
    a = outputs(tmp_path / "a.json", "a", {"p": "1"})
    with pytest.raises(DataError, match="outputs of one system"):
        read_sources([a])
    with pytest.raises(DataError, match="no prompt in common"):
        read_sources([a, outputs(tmp_path / "b.json", "b", {"q": "1"})])
    with pytest.raises(DataError, match="the system a is in another file"):
        read_sources([a, outputs(tmp_path / "b.json", "a", {"p": "1"})])
    with pytest.raises(DataError, match="audited together only where"):
        read_sources([a, jsonl(tmp_path / "v.jsonl", LINE)])
    (tmp_path / "twice.json").write_text(json.dumps(json.loads(a.read_text()) * 2))
    with pytest.raises(DataError, match="a answers 'p' twice"):
        read_source(tmp_path / "twice.json")
    row = {"instruction": "q", "output": "", "generator": "a"}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    assert read_source(tmp_path / "rows.json").answers.texts == (("",),), "an empty answer is one"
    for wrong, message in (
        ({"instruction": "r", "output": "2"}, r"rows\.json\[1\]: there is no `generator`"),
        (row | {"output": 2}, r"rows\.json\[1\]: `output` should be a text, got '2'"),
        (row | {"instruction": " "}, r"rows\.json\[1\]: `instruction` is empty"),
    ):
        (tmp_path / "rows.json").write_text(json.dumps([row, wrong]))
        with pytest.raises(DataError, match=message):
            read_source(tmp_path / "rows.json")


def test_labelled_pairs_may_repeat_an_instruction(tmp_path):
    rows = [{"input": "q", "output_1": "a", "output_2": text, "label": k} for text, k in (("b", 1), ("c", 2))]
    (tmp_path / "bar.json").write_text(json.dumps(rows))
    found = read_source(tmp_path / "bar.json")
    assert found.answers.systems == ()
    assert found.answers.ids == found.people.prompts == ("0", "1")
    assert found.people.tables()[:, 0, 1].tolist() == [1, 0]
    (tmp_path / "bar.json").write_text(json.dumps([rows[0] | {"label": 3}]))
    with pytest.raises(DataError, match=r"bar.json\[0\].label: expected 1 or 2, got 3"):
        read_source(tmp_path / "bar.json")


PANDA = {"idx": 0, "cmp_key": "a_b", "instruction": "i", "input": "", "response1": "x", "response2": "yy"}
PANDA |= {"annotator1": 1, "annotator2": 2, "annotator3": 0}


def test_pandalm_of_people_and_models(tmp_path):
    (tmp_path / "testset-v1.json").write_text(json.dumps([PANDA]))
    people = read_source(tmp_path / "testset-v1.json").verdicts
    assert people.raters == ("annotator1", "annotator2", "annotator3")
    assert [row.probability for row in people.rows] == [1, 0, 0.5]
    assert people.lengths.tolist() == [[1, 2]]
    model = tmp_path / "m.json"
    for word, p in (("1", 1.0), ("Tie", 0.5), (2, 0.0), ("garbage", np.nan)):
        model.write_text(json.dumps([{"idx": 0, "m_result": word}]))
        source = read_source(model)
        assert source.verdicts.raters == ("m",)
        np.testing.assert_equal(source.verdicts.rows[0].probability, p)
        assert source.people.rows == people.rows
    model.write_text(json.dumps([{"idx": 9, "m_result": 1}]))
    with pytest.raises(DataError, match=r"m.json\[0\].idx: 9 is not in testset-v1.json"):
        read_source(model)
    (tmp_path / "testset-v1.json").write_text(json.dumps([PANDA | {"annotator2": 7}]))
    with pytest.raises(DataError, match=r"annotator2: expected 1, 2 or 0 \(tie\), got 7"):
        read_source(tmp_path / "testset-v1.json")
    (tmp_path / "testset-v1.json").unlink()
    with pytest.raises(DataError, match=r"need testset-v1.json beside them"):
        read_source(model)


def test_tables_with_and_without_counts(tmp_path):
    (tmp_path / "t.csv").write_text(",a,b\na,0.5,0.7\nb,0.3,0.5\n")
    assert read_source(tmp_path / "t.csv").table.p_first is None
    assert read_source(tmp_path / "t.csv", Table(counts=10)).table.count.tolist() == [10]
    (tmp_path / "t.json").write_text(json.dumps({"labels": ["a", "b"], "wins": [[0, 7], [3, 0]]}))
    assert read_source(tmp_path / "t.json").table.rate.tolist() == [0.7]
    with pytest.raises(DataError, match="holds counts already"):
        read_source(tmp_path / "t.json", Table(counts=10))
    (tmp_path / "t.json").write_text(json.dumps({"labels": ["a", "b"], "wins": [[0, 1e300], [3, 0]]}))
    with pytest.raises(DataError, match=r"^counts: 1e\+300 wins are more than can be counted here, 1e\+15 at most$"):
        read_source(tmp_path / "t.json")
    (tmp_path / "t.csv").write_text(",a,b\na,0.5,0.7\nb,0.4,0.5\n")
    with pytest.raises(GameError, match="must be 1"):
        read_source(tmp_path / "t.csv")
    np.save(tmp_path / "t.npy", np.full((2, 3, 3), 0.5))
    with pytest.raises(DataError, match="holds 2 tables"):
        read_source(tmp_path / "t.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", "", "reads .json"),
        ("x.json", "{", r"x.json:1: not JSON"),
        ("x.json", "[]", "expected a list of objects"),
        ("x.json", '[{"instruktion": "a"}]', "Did you mean `instruction`"),
    ],
)
def test_files_of_no_known_format(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_source(tmp_path / name)


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "verdicts.jsonl").write_text("")
    with pytest.raises(DataError, match=r"no such file. Did you mean `verdicts.jsonl`"):
        read_source(tmp_path / "verdict.jsonl")
    with pytest.raises(DataError, match="holds no run"):
        read_source(tmp_path)


def test_line_ends_inside_of_texts_and_a_byte_order_mark(tmp_path):
    """As `comal eval` reads them: U+2028 and U+0085 end no line of JSON."""
    path = tmp_path / "v.jsonl"
    row = LINE | {"output_1": "first\u2028second", "output_2": "caf\x85"}
    path.write_bytes(json.dumps(row, ensure_ascii=False).encode("utf-8-sig"))
    assert read_source(path).verdicts.lengths.tolist() == [[12, 4]]


@pytest.mark.parametrize("output", [None, 7, ["a"], [{"role": "assistant", "content": "a"}], {"text": "a"}])
def test_outputs_that_are_no_text(tmp_path, output):
    """len([{...}]) is a number of messages, not of characters."""
    with pytest.raises(DataError, match=r"v.jsonl:1: output_1: expected the answer's text"):
        read(tmp_path, LINE | {"output_1": output})


def test_verdicts_on_one_instruction_with_several_inputs_are_of_several_prompts(tmp_path):
    rows = [
        {"instruction": "Translate.", "input": x, "generator_1": "a", "generator_2": "b", "preference": 1} for x in "xy"
    ]
    assert read(tmp_path, *rows).prompts == ("Translate.\n\nx", "Translate.\n\ny")


def test_annotations_as_eval_writes_them(tmp_path):
    """Two answers of b to one prompt are two answers, not a judge asked again; the mean is that of `comal eval`."""
    row = {"instruction": "q", "output_1": "x", "generator_1": "a", "generator_2": "b", "annotator": "j"}
    rows = [row | {"output_2": "y", "preference": 2.0}, row | {"output_2": "zz", "preference": 1.5}]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([*rows, rows[0], {**row, "instruction": "p", "output_2": "y", "preference": None}]))
    found = read_source(path).verdicts
    assert (found.systems, found.raters, found.prompts) == (("a", "b"), ("j",), ("q", "p"))
    assert [r.repeat for r in found.rows] == [0, 0, 0]
    np.testing.assert_allclose(found.system_tables()[:, 0, 1], [0.25, np.nan])
    assert found.failures == 1


def test_a_matrix_with_empty_cells_as_eval_writes_it(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text(",a,b,c\na,0.5,0.7,\nb,0.3,0.5,0.6\nc,,0.4,0.5\n")
    table = read_source(path).table
    np.testing.assert_array_equal(table.table()[0], [0.5, 0.7, np.nan])
    assert not table.complete
    assert read_source(path, Table(counts=10)).table.count.tolist() == [10, 10]


def test_counts_of_pairs_that_did_not_all_meet(tmp_path):
    wins = [[9, 7, 0], [3, 9, 6], [0, 4, 9]]
    (tmp_path / "w.json").write_text(json.dumps({"labels": list("abc"), "wins": wins}))
    (tmp_path / "w.csv").write_text(
        ",a,b,c\n" + "".join(f"{x},{','.join(map(str, row))}\n" for x, row in zip("abc", wins, strict=True))
    )
    for table in (read_source(tmp_path / "w.json").table, read_source(tmp_path / "w.csv", Table(wins=True)).table):
        assert table.rate.tolist() == [0.7, 0.6]
        assert table.count.tolist() == [10, 10]
    with pytest.raises(DataError, match="holds counts already"):
        read_source(tmp_path / "w.json", Table(counts=5))


def test_an_instruction_with_an_input_in_labelled_pairs_and_outputs(tmp_path):
    row = {"instruction": "Translate.", "input": "x", "output_1": "a", "output_2": "b", "label": 1}
    (tmp_path / "l.json").write_text(json.dumps([row]))
    assert read_source(tmp_path / "l.json").answers.prompts == ("Translate.\n\nx",)
    rows = [{"instruction": "Translate.", "input": x, "output": "o", "generator": "a"} for x in "xy"]
    (tmp_path / "o.json").write_text(json.dumps(rows))
    assert read_source(tmp_path / "o.json").answers.prompts == ("Translate.\n\nx", "Translate.\n\ny")


@pytest.mark.parametrize(
    ("text", "message"),
    [(",a\na,0.5\n", "holds one system"), (",a,b\na,0.5,\nb,,0.5\n", "no two systems were ever compared")],
)
def test_tables_with_nothing_to_compare(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_source(tmp_path / "t.csv")


def test_a_system_that_met_none_leads_nothing(tmp_path):
    (tmp_path / "w.csv").write_text(",a,b,c\na,0,0,0\nb,0,0,9\nc,0,1,0\n")
    found = structure(read_source(tmp_path / "w.csv", Table(wins=True)).table)
    assert (found.leader, found.leader_beaten) == ("b", pytest.approx(0.1))
