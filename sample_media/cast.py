"""Who appears: looks, clothes, masks, and where everybody is at which time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from bodies import Outfit
from people import Look

WITH_MASK, WITHOUT_MASK, INCORRECT_MASK = "with_mask", "without_mask", "incorrect_mask"

NOSE_BARE_DROP = 0.3
"""From here on a mask that slides down leaves the nose bare."""

MASK_GONE_DROP = 1.25
"""From here on a mask is below the chin."""


@dataclass(frozen=True)
class Pose:
    """A person at one moment.

    Attributes:
        x_m: to the right of the camera.
        z_m: ahead of the camera.
        walked_m: way covered so far, which drives the steps.
        walking: False while standing.
        mask_drop: None without a mask, else how far it is pulled down, see masks.mask_grid.
        hand_xy: the raised hand's finger tips, in pixels of the drawing from the chin; None if it is not raised.
        holding: True when the hand holds the mask.
    """

    x_m: float
    z_m: float
    walked_m: float = 0.0
    walking: bool = False
    mask_drop: float | None = None
    hand_xy: tuple[float, float] | None = None
    holding: bool = False

    @property
    def label(self) -> str:
        """The truth about this person's mask."""
        if self.mask_drop is None or self.mask_drop > MASK_GONE_DROP:
            return WITHOUT_MASK
        return WITH_MASK if self.mask_drop < NOSE_BARE_DROP else INCORRECT_MASK


@dataclass(frozen=True)
class Person:
    """Somebody, and what they do.

    Attributes:
        name: identity in the truth tables.
        look: head.
        outfit: clothes.
        mask: key of masks.MASK_KINDS, or None.
        path: (time in s, x in m, z in m); nobody is there before the first and after the last.
        drops: (time in s, mask_drop) while there is a mask; after the last time it is off, unless there is only one.
        hand: (time in s, x, y) of the raised hand, see Pose.
        height: 1 is 1.7 m.
    """

    name: str
    look: Look
    outfit: Outfit
    mask: str | None = None
    path: tuple[tuple[float, float, float], ...] = ()
    drops: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    hand: tuple[tuple[float, float, float], ...] = field(default=())
    height: float = 1.0

    def pose(self, time_s: float) -> Pose | None:
        """Where and how the person is at a time, None when away."""
        times, xs, zs = (np.asarray(column) for column in zip(*self.path, strict=True))
        if not times[0] <= time_s <= times[-1]:
            return None
        legs_m = np.hypot(np.diff(xs), np.diff(zs))
        walked = np.concatenate([[0], np.cumsum(legs_m)])
        segment = int(np.clip(np.searchsorted(times, time_s, side="right") - 1, 0, len(legs_m) - 1))
        hand_xy = None
        if self.hand and self.hand[0][0] <= time_s <= self.hand[-1][0]:
            hand_times, hand_xs, hand_ys = zip(*self.hand, strict=True)
            hand_xy = (float(np.interp(time_s, hand_times, hand_xs)), float(np.interp(time_s, hand_times, hand_ys)))
        drop = self._drop(time_s)
        return Pose(
            x_m=float(np.interp(time_s, times, xs)),
            z_m=float(np.interp(time_s, times, zs)),
            walked_m=float(np.interp(time_s, times, walked)),
            walking=bool(legs_m[segment] > 0.05),
            mask_drop=drop,
            hand_xy=hand_xy,
            holding=self.mask is not None and drop is None,
        )

    def _drop(self, time_s: float) -> float | None:
        if self.mask is None:
            return None
        times, drops = zip(*self.drops, strict=True)
        if len(times) > 1 and time_s > times[-1]:
            return None
        return float(np.interp(time_s, times, drops))


ANNA = Look("collins")
BEA = Look(
    "collins",
    flip=True,
    top_bgr=(28, 34, 44),
    top_gain=0.45,
    skin_gain=0.84,
    skin_saturation=1.15,
    width=0.95,
    jaw_width=1.06,
)
CARO = Look("collins", top_bgr=(38, 62, 120), top_gain=0.8, skin_gain=1.02, width=1.05, jaw_width=1.07)
DORA = Look("collins", flip=True, top_bgr=(150, 152, 156), skin_gain=0.95, skin_saturation=0.85, width=1.02)
ELSA = Look("hopper", top_bgr=(84, 60, 48), skin_saturation=0.72)
FAY = Look("hopper", flip=True, top_bgr=(90, 88, 84), skin_gain=0.9, skin_saturation=0.66, width=0.94)
GRETA = Look("hopper", top_bgr=(50, 40, 110), skin_gain=1.06, skin_saturation=0.6, width=1.04, jaw_width=0.94)

SLATE_COAT = Outfit((96, 84, 70), (60, 50, 45), (34, 32, 32), "roll")
BLUE_JACKET = Outfit((110, 72, 48), (70, 60, 50), (215, 215, 215), "lapels")
NAVY_SUIT = Outfit((52, 42, 36), (50, 42, 38), (225, 225, 225), "lapels")
GREEN_HOOD = Outfit((70, 98, 74), (96, 76, 62), (60, 60, 62), "hood")
NAVY_COAT = Outfit((70, 50, 40), (60, 60, 62), (110, 90, 150), "roll")
RED_HOOD = Outfit((58, 52, 128), (64, 60, 58), (200, 200, 200), "hood")
BEIGE_COAT = Outfit((128, 158, 176), (58, 56, 60), (60, 64, 90), "roll")

