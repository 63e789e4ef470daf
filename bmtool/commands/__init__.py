"""Plain functions behind the command line: importable, testable without Typer."""
