from comal.experiments.matrix_games.cells import Band, Cell, CellResult
from comal.experiments.matrix_games.family import AUTOMATIC
from comal.experiments.matrix_games.figures import (
    chosen,
    comparison_figure,
    comparison_table,
    interpreters,
    schedule_table,
)
from comal.reports.figures.games import save


def result(method, mean, default=True, interpreter="reuse", games="paper", settings="eta 1"):
    value = Band(mean, mean - 0.3, mean + 0.3)
    cell = Cell(games, method, (), interpreter)
    return CellResult(cell, settings, default, (0, 10, 20), (value,) * 3, value, value, (mean,))


RESULTS = [
    result("EGPO", 0.2),
    result("EGPO", 0.1, default=False, settings="eta 4"),
    result(AUTOMATIC, 0.15, settings=""),
    result("EGPO", 0.3, interpreter="exact"),
]


def test_methods_are_ordered_by_their_defaults_and_keep_their_best_setting_beside():
    pairs = chosen(RESULTS, "reuse")
    assert [(d.cell.method, d.last.mean, t.last.mean) for d, t in pairs] == [
        (AUTOMATIC, 0.15, 0.15),
        ("EGPO", 0.2, 0.1),
    ]
    assert interpreters(RESULTS) == ["reuse", "exact"]


def test_the_figure_has_a_panel_an_interpreter_and_names_every_method(tmp_path):
    figure = comparison_figure("both", RESULTS)
    assert len(figure.axes) == 2
    assert {text.get_text() for text in figure.axes[0].texts} == {AUTOMATIC, "EGPO"}
    save(figure, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 5_000


def test_the_table_shows_default_and_tuned():
    table = comparison_table("both", RESULTS, "reuse")
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == [AUTOMATIC, "EGPO"]
    assert cells[1] == ["0.15 ±0.3", "0.2 ±0.3"]
    assert cells[3] == ["–", "0.1 ±0.3"]
    assert cells[4] == ["", "eta 4"]


def test_schedules_are_shown_where_they_were_searched_and_where_they_were_not():
    manual = "COMAL, manual"
    found = [
        result(manual, 0.4, games="development:5", settings="worse"),
        result(manual, 0.3, games="development:5", settings="better"),
        result(AUTOMATIC, 0.2, games="development:5"),
        result(manual, 0.5, games="random:5", settings="better"),
        result(AUTOMATIC, 0.1, games="random:5"),
    ]
    table = schedule_table(found)
    assert list(table.columns[0].cells) == ["development:5"] * 2 + ["random:5"] * 2
    assert next(iter(table.columns[2].cells)) == "better"
