"""What pyproject.toml cannot say: the configurations and the sample data of the repository become parts of the package.

In a wheel they are `bmtool/configs` and `bmtool/samples`; in a clone, installed or not, they stay where they are (config/shipped.py).
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["bmtool*"]), "bmtool.configs", "bmtool.samples"],
    package_dir={"bmtool.configs": "configs", "bmtool.samples": "data"},
)
