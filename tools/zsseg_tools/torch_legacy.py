"""Reads tensors from a PyTorch checkpoint in the pre-1.6 ("legacy", not zip) format.

Only NumPy is needed. The unpickler resolves nothing but the handful of names that a
state dictionary uses, so a checkpoint cannot run code.

Layout of such a file: three small pickles (magic number, protocol version, system
information), the pickled state dictionary whose tensors refer to storages by key, a
pickled list of storage keys, and then for each key an int64 element count followed by
the raw little-endian elements.
"""

import collections
import pickle
from pathlib import Path

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _StorageRef:
    """A storage named by the pickle, filled in once the raw elements are read."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.data = None


class _TensorRef:
    """A view of a storage; offset and strides count elements."""

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset = storage, offset
        self.shape, self.strides = shape, strides

    def materialise(self):
        """Returns the tensor as a contiguous array of its own."""
        strides = [s * self.storage.dtype.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(
            self.storage.data[self.offset :], self.shape, strides
        )
        return np.array(view, order="C")


def _rebuild_tensor(storage, offset, shape, strides, *_unused):
    return _TensorRef(storage, offset, shape, strides)


class _StateDictUnpickler(pickle.Unpickler):
    """Unpickles a state dictionary of dense CPU tensors, and nothing else."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGE_DTYPES:
            return STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"unexpected name {module}.{name}")

    def persistent_load(self, pid):
        kind, dtype, key = pid[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"unexpected persistent id {pid!r}")
        return self.storages.setdefault(key, _StorageRef(dtype))


def load_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads the checkpoint at `path` and returns its tensors by name."""
    with open(path, "rb") as file:
        if _StateDictUnpickler(file).load() != MAGIC_NUMBER:
            raise ValueError(f"{path} is not a legacy PyTorch checkpoint")
        _StateDictUnpickler(file).load()  # protocol version
        _StateDictUnpickler(file).load()  # system information
        unpickler = _StateDictUnpickler(file)
        tensors = unpickler.load()
        for key in _StateDictUnpickler(file).load():
            storage = unpickler.storages[key]
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            raw = file.read(count * storage.dtype.itemsize)
            storage.data = np.frombuffer(raw, storage.dtype)
    return {name: ref.materialise() for name, ref in tensors.items()}
