"""MobileNet V1 without its batch normalisation, and the head that tells masks.

Fine-tuning keeps batch normalisation in inference mode, where it is a fixed scale and shift per channel. Folding
both into the convolution before it gives the same function and trains 1.4 times as fast on a processor; a backbone
in the layout of keras.applications is folded when it is read.

Architecture: Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from pipeline.errors import ModelError

# Output channels at width 1.0 and stride of each depthwise-separable block.
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
BACKBONE_NAME = "mobilenet_v1"
LOGITS_NAME = "logits"
DROPOUT_NAME = "dropout"


def mobilenet_v1(size_px: int, alpha: float) -> keras.Model:
    """The folded backbone: (N, size, size, 3) float32 in [-1, 1] -> (N, size / 32, size / 32, 1024 * alpha)."""
    pixels = keras.Input((size_px, size_px, 3))
    x = layers.Conv2D(int(32 * alpha), 3, 2, "same", activation="relu6", name="conv1")(pixels)
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        x = layers.DepthwiseConv2D(3, stride, "same", activation="relu6", name=f"depthwise_{number}")(x)
        x = layers.Conv2D(int(filters * alpha), 1, activation="relu6", name=f"pointwise_{number}")(x)
    return keras.Model(pixels, x, name=BACKBONE_NAME)


def load_backbone(model: keras.Model, weights: str, size_px: int, alpha: float) -> None:
    """Read ImageNet weights into a folded backbone.

    Args:
        model: from `mobilenet_v1`.
        weights: `imagenet` downloads them, `none` leaves the random start, anything else is a weights file of
            `keras.applications.MobileNet` without its top.
        size_px: input side.
        alpha: width multiplier.

    Raises:
        ModelError: the file is missing, or of another width or architecture, or the download failed.
    """
    if weights == "none":
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise ModelError(
            "no such weights file",
            path=weights,
            remedy="Give a MobileNet V1 weights file without top, `imagenet` to download one, or `none`.",
        )
    # The download offers only a few sizes; the weights are the same function of any.
    side_px = 224 if weights == "imagenet" else size_px
    try:
        source = keras.applications.MobileNet(
            input_shape=(side_px, side_px, 3),
            alpha=alpha,
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
        )
        if weights != "imagenet":
            with warnings.catch_warnings():
                # Keras warns of every container that holds no weights; a file that does not fit is an error.
                warnings.simplefilter("ignore", UserWarning)
                source.load_weights(weights)
    except Exception as error:  # Keras raises plain Exception for a failed download, and five kinds for a bad file
        raise ModelError(
            f"the backbone's weights cannot be loaded ({_first_line(error)})",
            path=weights,
            remedy=f"It must be MobileNet V1 of width {alpha:g} without top; --alpha names another width, "
            "`--weights imagenet` needs a network connection.",
        ) from error
    _fold(source, model)


def normalise_random_start(model: keras.Model, unit_pixels: npt.NDArray[np.float32]) -> None:
    """Scale and shift every layer of a random backbone so that its outputs on some pictures are standard normal.

    What batch normalisation would do at the first step, folded into the weights; without it a random network of this
    depth gives nearly the same features for every picture and does not begin to learn.
    Method: Mishkin and Matas, All You Need Is a Good Init, 2016, per channel.

    Args:
        model: from `mobilenet_v1`.
        unit_pixels: (N, size, size, 3) float32 in [-1, 1], a few dozen training pictures.
    """
    features = unit_pixels
    for layer in model.layers[1:]:
        layer.activation = keras.activations.linear
        linear = np.asarray(layer(features))
        mean, deviation = linear.mean(axis=(0, 1, 2)), linear.std(axis=(0, 1, 2)) + 1e-5
        kernel, bias = layer.get_weights()
        shape = (1, 1, -1, 1) if isinstance(layer, layers.DepthwiseConv2D) else (1, 1, 1, -1)
        layer.set_weights([kernel / deviation.reshape(shape), (bias - mean) / deviation])
        layer.activation = keras.activations.relu6
        features = np.clip((linear - mean) / deviation, 0, 6)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _fold(source: keras.Model, target: keras.Model) -> None:
    pairs = [("conv1", "conv1", "conv1_bn")]
    for number in range(1, len(BLOCKS) + 1):
        pairs.append((f"depthwise_{number}", f"conv_dw_{number}", f"conv_dw_{number}_bn"))
        pairs.append((f"pointwise_{number}", f"conv_pw_{number}", f"conv_pw_{number}_bn"))
    for ours, convolution, normalisation in pairs:
        kernel = source.get_layer(convolution).get_weights()[0]
        layer = source.get_layer(normalisation)
        gamma, beta, mean, variance = layer.get_weights()
        scale = gamma / np.sqrt(variance + layer.epsilon)
        # A depthwise kernel is (3, 3, channels, 1): its channels are not on the last axis.
        shape = (1, 1, -1, 1) if convolution.startswith("conv_dw") else (1, 1, 1, -1)
        target.get_layer(ours).set_weights([kernel * scale.reshape(shape), beta - mean * scale])


def build_classifier(size_px: int, alpha: float, n_outputs: int, dropout: float) -> keras.Model:
    """The whole classifier, preprocessing included.

    Args:
        size_px: input side.
        alpha: width multiplier of the backbone.
        n_outputs: 1 for a sigmoid head on two classes, else the number of classes.
        dropout: share of the pooled features dropped in training.

    Returns:
        (N, size, size, 3) RGB in 0 to 255, any number type -> (N, n_outputs) float32 logits.
    """
    pixels = keras.Input((size_px, size_px, 3), name="pixels_rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="to_unit_range")(pixels)
    x = mobilenet_v1(size_px, alpha)(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name=DROPOUT_NAME)(x)
    return keras.Model(pixels, layers.Dense(n_outputs, name=LOGITS_NAME)(x), name="mask_classifier")


def two_logits(weights: list[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """The head [0, z] of a sigmoid head z: softmax of the two equals the sigmoid."""
    kernel, bias = weights
    return [
        np.concatenate([np.zeros_like(kernel), kernel], 1),
        np.concatenate([np.zeros_like(bias), bias]),
    ]
