"""The colors of classes: lightness and perceived differences, also under color blindness."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxlle import plot


def lightness_and_color(colors):
    """CIELAB coordinates of linear RGB colors, shape (n, 3)."""
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = colors @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


DEFICIENCIES = {  # Machado, Oliveira and Fernandes (2009), severity 1
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_colors_of_classes_are_distinct_for_the_color_blind_and_in_gray(deficiency):
    encoded = np.array([to_rgb(color) for color in plot.PALETTE])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = lightness_and_color(np.clip(linear @ np.transpose(DEFICIENCIES[deficiency]), 0, 1))
    apart = np.linalg.norm(seen[:, None] - seen, axis=2)[np.triu_indices(10, 1)]
    assert apart.min() > 20  # ten times a just noticeable difference
    assert np.diff(np.sort(lightness_and_color(linear)[:, 0])).min() > 5
