"""`jaxlle doctor`: versions, devices and missing packages."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import pytest
from cli_helpers import run

import jaxlle
from jaxlle.cli import _doctor


@pytest.mark.slow
def test_doctor_lists_versions_devices_and_precision():
    command = [sys.executable, "-m", "jaxlle", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(jaxlle.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"jaxlle {jaxlle.__version__}, Python {sys.version.split()[0]}")
    assert f"\njax {jax.__version__}\n" in done.stdout
    assert all(
        re.search(rf"^{name} \S+ +\w", done.stdout, re.MULTILINE)
        for name in ("orbax-checkpoint", "tensorboardX", "pynndescent", "flatbuffers")
    )
    assert done.stdout.count("\ndevice: ") == jax.device_count()
    assert f"device: {jax.devices()[0].platform} 0" in done.stdout
    assert "\nfloat64: off" in done.stdout
    assert "\ncompilation cache: " in done.stdout


def test_doctor_shows_that_float64_is_enabled(capsys, x64):
    assert "\nfloat64: on" in run(capsys, "doctor")[1]


def test_doctor_names_missing_packages_and_fails_if_they_are_required(capsys, monkeypatch):
    def version(name, missing):
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    for missing, status in (("matplotlib", 0), ("scipy", 1)):
        monkeypatch.setattr(metadata, "version", lambda name, missing=missing: version(name, missing))
        code, out, _ = run(capsys, "doctor")
        assert code == status
        assert f"\n{missing} is not installed" in out
        assert ("pip install 'jaxlle[plot]' for figures" in out) == (missing == "matplotlib")


def test_doctor_lists_the_packages_of_every_extra():
    listed = {name.lower() for name in (*_doctor._OPTIONAL, *_doctor._REQUIRED)}
    of_users = r"(dev|docs)"  # the extras for working on jaxlle itself
    missing = []
    for requirement in metadata.requires("jaxlle"):
        name = re.match(r"[\w-]+", requirement)[0].lower()
        if name != "jaxlle" and not re.search(rf"extra == ['\"]{of_users}['\"]", requirement) and name not in listed:
            missing.append(name)
    assert missing == []


def test_doctor_reports_a_backend_that_cannot_be_initialized(capsys, monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no driver")

    monkeypatch.setattr(jax, "devices", devices)
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "\ndevice: none, Unable to initialize backend 'cuda': no driver\n" in out
