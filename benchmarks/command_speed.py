"""Cold start of the command line: `--help`, and one sentence with an exported model, whole processes from the outside."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

ROUNDS = 10


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    imports = [sys.executable, "-c", "import typer, rich"]
    console_script = str(Path(sys.executable).with_name("bmtool"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = [part for value in common.settings(folder, "train.steps=1") for part in ("--set", value)]
        common.bmtool("prepare-data", common.CONFIG, *overrides)
        common.bmtool("pretrain", common.CONFIG, *overrides)
        common.bmtool("export-onnx", str(folder / "run"))
        common.bmtool("export-onnx", str(folder / "run"), "--int8")
        exports = folder / "run" / "export"
        translate = [console_script, "translate", "jin tian tian qi hen hao", "--model"]
        commands = {
            "import typer, rich": imports,
            "bmtool --help": [console_script, "--help"],
            f"translate, float32 ({(exports / 'model.onnx').stat().st_size / 1e6:.0f} MB)": [
                *translate,
                str(exports / "model.onnx"),
            ],
            f"translate, int8 ({(exports / 'model-int8.onnx').stat().st_size / 1e6:.0f} MB)": [
                *translate,
                str(exports / "model-int8.onnx"),
            ],
        }
        for command in commands.values():
            seconds(command)
        rounds = [{label: seconds(command) for label, command in commands.items()} for _ in range(ROUNDS)]
    print(f"{ROUNDS} rounds in turn, seconds; median (min - max)")
    for label in commands:
        print(f"{label:32} {common.spread([r[label] for r in rounds])}")
    print(
        f"{'--help / import typer, rich':32} {common.spread([r['bmtool --help'] / r['import typer, rich'] for r in rounds])}"
    )


if __name__ == "__main__":
    main()
