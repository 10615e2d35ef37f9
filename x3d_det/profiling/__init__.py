"""What every X3D costs on this machine: speed, multiply-adds, parameters, memory."""

from x3d_det.profiling.case import KINDS, PRECISIONS, ProfileCase, profile_cases
from x3d_det.profiling.measure import Speed
from x3d_det.profiling.networks import Cost, Networks, has_pytorchvideo
from x3d_det.profiling.run import (
    Profile,
    ProfileRow,
    check_devices,
    present_devices,
    processor_name,
    run_profile,
)

__all__ = [
    "KINDS",
    "PRECISIONS",
    "Cost",
    "Networks",
    "Profile",
    "ProfileCase",
    "ProfileRow",
    "Speed",
    "check_devices",
    "has_pytorchvideo",
    "present_devices",
    "processor_name",
    "profile_cases",
    "run_profile",
]
