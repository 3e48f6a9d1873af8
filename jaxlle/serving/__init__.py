"""Maps of new points in files: as arrays, or as a program that runs without jaxlle. No file contains a pickle.

| functions | file |
| --- | --- |
| `save_map`, `load_map` | arrays of an out-of-sample map with a versioned header, readable by this and every later jaxlle |
| `export_map`, `load_exported` | any map as a StableHLO program for CPU, GPU and TPU, which needs JAX alone |
| `export_onnx` | an encoder or an out-of-sample map as an ONNX model, which needs no Python |

Networks are saved as arrays by `jaxlle.nn.save_model`.

A file of arrays is data: it can be wrong, but loading it runs nothing. An exported map is a program. `load_exported` verifies a
checksum and accepts only the operations that jaxlle exports, but a checksum is not a signature, and neither it nor the list makes
the program of an attacker safe: load programs only from sources that you trust, as you would run a script.
"""

from .._core.calls import explain_calls
from .maps import OutOfSampleMap, load_map, save_map
from .onnx_models import export_onnx
from .stablehlo import export_map, load_exported

__all__ = ["OutOfSampleMap", "export_map", "export_onnx", "load_exported", "load_map", "save_map"]

explain_calls(__name__)
