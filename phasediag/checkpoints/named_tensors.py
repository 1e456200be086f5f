"""The tensors of a checkpoint by name, each read when it is asked for.

safetensors, PyTorch (`weights_only`, so that no code of the file runs), ONNX, and folders as Hugging Face
writes them, sharded or not.
"""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from phasediag.arrays import Shape
from phasediag.errors import PhasediagError

INDEXES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLES: Final = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pt", "model.onnx")
NESTED: Final = ("state_dict", "model_state_dict", "model")
"""Keys under which a PyTorch file may hold its tensors, beside other things."""


class StoredTensors(ABC):
    """Named tensors, of which none is held longer than it is used."""

    @cached_property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each tensor, by name."""

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """A tensor, float32, on the CPU."""


class _SafeTensors(StoredTensors):
    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        with self._opened() as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def read(self, name: str) -> Tensor:
        with self._opened() as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor.float()

    def _opened(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self.path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise _unreadable(self.path, error) from error


class _Torch(StoredTensors):
    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: tuple(tensor.shape) for name, tensor in self._opened().items()}

    def read(self, name: str) -> Tensor:
        return self._opened()[name].float()

    def _opened(self) -> Mapping[str, Tensor]:
        """The tensors, mapped from the file anew: what was read of a mapping takes memory while it lives."""
        return self._loaded(mmap=True) if zipfile.is_zipfile(self.path) else self._held

    @cached_property
    def _held(self) -> Mapping[str, Tensor]:
        """All tensors of a file of before PyTorch 1.6, which cannot be mapped."""
        return self._loaded(mmap=False)

    def _loaded(self, *, mmap: bool) -> Mapping[str, Tensor]:
        try:
            held = torch.load(self.path, map_location="cpu", weights_only=True, mmap=mmap)
        except Exception as error:  # whatever unpickling raises on a foreign file
            raise _unreadable(self.path, error) from error
        for key in NESTED:
            if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
                held = held[key]
        if not isinstance(held, Mapping):
            raise _unreadable(self.path, f"it holds a {type(held).__name__}, no tensors by name")
        return {str(name): tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}


class _Onnx(StoredTensors):
    """Initializers; the matrices of products have the name of their node, and the layout of torch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _held(self) -> Mapping[str, tuple[Any, bool]]:
        """The initializer of each name, and whether it is to be transposed."""
        try:
            import onnx
        except ImportError as error:
            raise PhasediagError(
                f"{self.path} is an ONNX file: install onnx (pip install 'phasediag[onnx]')"
            ) from error
        try:
            graph = onnx.load(self.path, load_external_data=False).graph
        except Exception as error:  # of protobuf, whose classes are no public ones
            raise _unreadable(self.path, error) from error
        if not graph.initializer:  # protobuf reads some bytes of anything
            raise _unreadable(self.path, "it holds no initializer")
        held = {tensor.name: (tensor, False) for tensor in graph.initializer}
        for node in graph.node:
            product = node.op_type in ("MatMul", "Gemm")
            if product and len(node.input) > 1 and node.input[1] in held:
                tensor = held[node.input[1]][0]
                turned = not any(a.name == "transB" and a.i for a in node.attribute)
                name = node.name.strip("/").removesuffix(f"/{node.op_type}").replace("/", ".")
                held[f"{name}.weight"] = (tensor, turned)
        return held

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        sizes = {name: (tuple(tensor.dims), turned) for name, (tensor, turned) in self._held.items()}
        return {name: shape[::-1] if turned else shape for name, (shape, turned) in sizes.items()}

    def read(self, name: str) -> Tensor:
        from onnx import TensorProto, numpy_helper

        tensor, turned = self._held[name]
        own = TensorProto()
        own.CopyFrom(tensor)  # versions of onnx keep in a tensor what they read for it from a file beside
        try:
            array = np.array(numpy_helper.to_array(own, str(self.path.parent)), dtype=np.float32)
        except Exception as error:  # the file beside is missing, or too short
            raise _unreadable(self.path, error) from error
        matrix = torch.from_numpy(array)
        return matrix.T if turned else matrix


class _Sharded(StoredTensors):
    def __init__(self, index: Path) -> None:
        self.index = index

    @cached_property
    def _files(self) -> Mapping[str, str]:
        try:
            files: Mapping[str, str] = json.loads(self.index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError, OSError) as error:
            raise _unreadable(self.index, error) from error
        return files

    @cached_property
    def _shards(self) -> Mapping[str, StoredTensors]:
        return {name: _of_file(self.index.parent / name) for name in dict.fromkeys(self._files.values())}

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        own: dict[str, Shape] = {}
        for shard in self._shards.values():
            own.update(shard.shapes)
        missing = [name for name in self._files if name not in own]
        if missing:
            raise _unreadable(self.index, f"'{missing[0]}' is not in {self._files[missing[0]]}")
        return own

    def read(self, name: str) -> Tensor:
        return self._shards[self._files[name]].read(name)


def weights_of(path: Path) -> StoredTensors:
    """The tensors of a checkpoint.

    Parameters
    ----------
    path
        A file (.safetensors, .pt, .pth, .bin, .onnx, or the .index.json of a sharded one), or a folder
        that holds one checkpoint.

    Raises
    ------
    PhasediagError
        Where there is no checkpoint, or several; a damaged file is refused when it is read.
    """
    if not path.is_dir():
        if not path.exists():
            raise PhasediagError(f"there is no checkpoint at {path}; give a file of weights, or its folder")
        return _of_file(path)
    for name in (*INDEXES, *SINGLES):
        if (path / name).exists():
            return _of_file(path / name)
    known = [
        p for p in sorted(path.iterdir()) if p.suffix in (".safetensors", ".pt", ".pth", ".bin", ".onnx")
    ]
    if len(known) != 1:
        among = f"several ({', '.join(p.name for p in known[:4])})" if known else "none"
        raise PhasediagError(f"{path} holds {among} of the files of weights that are read; name the file")
    return _of_file(known[0])


def _of_file(path: Path) -> StoredTensors:
    if path.name.endswith(".index.json"):
        return _Sharded(path)
    kinds = {".safetensors": _SafeTensors, ".onnx": _Onnx, ".pt": _Torch, ".pth": _Torch, ".bin": _Torch}
    if path.suffix not in kinds:
        allowed = ", ".join(kinds)
        raise PhasediagError(f"{path} is of no kind that is read; give {allowed}, or a folder")
    made: StoredTensors = kinds[path.suffix](path)  # type: ignore[abstract]
    return made


def _unreadable(path: Path, reason: object) -> PhasediagError:
    why = " ".join(str(reason).split())[:200]
    return PhasediagError(f"{path} cannot be read as weights ({why}); is the file complete?")


def settings_of(path: Path) -> Mapping[str, Any]:
    """What `config.json` beside a checkpoint says; empty where there is none.

    Raises
    ------
    PhasediagError
        Where it is no JSON object.
    """
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return {}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(held, dict):
        raise _unreadable(file, "it is no object")
    return held
