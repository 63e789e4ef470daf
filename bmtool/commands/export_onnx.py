"""`export-onnx`: a run's best weights as one file that needs onnxruntime and numpy only."""

from pathlib import Path

from bmtool.base.console import Console
from bmtool.base.files import read_json, write_json
from bmtool.commands.loading import restore
from bmtool.engine.checkpoint import Checkpoints


def export_onnx(run_path: str | Path, *, output: str | None = None, int8: bool = False) -> Path:
    """Write the model (to `export/` of the run unless `output` says otherwise) and `export/parity.json`. Returns its path."""
    console = Console()
    run, task, checkpoint = restore(run_path, console.warn)
    path = Path(output) if output else run.exports / ("model-int8.onnx" if int8 else "model.onnx")
    info = run.info()
    evaluation = run.evaluations / "test.json"
    metadata = {
        "format": 1,
        "task": info["task"],
        "run": run.path.name,
        "checkpoint": checkpoint,
        "data_hash": info["data_hash"],
        "bmtool": info["versions"]["bmtool"],
        "validation": Checkpoints(run.path, console.warn).manifest(checkpoint)["metrics"],
        "metrics": read_json(evaluation)["metrics"] if evaluation.is_file() else {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    report = task.export(path, int8=int8, metadata=metadata)
    write_json(run.exports / f"parity{'-int8' if int8 else ''}.json", report)
    figures = ", ".join(f"{key.replace('_', ' ')} {value:.6g}" for key, value in report.items() if key != "bytes")
    console.say(f"wrote {path} ({report['bytes'] / 1e6:.1f} MB); compared with PyTorch: {figures}")
    return path
