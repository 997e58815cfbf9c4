"""What a model takes from every device: predicted from its header alone, in llama.cpp's own arithmetic.

`shape_of(header)` once for each model, then `predict(shape, options, devices)` as often as a slider moves. A
`Calibration` asks for a few dry runs of a setting; with the `levels` that it collects predictions are exact.
"""

from kobold_tui.domain.memory.calibration import MAX_PROBES, Calibration, Probe
from kobold_tui.domain.memory.estimate import HOST_NAME, Device, DeviceMemory, MemoryEstimate
from kobold_tui.domain.memory.levels import ComputeLevels
from kobold_tui.domain.memory.predict import ExtraFiles, predict
from kobold_tui.domain.memory.shape import ModelShape, shape_of

__all__ = [
    "HOST_NAME",
    "MAX_PROBES",
    "Calibration",
    "ComputeLevels",
    "Device",
    "DeviceMemory",
    "ExtraFiles",
    "MemoryEstimate",
    "ModelShape",
    "Probe",
    "predict",
    "shape_of",
]
