"""Inference: a trained model, in PyTorch or ONNX Runtime, and its predictions for raw inputs."""
