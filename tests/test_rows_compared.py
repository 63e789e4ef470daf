"""Models of rows that answer different questions are neither compared nor averaged, whatever their classes are called."""

import random

import pytest
from conftest import ROOT
from test_cli import fails

from bmtool.commands.evaluate import evaluate
from bmtool.commands.train import pretrain

TINY = str(ROOT / "bmtool/tasks/tabular/tiny.yaml")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """`learned(target, name, more...)`: a run that learns one of two columns of yes and no, made once."""
    root, draw = tmp_path_factory.mktemp("rows"), random.Random(1)
    cells = [[draw.gauss(0, 1), draw.gauss(0, 1)] for _ in range(200)]
    rows = [f"{x},{y},{'yes' if x > 0.5 else 'no'},{'yes' if y > 0.5 else 'no'}" for x, y in cells]
    (root / "rows.csv").write_text("\n".join(["x,y,big,tall", *rows]))

    def make(target: str, name: str, *more: str, data: str = "", costs: tuple[int, int] | None = None):
        run = root / name
        if not run.exists():
            decide = f"{{cost_false_positive: {costs[0]}, cost_false_negative: {costs[1]}}}" if costs else "null"
            other = "tall" if target == "big" else "big"
            values = [f"data.source={root / 'rows.csv'}", f"data.prepared={root / (data or name)}-data", f"run={run}",
                      f"data.target={target}", f"data.columns.ignore=[{other}]", f"decide={decide}", *more]  # fmt: skip
            pretrain(TINY, values)
        return run

    return make


def test_models_of_different_columns_are_refused(learned, invoke, tmp_path):
    big, tall = learned("big", "big"), learned("tall", "tall")
    fails(
        invoke("evaluate", big, "--baseline", tall, "--output", tmp_path),
        4,
        "different columns (big, tall)",
        "compared",
    )
    fails(invoke("evaluate", big, tall, "--output", tmp_path), 4, "different columns (big, tall)", "averaged")


def test_data_that_came_to_hold_another_target_are_refused(learned, invoke, tmp_path):
    first = learned("big", "first", data="both")
    learned("tall", "second", data="both")
    fails(invoke("evaluate", first, "--output", tmp_path), 4, "holds 'tall' to be learned", "a model is of 'big'")


def test_average_precision_is_of_one_class_by_name(learned, invoke, tmp_path):
    big, other = learned("big", "big"), learned("big", "other", 'data.positive="no"')
    result = invoke("evaluate", big, "--baseline", other, "--output", tmp_path)
    assert "average_precision is not compared: it is of 'yes' here, of 'no' there" in result.stderr
    fails(invoke("evaluate", big, other, "--output", tmp_path), 4, "what is positive (no, yes)")
    alone, twice = (evaluate(models, output=str(tmp_path)).figures for models in ([other], [other, other]))
    assert twice["average_precision"].value == pytest.approx(alone["average_precision"].value)


def test_costs_in_other_units_are_not_compared(learned, invoke, tmp_path):
    cheap, dear = learned("big", "cheap", costs=(1, 3)), learned("big", "dear", costs=(30, 1))
    result = invoke("evaluate", cheap, "--baseline", dear, "--output", tmp_path)
    assert "cost is not compared: the two count mistakes otherwise" in result.stderr


@pytest.mark.parametrize("weights", [("0", "0"), ("nan", "1"), ("1", "-1"), ("inf", "1")])
def test_weights_that_weigh_nothing_are_refused(weights, learned, invoke):
    big, again = learned("big", "big"), learned("big", "again", "seed=2")
    given = [part for weight in weights for part in ("--weight", weight)]
    fails(invoke("evaluate", big, again, *given), 2, "--weight: numbers of 0 or more, not all 0")
