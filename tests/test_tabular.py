"""tabular-classification and tabular-regression: what they learn, decide and explain, and trees that answer as LightGBM does."""

import asyncio
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CONFIGS
from test_contract import Here

from bmtool import Model, registry
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import load_model
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load, parse
from bmtool.config.options import Top
from bmtool.errors import ConfigError, DataError
from bmtool.measure.bootstrap import RESAMPLES, weights
from bmtool.measure.decision import CostMeter, Decision, cheapest
from bmtool.measure.labels import LabelMeter
from bmtool.measure.meter import is_lower_better
from bmtool.predict.examples import Example
from bmtool.predict.labels import likeliest
from bmtool.predict.values import Number
from bmtool.tables import gbdt
from bmtool.tables.table import Table
from bmtool.tasks.tabular.metrics import Classes
from bmtool.tasks.tabular.task import Boosted, Network

TABULAR = CONFIGS / "tabular"
PARCELS = {"weight_kg": 4.4, "distance_km": 205, "service": "standard", "fragile": "no", "day": "Wed"}


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("tabular")


def tiny(name: str, folder, *more: str) -> tuple[str, list[str]]:
    path = registry.__file__.replace("registry.py", f"tasks/tabular/{name}.yaml")
    return path, [f"run={folder / name}", f"data.prepared={folder / name}-data", *more]


@pytest.fixture(scope="session")
def runs(shared):
    """`runs(name)`: a run of a tiny config, made once."""
    done = {}

    def make(name: str):
        if name not in done:
            done[name] = pretrain(*tiny(name, shared))
        return done[name]

    return make


@pytest.fixture(scope="session")
def exports(runs):
    """`exports(name)`: that run's ONNX file, made once."""
    done = {}

    def make(name: str):
        if name not in done:
            done[name] = export_onnx(runs(name))
        return done[name]

    return make


TINY = ["tiny", "tiny-regression", "tiny-lightgbm"]


# --- learning ---


def small(name: str, folder, *more: str) -> tuple[str, list[str]]:
    return str(TABULAR / name), [f"run={folder / 'run'}", f"data.prepared={folder / 'data'}", "train.threads=1", *more]


@pytest.mark.parametrize("name, rows", [
    ("or", {(1, 0): "0", (0, 1): "1", (1, 1): "1"}),
    ("xor", {(0, 0): "0", (0, 1): "1", (1, 0): "1", (1, 1): "0"}),
])  # fmt: skip
def test_tables_that_can_be_learned_by_heart_are(name, rows, tmp_path):
    run = pretrain(*small(f"{name}.yaml", tmp_path))
    predictor = load_model(run, print).predictor
    said = predictor.predict([predictor.read({"a": a, "b": b}) for a, b in rows], Top(top=1))
    assert [one.classes[0][0] for one in said] == list(rows.values())
    assert all(one.classes[0][1] > 0.95 for one in said)


@pytest.mark.parametrize("name, bound", [
    ("breast-cancer.yaml", "auc>=0.97"), ("breast-cancer-boosting.yaml", "auc>=0.97"),
    ("diabetes.yaml", "r2>=0.25"), ("diabetes-boosting.yaml", "r2>=0.25"),
])  # fmt: skip
def test_shipped_configs_learn(name, bound, tmp_path):
    fewer = ["train.steps=120"] if "boosting" not in name else ["model.rounds=80"]
    costs = ["decide=null"] if name.startswith("breast") else []
    run = pretrain(*small(name, tmp_path, *fewer, *costs))
    measured = evaluate([run], require=[bound])
    if name.startswith("breast"):
        assert measured.figures["accuracy"].value > 0.93
        assert "cost" not in measured.figures
        with pytest.raises(ConfigError, match=r"cost.*not measured of this model"):
            evaluate([run], require=["cost<=1"])
    assert (run / "eval" / "test.importance.png").stat().st_size > 1000
    assert "## By column" in (run / "eval" / "test.md").read_text("utf-8")


