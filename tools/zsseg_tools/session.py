"""ONNX Runtime on one CPU thread."""

import onnxruntime


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Opens an ONNX model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model, options, providers)
