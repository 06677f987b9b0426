"""Memory and operations of a network, in the convention of the literature."""

from keras_rbcn.profiling.profiler import profile
from keras_rbcn.profiling.report import LayerProfile, Profile

__all__ = ["LayerProfile", "Profile", "profile"]