def test_other_settings_of_a_network_learn_as_well(tmp_path):
    more = ["model.batch_norm=true", "model.activation=tanh", "loss.class_weights=true", "model.dropout=0.1"]
    path, settings = tiny("tiny", tmp_path, "train.steps=80", "train.validate_every=80", *more)
    assert evaluate([pretrain(path, settings)]).figures["auc"].value > 0.75


def test_huber_and_trees_of_several_classes(tmp_path):
    path, settings = tiny("tiny-regression", tmp_path, "train.steps=150", "train.validate_every=150", "loss.huber=1.0")
    assert evaluate([pretrain(path, settings)]).figures["r2"].value > 0.8
    path, settings = tiny(
        "tiny-lightgbm", tmp_path / "days", "data.target=service", "data.columns.ignore=[arrived]", "data.positive=null"
    )
    run = pretrain(path, [*settings, "decide=null"])
    assert evaluate([run]).figures["auc"].value > 0.75
    assert len(load_model(run, print).predictor.labels) == 3


# --- one model, wherever it runs ---


@pytest.mark.parametrize("name", TINY)
def test_an_export_answers_as_its_run(name, runs, exports):
    ours, theirs = (load_model(path, print).predictor for path in (runs(name), exports(name)))
    probes = ours.probes(100)
    for a, b in zip(ours.predict(probes), theirs.predict(probes)):
        assert a.distance(b) < 1e-5


def test_trees_have_no_weights_to_round(runs, invoke):
    result = invoke("export-onnx", runs("tiny-lightgbm"), "--int8")
    assert result.exit_code == 2 and "has no weights to round" in result.stderr
    assert not (runs("tiny-lightgbm") / "export" / "model-int8.onnx").exists()


@pytest.mark.parametrize("goal", ["binary", "multiclass", "regression"])
def test_trees_answer_as_lightgbm_does(goal):
    """With missing numbers, columns that never miss any in training but do later, and categories, unknown ones too."""
    import torch

    random = np.random.default_rng(3)
    values = random.normal(size=(800, 4)).astype(np.float32)
    values[random.random((800, 4)) < 0.1] = np.nan
    values[:, 0] = random.integers(0, 40, 800)
    values[:, 1] = np.nan_to_num(values[:, 1])
    signal = np.nan_to_num(values[:, 2]) + np.isin(values[:, 0] % 5, (1, 3)) * 2 + np.isnan(values[:, 3]) + values[:, 1]
    target = {"binary": signal > 1, "multiclass": np.digitize(signal, [0.5, 1.5]), "regression": 100 + 30 * signal}[
        goal
    ]
    parameters = {"objective": goal, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1, "num_threads": 1}
    parameters |= {"num_class": 3} if goal == "multiclass" else {}
    judged = []
    grown = gbdt.grow(
        gbdt.Rows(values, target.astype(float), None, [0]), parameters, valid=values[:50],
        judge=lambda scores: judged.append(scores) or {"loss": -len(judged)}, rounds=25, patience=25,
    )  # fmt: skip
    *_, (booster, _, _, kept, _) = grown
    assert kept == len(judged) == 25
    trees = gbdt.Trees(gbdt.arrays(booster.dump_model()))
    assert trees.categorical and trees.depth > 3
    asked = random.normal(size=(400, 4)).astype(np.float32)
    asked[random.random((400, 4)) < 0.3] = np.nan
    asked[:, 0] = random.integers(0, 60, 400)
    expected = booster.predict(asked, raw_score=True).reshape(400, -1)
    np.testing.assert_allclose(trees(torch.from_numpy(asked)).numpy(), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(trees(torch.from_numpy(values[:50])).numpy(), judged[-1], rtol=1e-6, atol=1e-9)


def test_a_run_of_trees_holds_arrays_alone(runs):
    from safetensors.numpy import load_file

    run = runs("tiny-lightgbm")
    (weights,) = run.glob("checkpoints/step-*/model.safetensors")
    assert set(load_file(weights)) >= {"feature", "threshold", "branches", "value", "members"}
    names = {path.name for path in run.rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".pkl", ".pickle", ".txt"))} - {"log.txt"}


