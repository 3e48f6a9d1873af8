"""The program and the SLURM script of notebook 07, run as given with two processes in place of two nodes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "07_scale_devices_hosts.ipynb"
# Starts a process for each of two nodes, as srun does with one task per node, and ends both when one fails.
SRUN = """#!/bin/bash
[ "$1" = --kill-on-bad-exit=1 ] || exit 2
export SLURM_JOB_ID SLURM_NTASKS=2 SLURM_STEP_NODELIST=localhost SLURM_LOCALID=0 SLURM_GPUS_ON_NODE=2
SLURM_PROCID=0 "${@:2}" & first=$!
SLURM_PROCID=1 "${@:2}"; status=$?
wait $first && exit $status
"""


def listings():
    """Return the programs of the guide in the notebook: the one in Python, and the one for SLURM."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    script = re.search(r"```sh\n(#!/bin/bash\n.*?)```", text, re.DOTALL)
    return program[1], script[1]


@pytest.fixture
def cluster(tmp_path):
    """Return a function that submits the script in a folder with the program, and the folder."""
    program, script = listings()
    tools = tmp_path / "tools"
    tools.mkdir()
    commands = {"srun": SRUN, "scontrol": f'#!/bin/bash\necho "$@" > {tmp_path}/queued\n'}
    commands["python"] = f'#!/bin/bash\nexec {sys.executable} "$@"\n'
    for name, content in commands.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    (tmp_path / "embed_points.py").write_text(program)
    (tmp_path / "embed_points.sh").write_text(script)

    def submit(*arguments, restarts=0):
        environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "JAX_PLATFORMS": "cpu",
            "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_RESTART_COUNT": str(restarts),
        }
        command = ["bash", "embed_points.sh", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, timeout=600, capture_output=True, text=True)

    return submit, tmp_path


def test_a_job_that_fails_is_queued_again_three_times(cluster):
    submit, folder = cluster
    (folder / "embed_points.py").write_text("raise SystemExit(1)")  # fails at once
    assert submit().returncode == 1
    assert (folder / "queued").read_text().startswith("requeue")
    (folder / "queued").unlink()
    assert submit(restarts=3).returncode == 1
    assert not (folder / "queued").exists()


@pytest.mark.slow
def test_the_script_and_the_program_of_the_guide_work_as_given(cluster):
    import jaxlle

    submit, folder = cluster
    x = jaxlle.datasets.digits().points[:501].astype(np.float32)
    np.save(folder / "x.npy", x)
    for run in ("with a search", "with the saved graph"):
        done = submit("x.npy", "graph.npz", "y.npy")
        assert done.returncode == 0, (run, done.stderr)
        for number in range(2):
            assert f"process {number} of 2, 4 devices in all" in done.stdout
        assert (folder / "graph.npz").exists()
        y = np.load(folder / "y.npy")
        exact = jaxlle.lle(x, 2, k=12, solver=jaxlle.solvers.DenseQR()).points
        assert jaxlle.metrics.subspace_angle(y, exact) < np.deg2rad(0.1)
        (folder / "y.npy").unlink()
    assert not (folder / "queued").exists()
