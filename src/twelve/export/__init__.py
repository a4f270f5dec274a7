"""A trained model as an ONNX graph."""