def test_the_log_of_trees_counts_rounds(runs):
    run = runs("tiny-lightgbm")
    rounds, log = load(run / "config.yaml").model.rounds, (run / "log.txt").read_text("utf-8")
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    said = [line for line in log.splitlines() if " valid " in line]
    assert [event["step"] for event in events] == list(range(1, len(events) + 1))
    assert len(said) == len(events) // (rounds // 10) <= 10
    first = events[rounds // 10 - 1]
    assert said[0].endswith(
        f"round {rounds // 10}  valid  loss {first['valid/loss']:.4f}  ece {first['valid/ece']:.4f}"
    )
    manifest = json.loads(next(run.glob("checkpoints/step-*/manifest.json")).read_text("utf-8"))
    lowest = min(event["valid/loss"] for event in events)
    assert manifest["metrics"]["loss"] == lowest
    assert (
        f"of {len(events)} rounds: the loss {lowest:.4f} there is the lowest"
        in log.splitlines()[log.splitlines().index(said[-1]) + 1]
    )


@pytest.mark.parametrize("name", TINY)
def test_answers_over_the_command_line(name, runs, invoke):
    row = json.dumps(PARCELS)
    result = invoke("predict", runs(name), row, "data/tabular/parcels.csv", "--json")
    if name == "tiny-regression":
        assert "value" in json.loads(result.stdout.splitlines()[0])
    else:
        assert {"label", "classes"} <= set(json.loads(result.stdout.splitlines()[0]))
    assert len(result.stdout.splitlines()) == 241 and result.exit_code == 0
    result = invoke("predict", runs(name), '{"weight_kg": 1}', row)
    assert result.exit_code == 4 and "column 'distance_km' is missing" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_rows_come_from_standard_input_too(runs, invoke):
    row = json.dumps(PARCELS)
    result = invoke("predict", runs("tiny"), "-", "--json", stdin=f"{row}\n\n{row}\n")
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and [one["record"] for one in said] == ["<stdin>:1", "<stdin>:3"]
    assert said[0]["classes"] == said[1]["classes"] == Model(runs("tiny")).records(row)["classes"]


def test_bad_rows_are_counted_by_reason(runs, invoke, tmp_path):
    (tmp_path / "wrong.csv").write_text("weight_kg,colour\n" + "1,red\n" * 9 + "1\n", encoding="utf-8")
    result = invoke("predict", runs("tiny"), tmp_path / "wrong.csv")
    assert result.exit_code == 4 and not result.stdout
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2 and "'colour'" in warnings[0]
    assert "10 of the inputs could not be read: 9 x " in result.stderr and "wrong.csv:6, ...); 1 x " in result.stderr


@pytest.mark.parametrize("name, words", [
    ("x.png", "holds no rows"), ("x.yaml", "holds no rows"), ("x.parquet", "no Parquet file"), ("x.csv", "not UTF-8"),
    ("none.jsonl", "cannot read"),
])  # fmt: skip
def test_what_holds_no_rows_is_refused(name, words, runs, invoke, tmp_path):
    if name != "none.jsonl":
        (tmp_path / name).write_bytes(b"a,b\n\x89PNG")
    result = invoke("predict", runs("tiny"), tmp_path / name)
    assert result.exit_code == 4 and name in result.stderr and words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_row_from_python(runs):
    model = Model(runs("tiny"))
    (listed,) = model.predict([PARCELS])
    assert model.predict(PARCELS) == listed and model.predict([]) == [] == model.records([])
    assert model.records(PARCELS)["record"] == json.dumps(PARCELS)


def test_a_server_shows_a_request_of_its_own_columns(runs):
    """What the refusal of another key and the schema show is a request that is answered."""
    wrong, schema, answer = asyncio.run(ask(runs("tiny")))
    body = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    (example,) = body["examples"]
    assert set(example["record"]) == set(PARCELS)
    assert wrong.status_code == 422 and wrong.json()["detail"].endswith(json.dumps(example))
    assert answer.status_code == 200 and "notes" not in answer.json()


async def ask(path):
    httpx = pytest.importorskip("httpx")
    app = pytest.importorskip("bmtool.serve.app")
    settings = pytest.importorskip("bmtool.serve.settings")
    from bmtool.serve.service import Service

    guard = app.create(Service(str(path), Here(path), settings.Settings(), print))
    transport = httpx.ASGITransport(guard)
    async with (
        guard.app.router.lifespan_context(guard.app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        wrong = await client.post("/v1/predict", json={"row": PARCELS})
        schema = (await client.get("/openapi.json")).json()
        _, _, example = wrong.json()["detail"].partition("such as ")
        return wrong, schema, await client.post("/v1/predict", json=json.loads(example))


def test_options(runs, invoke, tmp_path):
    row = json.dumps(PARCELS)
    assert invoke("predict", runs("tiny"), row, "--top", "1").stdout.count("\t") == 1
    result = invoke("predict", runs("tiny-regression"), row, "--top", "1")
    assert result.exit_code == 2 and "no such option" in result.stderr
    for name in TINY:
        result = invoke("predict", runs(name), row, "--explain", tmp_path / f"{name}.png")
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_two_models_are_compared_by_names_and_several_are_averaged(runs, shared):
    measured = evaluate([runs("tiny")], baseline=runs("tiny-lightgbm"))
    report = json.loads((runs("tiny") / "eval" / "test.json").read_text("utf-8"))
    assert set(report["baseline"]["differences"]) == set(measured.figures)
    with pytest.raises(DataError, match="decide by costs"):
        evaluate([runs("tiny"), runs("tiny-lightgbm")])
    other = pretrain(*tiny("tiny-regression", shared / "second", "seed=2"))
    both = evaluate([runs("tiny-regression"), other])
    assert np.isfinite(both.figures["r2"].value)


def test_finetuning_takes_the_columns_of_its_parent(runs, tmp_path):
    lines = (CONFIGS.parent / "data" / "tabular" / "parcels.csv").read_text("utf-8").splitlines()
    (tmp_path / "new.csv").write_text("\n".join([lines[0], *lines[120:]]).replace("Mon", "Sun"), encoding="utf-8")
    path, settings = tiny("tiny", tmp_path, f"data.source={tmp_path / 'new.csv'}")
    with pytest.raises(ConfigError, match=r"--set data\.columns_of="):
        finetune(path, runs("tiny"), settings)
    settings += [f"data.columns_of={runs('tiny')}", "data.columns.ignore=[]", "run=" + str(tmp_path / "second")]
    run = finetune(path, runs("tiny"), settings)
    assert load_model(run, print).predictor.schema == load_model(runs("tiny"), print).predictor.schema
    with pytest.raises(DataError, match="no schema"):
        finetune(path, runs("tiny"), [*settings, f"data.columns_of={tmp_path}", f"run={tmp_path / 'third'}"])


def test_answers_say_what_was_amiss(runs, invoke):
    row = json.dumps(PARCELS | {"service": "drone"})
    for name in TINY:
        (line,) = invoke("predict", runs(name), row, "--json").stdout.splitlines()
        assert json.loads(line)["notes"] == ["column 'service': unknown category, taken as missing"]
        assert "notes" not in json.loads(invoke("predict", runs(name), json.dumps(PARCELS), "--json").stdout)


def test_tables_are_read_alike_to_learn_and_to_predict(runs, invoke, tmp_path):
    lines = ["weight_kg;distance_km;service;fragile;day", "4.4;205;standard;no;Wed", "4.4;205;standard"]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    result = invoke("predict", runs("tiny"), tmp_path / "rows.csv", json.dumps(PARCELS))
    assert result.exit_code == 4 and "rows.csv:3: not as many cells as the header has names" in result.stderr.replace(
        "\n", ""
    )
    first, second = result.stdout.splitlines()
    assert first.split("\t")[1:] == second.split("\t")[1:]


def test_unknown_categories_are_counted_in_an_evaluation(runs, tmp_path, capsys):
    lines = (CONFIGS.parent / "data" / "tabular" / "parcels.csv").read_text("utf-8").splitlines()[:41]
    path = tmp_path / "drones.csv"
    path.write_text("\n".join(lines).replace(",express,", ",drone,"), encoding="utf-8")
    evaluate([runs("tiny")], data=str(path))
    count = path.read_text("utf-8").count("drone")
    assert f"column 'service': {count} x a category that no training row has" in capsys.readouterr().err.replace(
        "\n", " "
    )


# --- deciding by costs ---


def test_the_threshold_is_the_one_that_costs_least():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 300)
    p = (0.3 * truth + 0.7 * random.random(300)).clip(0, 1)
    said = np.stack([1 - p, p], axis=1)
    for costs in ((1.0, 10.0), (5.0, 1.0), (1.0, 1.0)):
        found = cheapest(said, truth, positive=1, false_positive=costs[0], false_negative=costs[1])
        mine = found.costs(found.given(said), truth).sum()
        every = [Decision(1, t, *costs) for t in np.linspace(0, 1.01, 500)]
        assert mine <= min(d.costs(d.given(said), truth).sum() for d in every)
    assert cheapest(said, truth, positive=1, false_positive=1, false_negative=10).threshold < 0.5


def test_of_thresholds_that_cost_the_same_the_nearest_to_the_ideal():
    said = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert cheapest(said, np.array([0, 1]), positive=1, false_positive=1, false_negative=1).threshold == 0.5
    found = cheapest(said[:, ::-1], np.array([1, 0]), positive=0, false_positive=1, false_negative=3)
    assert found.threshold == 0.25 and found.given(said[:, ::-1]).tolist() == [1, 0]


def test_a_threshold_that_is_never_reached_is_not_reached_in_float32_either():
    never = Decision(positive=1, threshold=float(np.nextafter(1.0, 2.0)), false_positive=9, false_negative=1)
    assert never.given(np.array([[0, 1], [1, 0]], np.float32)).tolist() == [0, 0]


def test_figures_of_a_decision():
    decision = Decision(1, 0.2, 1.0, 5.0)
    said = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.95, 0.05]])
    truth, ones = np.array([0, 1, 0, 1]), np.ones((4, 1))
    costs, labels = CostMeter(decision), LabelMeter(["no", "yes"], decision=decision)
    costs.add(said, truth, ones), labels.add(said, truth, ones)
    assert {name: value[0] for name, value in costs.figures().items()} == {"cost": 6 / 4, "cost_at_half": 10 / 4}
    assert labels.figures()["accuracy"][0] == 0.5
    assert is_lower_better("cost")
    assert [one.classes[0][0] for one in likeliest(["no", "yes"], said, Top(top=1), decision)] == [
        "no",
        "yes",
        "yes",
        "no",
    ]


