"""`jaxlle doctor`: versions, devices and missing packages."""

import subprocess
import sys
from pathlib import Path

import jax
from cli_helpers import run

import jaxlle


def test_doctor_lists_versions_devices_and_precision():
    command = [sys.executable, "-m", "jaxlle", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(jaxlle.__file__).parents[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"jaxlle {jaxlle.__version__}, Python {sys.version.split()[0]}")
    assert f"\njax {jax.__version__}\n" in done.stdout
    assert all(
        f"\n{name} " in done.stdout for name in ("orbax-checkpoint", "tensorboardX", "pynndescent", "flatbuffers")
    )
    assert done.stdout.count("\ndevice: ") == jax.device_count()
    assert f"device: {jax.devices()[0].platform} 0" in done.stdout
    assert "\nfloat64: off" in done.stdout
    assert "\ncompilation cache: " in done.stdout


def test_doctor_shows_that_float64_is_enabled(capsys, x64):
    assert "\nfloat64: on" in run(capsys, "doctor")[1]


def test_doctor_names_missing_packages_and_fails_if_they_are_required(capsys, monkeypatch):
    from importlib import metadata

    def version(name, missing):
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    for missing, status in (("matplotlib", 0), ("scipy", 1)):
        monkeypatch.setattr(metadata, "version", lambda name, missing=missing: version(name, missing))
        code, out, _ = run(capsys, "doctor")
        assert code == status
        assert f"\n{missing} is not installed" in out


def test_doctor_reports_a_backend_that_cannot_be_initialized(capsys, monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no driver")

    monkeypatch.setattr(jax, "devices", devices)
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "\ndevice: none, Unable to initialize backend 'cuda': no driver\n" in out
