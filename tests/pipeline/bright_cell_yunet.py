"""A stand-in for YuNet's file: the same inputs and outputs, but what it finds are bright cells.

OpenCV's FaceDetectorYN reads scores, boxes and landmarks of three levels by these names (its face_detect.cpp). Here
the score of a cell is its brightness, and every box is centred on its cell's corner and two cells wide.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)


def write_bright_cell_yunet(path: Path, size_px: int) -> None:
    """Write the network for square inputs of `size_px`; only the level of stride 8 ever finds anything."""
    nodes, constants, outputs = [], [], []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    for stride in STRIDES:
        n_cells = (size_px // stride) ** 2
        # The mean over a cell and its three colours; nothing at all at the other levels.
        strength = 1 / (255 * 3 * stride * stride) if stride == 8 else 0.0
        weights = np.full((1, 3, stride, stride), strength, dtype=np.float32)
        kernel = constant(f"kernel_{stride}", weights)
        brightness = f"brightness_{stride}"
        nodes.append(
            helper.make_node("Conv", ["input", kernel], [brightness], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        shape = constant(f"shape_{stride}", np.asarray([1, n_cells, 1], dtype=np.int64))
        for name in ("cls", "obj"):
            nodes.append(helper.make_node("Reshape", [brightness, shape], [f"{name}_{stride}"]))
            outputs.append(helper.make_tensor_value_info(f"{name}_{stride}", TensorProto.FLOAT, [1, n_cells, 1]))
        for name, width, value in (("bbox", 4, [0.0, 0.0, np.log(2), np.log(2)]), ("kps", 10, [0.0] * 10)):
            spread = constant(f"{name}_zero_{stride}", np.zeros((1, 1, width), dtype=np.float32))
            values = constant(f"{name}_value_{stride}", np.asarray(value, dtype=np.float32).reshape(1, 1, width))
            nodes.append(helper.make_node("Mul", [f"obj_{stride}", spread], [f"{name}_none_{stride}"]))
            nodes.append(helper.make_node("Add", [f"{name}_none_{stride}", values], [f"{name}_{stride}"]))
            outputs.append(helper.make_tensor_value_info(f"{name}_{stride}", TensorProto.FLOAT, [1, n_cells, width]))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, size_px, size_px])
    graph = helper.make_graph(nodes, "bright_cells", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
