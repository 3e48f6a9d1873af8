"""Axes that are drawn without a window and closed after each test."""

import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    plt.close("all")  # figures left open by doctests
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]
