"""The residual blocks of full-precision and 1-bit networks, one module each."""

from keras_rbcn.applications.blocks.bcnn import BCNNBlocks
from keras_rbcn.applications.blocks.birealnet import BiRealNetBlocks
from keras_rbcn.applications.blocks.full_precision import FullPrecisionBlocks
from keras_rbcn.applications.blocks.parts import Blocks
from keras_rbcn.applications.blocks.rbcn import RBCNBlocks
from keras_rbcn.applications.blocks.reactnet import ReActNetBlocks
from keras_rbcn.applications.blocks.xnornet import XNORNetBlocks

NETWORKS: dict[str, Blocks] = {
    "full_precision": FullPrecisionBlocks(),
    "bcnn": BCNNBlocks(),
    "xnornet": XNORNetBlocks(),
    "birealnet": BiRealNetBlocks(),
    "rbcn": RBCNBlocks(),
    "reactnet": ReActNetBlocks(),
}
"""The blocks of each network, by the name that the builders' `network` takes."""

__all__ = ["NETWORKS"]