def test_a_decision_is_judged_by_its_costs():
    said, truth, ones = np.array([[0.6, 0.4]] * 8), np.array([0, 0, 0, 0, 0, 0, 0, 1]), np.ones((8, 1))
    costs = CostMeter(Decision(1, 0.3, 1.0, 5.0))
    costs.add(said, truth, ones)
    assert costs.chance() == (0, 5 / 8) and costs.figures()["cost"] == 7 / 8
    predictor = SimpleNamespace(labels=["no", "yes"], decision=costs.decision)
    predictor.probabilities, predictor.run = np.array, np.log
    for good in (False, True):
        measured = Classes(predictor, 1 + RESAMPLES)
        answers = [[0.5, 0.5] if yes else ([0.8, 0.2] if good and n % 4 else [0.4, 0.6]) for n, yes in enumerate(truth)]
        examples = [Example(str(n), None, ["no", "yes"][t], a) for n, (t, a) in enumerate(zip(truth, answers))]
        for block, weight in zip([examples * 20], weights()):
            list(measured.add(block, weight[: len(block)]))
        found = [*measured.warnings(measured.measured())]
        assert not good or not found
        assert good or found == [
            "no better than chance: always saying 'no' would cost 0.6250 of an example, and the interval of this cost reaches that"
        ]


