"""What ships: one version, a licence, a type marker, and a wheel that answers in an environment of its own."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

import bmtool

PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_version_stands_in_one_place_and_the_changelog_has_its_heading():
    assert 'dynamic = ["version"]' in PYPROJECT and 'version = { attr = "bmtool.__version__" }' in PYPROJECT
    assert bmtool.__version__ not in re.sub(r"[><=]=[\d.]+", "", PYPROJECT)
    (newest,) = re.findall(r"\A# Changelog\s+## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert newest == bmtool.__version__


def test_the_licence_is_whole_and_says_what_it_is_not_for():
    licence, notice = ((ROOT / name).read_text("utf-8") for name in ("LICENSE", "NOTICE"))
    assert "Apache License\n" in licence and "END OF TERMS AND CONDITIONS" in licence and len(licence) > 11_000
    assert "MODEL_CARD.md" in notice and (ROOT / "bmtool" / "pretrained" / "pinyin2hanzi" / "MODEL_CARD.md").is_file()
    assert 'license = "Apache-2.0"' in PYPROJECT and 'license-files = ["LICENSE", "NOTICE"]' in PYPROJECT
    for name in ("LICENSE", "NOTICE"):
        assert f"!{name}" in (ROOT / ".dockerignore").read_text("utf-8") and name in (ROOT / "Dockerfile").read_text()


def test_a_release_is_of_what_was_committed_and_described(tmp_path):
    for name in (".ci", "bmtool"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / ".ci" / "release", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bmtool" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 9.9.8\n")

    def released() -> subprocess.CompletedProcess:
        command = [tmp_path / ".ci" / "release", sys.executable]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True, cwd=tmp_path)
    done = released()
    assert done.returncode == 2 and "commit them first" in done.stderr
    subprocess.run([*git, "add", "-A"], check=True, cwd=tmp_path)
    subprocess.run([*git, "commit", "-qm", "all"], check=True, cwd=tmp_path)
    done = released()
    assert done.returncode == 2 and "no heading '## 9.9.9'" in done.stderr


@pytest.mark.slow
def test_the_wheel_installs_and_answers(tmp_path):
    """From a copy: what setuptools leaves in `build/` would be in it."""
    pytest.importorskip("build")
    left = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "bmtool", tmp_path / "source" / "bmtool", ignore=left)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    build = [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", tmp_path / "source"]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    assert len(list((tmp_path / "dist").glob("*.tar.gz"))) == 1
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    done = subprocess.run([ROOT / ".ci" / "try-wheel", wheel], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == f"{wheel.name} installs and answers"
