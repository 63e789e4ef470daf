"""`python -m bmtool`, which is also what torchrun starts."""

from bmtool.cli import main

main()