def test_a_run_decides_and_says_what_it_costs(runs, exports, invoke, tmp_path):
    run = runs("tiny-lightgbm")
    held = json.loads((run / "assets" / "decision.json").read_text("utf-8"))
    table = Table(load(run / "config.yaml").data.prepared, "valid")
    for predictor in (load_model(run, print).predictor, load_model(exports(run.name), print).predictor):
        assert predictor.decision == Decision(**held)
    measured = evaluate([run], split="valid")
    assert measured.figures["cost"].value <= measured.figures["cost_at_half"].value
    assert measured.measured.notes["threshold"] == held["threshold"] and len(table) == measured.examples
    predictor = load_model(run, print).predictor
    probes = predictor.probes(60)
    for p, value in zip(predictor.probabilities(probes)[:, predictor.positive], predictor.predict(probes)):
        said = predictor.labels[predictor.positive if p >= held["threshold"] else 1 - predictor.positive]
        assert value.record()["label"] == said
    begun = shutil.copytree(run, tmp_path / "begun")
    for name in ("decision.json", "sums.json"):
        (begun / "assets" / name).unlink()
    result = invoke("predict", begun, json.dumps(PARCELS))
    assert result.exit_code == 4 and "not been trained to its end" in result.stderr


# --- figures ---


def test_figures_are_those_of_scikit_learn(runs):
    from sklearn.metrics import average_precision_score, log_loss, r2_score, roc_auc_score

    run = runs("tiny")
    measured, predictor = evaluate([run]), load_model(run, print).predictor
    table = Table(load(run / "config.yaml").data.prepared, "test")
    said = predictor.probabilities([predictor.read(cells) for _, cells in table.rows()])
    positive = said[:, predictor.positive]
    figures = {name: figure.value for name, figure in measured.figures.items()}
    is_positive = table.target == predictor.positive
    assert figures["auc"] == pytest.approx(roc_auc_score(is_positive, positive))
    assert figures["average_precision"] == pytest.approx(average_precision_score(is_positive, positive), abs=1e-6)
    assert figures["loss"] == pytest.approx(log_loss(table.target, said), rel=1e-5)
    run = runs("tiny-regression")
    table = Table(load(run / "config.yaml").data.prepared, "test")
    predictor = load_model(run, print).predictor
    numbers = predictor.numbers([predictor.read(cells) for _, cells in table.rows()])
    assert evaluate([run]).figures["r2"].value == pytest.approx(r2_score(table.target, numbers), rel=1e-6)


