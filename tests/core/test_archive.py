"""Files of named arrays: atomic replacement."""

import numpy as np
import pytest

from jaxlle._core import archive, atomic


def test_a_failed_save_leaves_the_previous_file_unchanged(tmp_path):
    file = tmp_path / "a.npz"
    archive.write(file, "thing", 1, 1, {"a": np.ones(2)})

    def fail():
        with atomic.replacing(file) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert archive.read(file, "thing", 1, wanted=lambda name: True)[1]["a"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [file]