LOBBY_CAST = (
    Person(
        "anna",
        ANNA,
        SLATE_COAT,
        path=((0.2, -3.4, 8.3), (2.0, -1.6, 8.0), (9.0, -0.3, 2.1), (10.4, -0.5, 1.3), (11.6, -1.4, 1.3)),
    ),
    Person(
        "elsa",
        ELSA,
        NAVY_SUIT,
        "surgical_blue",
        height=1.02,
        path=((2.0, 3.6, 5.75), (3.8, 1.9, 5.6), (9.4, 0.7, 2.5), (11.4, 0.68, 1.4), (12.6, 1.6, 1.35)),
    ),
    Person(
        "bea",
        BEA,
        BLUE_JACKET,
        "surgical_white",
        height=0.98,
        path=((4.4, -3.4, 8.3), (6.2, -1.7, 8.1), (12.0, 0.3, 1.4), (16.6, 0.3, 1.38), (18.6, 1.5, 1.4)),
        drops=((13.0, 0.0), (13.5, 1.0), (15.1, 1.0), (15.5, 1.7)),
        hand=(
            (12.5, 190, 420),
            (12.95, 64, -60),
            (13.0, 64, -60),
            (13.5, 60, -8),
            (13.65, 80, 10),
            (14.05, 190, 420),
            (14.6, 190, 420),
            (15.0, 60, -8),
            (15.1, 60, -8),
            (15.5, 74, 60),
            (16.1, 190, 420),
        ),
    ),
    Person(
        "fay",
        FAY,
        GREEN_HOOD,
        height=0.99,
        path=((9.0, -2.7, 3.6), (12.2, -1.2, 3.2), (15.2, -0.45, 2.6), (18.0, -0.28, 1.8), (20.1, -0.25, 1.35)),
    ),
    Person(
        "greta",
        GRETA,
        BEIGE_COAT,
        "cloth_grey",
        height=1.03,
        path=((10.4, -3.4, 8.3), (12.4, -1.6, 8.1), (20.1, -1.0, 3.2)),
    ),
    Person(
        "caro",
        CARO,
        RED_HOOD,
        "cloth_black",
        path=((11.8, 3.6, 5.75), (13.8, 1.9, 5.6), (20.1, 0.75, 2.7)),
    ),
)


def _gate(name: str, mask: str | None, x_m: float, z_m: float, drop: float = 0.0) -> tuple[Person, Pose]:
    looks = {"anna": ANNA, "bea": BEA, "caro": CARO, "dora": DORA, "elsa": ELSA, "fay": FAY, "greta": GRETA}
    outfits = {"anna": BEIGE_COAT, "bea": SLATE_COAT, "caro": GREEN_HOOD, "dora": NAVY_COAT, "fay": BLUE_JACKET}
    person = Person(name, looks[name], outfits.get(name, NAVY_SUIT), mask)
    # Somebody who walks is caught somewhere in a step, the same at every rendering.
    walked_m = 0.37 * len(name) + z_m
    return person, Pose(x_m, z_m, walked_m, walking=True, mask_drop=None if mask is None else drop)


GATE_SCENES: tuple[tuple[tuple[Person, Pose], ...], ...] = (
    (_gate("anna", "surgical_blue", -0.1, 1.6),),
    (_gate("bea", None, 0.3, 2.1), _gate("fay", "cloth_black", -0.8, 4.3)),
    (_gate("elsa", "surgical_white", 0.05, 1.5),),
    (_gate("caro", None, -0.2, 1.4), _gate("dora", "surgical_blue", 0.9, 3.2)),
    (_gate("greta", "surgical_blue", 0.2, 1.8, drop=0.6),),
    (
        _gate("fay", None, 0.0, 1.7),
        _gate("anna", "surgical_white", -1.1, 3.4),
        _gate("bea", "surgical_blue", 0.9, 4.8),
    ),
    (_gate("dora", "cloth_black", 0.15, 1.4),),
    (),
    (_gate("bea", "surgical_white", -0.86, 1.5), _gate("greta", None, 0.5, 3.6)),
    (_gate("elsa", None, 0.4, 2.0), _gate("caro", "cloth_grey", -0.5, 1.7, drop=1.0)),
    (
        _gate("anna", "surgical_blue", -0.35, 1.9),
        _gate("fay", None, 0.45, 2.4),
        _gate("dora", "surgical_white", -1.3, 3.3),
        _gate("elsa", "cloth_black", 1.25, 3.8),
        _gate("caro", None, 0.1, 5.6),
    ),
    (_gate("greta", None, 0.1, 1.35), _gate("anna", "surgical_blue", -1.2, 6.0)),
)
"""People in each image of the gate."""

GATE_GAINS = (1.0, 0.85, 1.1, 0.95, 0.75, 1.0, 1.15, 0.9, 1.0, 0.8, 1.05, 0.9)
"""Exposure of each image of the gate."""
