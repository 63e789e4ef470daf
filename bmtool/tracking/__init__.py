"""What other programs are told of a training: `tracking: [tensorboard, mlflow]` of a configuration. None is imported that is not named."""
