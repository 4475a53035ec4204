"""What a run keeps after every epoch, so that a killed one goes on as if nothing had happened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import pandas as pd

_BEST = "best.weights.h5"
_MONITOR = "val_loss"


class EpochCheckpoint(keras.callbacks.Callback):
    """Keeps the last epoch's weights and optimizer, replaced as a whole, and the best epoch's weights likewise.

    Args:
        folder: where they are kept.
        history_csv: what Keras's CSVLogger writes, a row an epoch.
        keep_best: whether the best epoch's weights are wanted, too.
    """

    def __init__(self, folder: Path, history_csv: Path, keep_best: bool) -> None:
        super().__init__()
        self._keep_best = keep_best
        self._folder = folder
        self._history_csv = history_csv
        self._best = math.inf

    def exists(self) -> bool:
        """Whether an epoch was finished."""
        return any(self._folder.glob("epoch_*.keras"))

    def restore(self, model: keras.Model) -> list[float]:
        """Load the last checkpoint into a compiled model; returns the validation loss of every finished epoch."""
        if not self.exists():
            return []
        last = max(self._folder.glob("epoch_*.keras"))
        saved = keras.models.load_model(last)
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for ours, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
            ours.assign(theirs)
        history = pd.read_csv(self._history_csv)
        # A run that was killed between the log and the checkpoint logs that epoch again.
        surplus = history["epoch"] >= int(last.stem.split("_")[1])
        if surplus.any():
            history = history[~surplus]
            history.to_csv(self._history_csv, index=False)
        losses = [float(loss) for loss in history[_MONITOR]]
        self._best = min(losses, default=math.inf)
        return losses

    def restore_best(self, model: keras.Model) -> None:
        """Load the weights of the epoch with the least validation loss."""
        model.load_weights(self._folder / _BEST)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the epoch's checkpoint, then remove the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        loss = (logs or {}).get(_MONITOR, math.inf)
        if self._keep_best and loss < self._best:
            self._best = loss
            partial = self._folder / "partial.weights.h5"
            self.model.save_weights(partial)
            partial.replace(self._folder / _BEST)
        before = sorted(self._folder.glob("epoch_*.keras"))
        partial = self._folder / "partial.keras"
        self.model.save(partial)
        partial.replace(self._folder / f"epoch_{epoch + 1:03d}.keras")
        for path in before:
            path.unlink()


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's own, which remembers the epochs before an interruption; `EpochCheckpoint` keeps the best weights.

    Args:
        past_losses: validation loss of every epoch that is already finished.
        patience: epochs without a better one after which the training ends.
    """

    def __init__(self, past_losses: list[float], patience: int) -> None:
        super().__init__(patience=patience)
        self._past_losses = past_losses

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start where the last epoch ended."""
        super().on_train_begin(logs)
        if self._past_losses:
            self.best, self.wait = plateau(self._past_losses, 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the finished epochs have used up the patience already."""
        return bool(self._past_losses) and plateau(self._past_losses, 0.0)[1] >= self.patience


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's own, which remembers the epochs before an interruption.

    Args:
        past_losses: validation loss of every epoch that is already finished.
        patience: epochs without a better one after which the learning rate falls.
        factor: by which it falls.
    """

    def __init__(self, past_losses: list[float], patience: int, factor: float) -> None:
        super().__init__(patience=patience, factor=factor)
        self._past_losses = past_losses

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start where the last epoch ended."""
        super().on_train_begin(logs)
        if self._past_losses:
            self.best, self.wait = plateau(self._past_losses, self.min_delta, self.patience)


def plateau(losses: list[float], min_delta: float, restart_after: int | None = None) -> tuple[float, int]:
    """The least loss, and how many epochs have passed since it fell by more than `min_delta`.

    Args:
        losses: one an epoch.
        min_delta: a smaller fall counts as none.
        restart_after: the count begins anew when it reaches this.
    """
    best, wait = math.inf, 0
    for loss in losses:
        if loss < best - min_delta:
            best, wait = loss, 0
        else:
            wait = wait + 1 if wait + 1 != restart_after else 0
    return best, wait
