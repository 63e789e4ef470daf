"""float16: losses are multiplied before their backward pass, so that small gradients do not become zero.

Paulius Micikevicius et al.: Mixed Precision Training, ICLR 2018.
"""

START = 2.0**10  # of losses that are sums: for means one begins higher
LEAST = 2.0**-14
PATIENCE = 2000  # steps without an overflow, after which the factor doubles


class LossScale:
    """The factor: a power of two, so that it rounds nothing. What it was decides what a step computes: it is saved."""

    def __init__(self) -> None:
        self.value, self.waited = START, 0

    def halve(self) -> bool:
        """After gradients that overflowed; whether it was possible."""
        self.value, self.waited = self.value / 2, 0
        return self.value >= LEAST

    def passed(self) -> None:
        """A step went well."""
        self.waited += 1
        if self.waited == PATIENCE:
            self.value, self.waited = self.value * 2, 0

    def state(self) -> list[float]:
        return [self.value, self.waited]

    def load(self, saved: list[float]) -> None:
        self.value, self.waited = saved[0], int(saved[1])
