"""Which examples are learned from and which are measured on, where a source does not say so itself."""

from pydantic import Field, model_validator

from bmtool.config.schema import DataPath, Section

# as `valid` or `test`: the training examples themselves
TRAIN = "train"


class SplitData(Section):
    # of the rows of `source`, by a hash of what is learned from but the target, so that copies stay together
    valid_share: float = Field(0.1, ge=0, lt=1)
    # as valid_share
    test_share: float = Field(0.1, ge=0, lt=1)
    # files of their own, or `train` for the training rows themselves: figures then show what was learned by heart
    valid: DataPath | None = None
    # as valid
    test: DataPath | None = None

    @model_validator(mode="after")
    def _splits_fit(self):
        for split in ("valid", "test"):
            if getattr(self, split) is not None and getattr(self, f"{split}_share") > 0:
                raise ValueError(f"{split}: says where its rows come from: set {split}_share to 0")
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing to train on")
        return self
