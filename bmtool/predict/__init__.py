"""What goes into a model and what comes out of it: inputs by `takes`, values by `gives`, and one back end on PyTorch, one on ONNX."""