@pytest.mark.parametrize("model", ['{"kind": "mlp", "widths": [8]}', '{"kind": "lightgbm", "rounds": 40}'])
def test_a_target_far_from_zero_is_learned_and_measured_as_one_near_it(model, tmp_path):
    from sklearn.metrics import r2_score

    random = np.random.default_rng(0)
    rows = [f"{x},{1.7e9 + 3 * x:.4f}" for x in random.normal(size=300).round(3)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]), "utf-8")
    path, _ = tiny("tiny-regression", tmp_path)
    run = pretrain(path, [
        f"run={tmp_path / 'run'}", f"data.prepared={tmp_path / 'data'}", f"data.source={tmp_path / 't.csv'}", "data.target=y",
        'data.columns={"ignore": []}', f"model={model}", "optim={}" if "lightgbm" in model else "optim.lr=0.01",
        *(['train={"threads": 1}', "schedule={}"] if "lightgbm" in model else ["train.steps=200", "train.validate_every=100"]),
    ])  # fmt: skip
    table, (ours, theirs) = (
        Table(tmp_path / "data", "valid"),
        (load_model(m, print).predictor for m in (run, export_onnx(run))),
    )
    for predictor in (ours, theirs):
        said = predictor.run(table.values)
        assert said.dtype == np.float64 and np.abs(said - table.target).mean() < 1
    figures = {name: figure.value for name, figure in evaluate([run], split="valid").figures.items()}
    assert (
        figures["r2"] == pytest.approx(r2_score(table.target, ours.run(table.values)), rel=1e-6) and figures["r2"] > 0.8
    )
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(event["valid/rmse"] for event in logged if "valid/rmse" in event)
    assert best == pytest.approx(figures["rmse"], rel=1e-3)


# --- settings ---


@pytest.mark.parametrize("name, change, words", [
    ("tiny-regression", {"decide": {"cost_false_negative": 2.0}}, r" decide: for tabular-classification only"),
    ("tiny", {"loss": {"huber": 1.0}}, "loss.huber is for tabular-regression"),
    ("tiny", {"decide": {"cost_false_positive": 0.0, "cost_false_negative": 1.0}}, "decide.cost_false_positive"),
])  # fmt: skip
def test_settings_without_effect_are_refused(name, change, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        parse(load(tiny(name, tmp_path)[0]).model_dump() | change)


@pytest.mark.parametrize("name", ["tiny", "tiny-lightgbm"])
def test_a_model_without_validation_rows_is_refused(name, tmp_path):
    path, settings = tiny(name, tmp_path, "data.valid_share=0")
    with pytest.raises(DataError, match="the valid split is empty"):
        pretrain(path, settings)
    assert not (tmp_path / name / "run.json").exists()


def test_a_deciding_figure_that_is_never_a_number_is_said(tmp_path, capsys):
    import onnx

    rows = [f"{n % 7},{'no' if n % 2 else 'yes'}" for n in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]), "utf-8")
    (tmp_path / "valid.csv").write_text("\n".join(["a,y", *rows[::2]]), "utf-8")
    path, settings = tiny("tiny", tmp_path)
    run = pretrain(path, [
        *settings, f"data.source={tmp_path / 't.csv'}", f"data.valid={tmp_path / 'valid.csv'}", "data.valid_share=0", "data.target=y",
        "data.positive=null", 'data.columns={"ignore": []}', "decide=null", "train.best=auc", "train.patience=1",
    ])  # fmt: skip
    log = (run / "log.txt").read_text("utf-8")
    assert log.count("auc of the validation split is not a number") == 1 and "stopping early" not in log
    assert "auc was never a number: the last checkpoint is used" in log and not (run / "checkpoints" / "best").exists()
    (held,) = onnx.load(export_onnx(run)).metadata_props
    about = json.loads(held.value, parse_constant=pytest.fail)  # NaN and Infinity, which are not JSON
    assert about["validation"]["auc"] is None and about["validation"]["loss"] > 0


def test_costs_are_of_two_classes(tmp_path):
    path, settings = tiny("tiny", tmp_path, "data.target=service", "data.columns.ignore=[arrived]")
    with pytest.raises(ConfigError, match="costs are of two classes"):
        pretrain(path, settings)


def test_gradient_settings_of_trees_are_refused(tmp_path):
    path, settings = tiny("tiny-lightgbm", tmp_path, "optim.lr=0.5")
    with pytest.raises(ConfigError, match=r"optim\.lr"):
        pretrain(path, settings)


def test_the_kind_of_model_says_which_task_it_is(tmp_path):
    task = registry.find("tabular-classification").load("task")
    assert task.of(load(tiny("tiny", tmp_path)[0])) is Network
    assert task.of(load(tiny("tiny-lightgbm", tmp_path)[0])) is Boosted


@pytest.mark.parametrize("value, unit, said", [
    (151.234567, 77.0, "151.235"), (1.7e9 + 1.25, 2.0, "1700000001.25"), (0.0, 1.0, "0"), (3.14159265, 0.0, "3.14159"),
])  # fmt: skip
def test_a_number_has_the_digits_that_matter(value, unit, said):
    assert Number(value, unit).line() == said


def test_an_answer_that_is_no_number_is_null_and_said():
    value = Number(float("inf"))
    assert json.loads(json.dumps(value.record(), allow_nan=False))["value"] is None
    assert "no finite number" in value.line()
