"""The network of all-MiniLM-L6-v2 written down as an ONNX graph: BERT, mean pooling, unit length.

Used by `convert.py` only; needs `onnx`. `fine_tune.py` has the same network for training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .encoder import DIMENSIONS

HEADS, HEAD_SIZE = 12, 32
EPSILON = 1e-12
#: So many input channels of a dense layer share a scale, separately for each output channel.
GROUP = 64
OPSET, IR_VERSION = 17, 8
#: Where sums are of whole numbers: how large the largest of a row and of a weight's column becomes, and what is added
#: to a row for its bytes to have no sign.
MOST_OF_ROW, MOST_OF_WEIGHT, MIDDLE = 127, 63, 128
BYTE = TensorProto.UINT8

Floats = npt.NDArray[np.float32]


def layers_of(weights: Iterable[str]) -> int:
    """How many layers the network with weights of these names has: six in the published one."""
    return len({name.split(".")[2] for name in weights if name.startswith("encoder.layer.")})


def build_graph(
    weights: Mapping[str, Floats], *, eight_bits: bool, spread: Mapping[str, Floats] | None = None
) -> onnx.ModelProto:
    """The network as an ONNX model: int64 `input_ids` and `attention_mask` in, float32 `sentence` out.

    `weights` are the publisher's tensors by their names. With `eight_bits` the word table and the weights of
    the dense layers are kept as int8 with scales of their own, and all arithmetic stays in float32. With `spread`, the
    largest value that each input channel of each dense layer takes (`convert.spread_of`), the dense layers multiply
    and add whole numbers, which takes less than half the time.
    """
    graph = _Graph(weights, eight_bits, spread)
    hidden = graph.embeddings()
    graph.masks()
    for layer in range(layers_of(weights)):
        hidden = graph.feed_forward(graph.attention(hidden, layer), layer)
    graph.pooled(hidden)
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
    output = helper.make_tensor_value_info("sentence", TensorProto.FLOAT, ["batch", DIMENSIONS])
    whole = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], graph.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(whole, opset_imports=[opset], ir_version=IR_VERSION, producer_name="needlepoint")
    onnx.checker.check_model(model)
    return model


def weights_of(model: onnx.ModelProto) -> dict[str, Floats]:
    """The weights of a model that `build_graph` wrote, by the publisher's names: what it was made from, but for the
    rounding to 8 bits. The vector of the one sentence type is zero here, because the positions hold it."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}

    def table(name: str) -> Floats:
        if name in stored:
            return np.asarray(stored[name], dtype=np.float32)
        wide = stored[f"{name}.int8"] * stored[f"{name}.scale"]
        if f"{name}.evened" in stored:
            wide = wide * stored[f"{name}.evened"][:, None]
        return np.asarray(wide, dtype=np.float32)

    weights: dict[str, Floats] = {
        "embeddings.word_embeddings.weight": table("words"),
        "embeddings.position_embeddings.weight": table("positions"),
        "embeddings.token_type_embeddings.weight": np.zeros((2, DIMENSIONS), dtype=np.float32),
    }

    def dense(prefix: str, output: str) -> None:
        weights[f"{prefix}.bias"] = table(f"{output}.bias")
        wide = table(f"{output}.weight")
        weights[f"{prefix}.weight"] = wide.reshape(-1, wide.shape[-1]).T

    def layer_norm(prefix: str, output: str) -> None:
        weights[f"{prefix}.weight"], weights[f"{prefix}.bias"] = table(f"{output}.gain"), table(f"{output}.bias")

    layer_norm("embeddings.LayerNorm", "hidden")
    for layer in range(sum(name.endswith(".query.key.value.bias") for name in stored)):
        name = f"encoder.layer.{layer}"
        dense("merged", f"{layer}.query.key.value")
        merged = np.split(weights.pop("merged.weight"), 3), np.split(weights.pop("merged.bias"), 3)
        for part, weight, bias in zip(("query", "key", "value"), *merged, strict=True):
            factor = np.float32(np.sqrt(HEAD_SIZE)) if part == "query" else np.float32(1)
            weights[f"{name}.attention.self.{part}.weight"] = weight * factor
            weights[f"{name}.attention.self.{part}.bias"] = bias * factor
        dense(f"{name}.attention.output.dense", f"{layer}.attended")
        layer_norm(f"{name}.attention.output.LayerNorm", f"{layer}.attended.norm")
        dense(f"{name}.intermediate.dense", f"{layer}.wide")
        dense(f"{name}.output.dense", f"{layer}.narrow")
        layer_norm(f"{name}.output.LayerNorm", f"{layer}.hidden")
    return weights


class _Graph:
    """Grows node by node. Every method returns the name of the tensor it ends in."""

    def __init__(self, weights: Mapping[str, Floats], eight_bits: bool, spread: Mapping[str, Floats] | None) -> None:
        self.weights = weights
        self.eight_bits = eight_bits
        self.spread = spread
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        if spread is not None:
            self.constant("step", np.float32(1 / MOST_OF_ROW))
            self.constant("least.of.row", np.float32(1e-6))
            self.constant("middle", np.float32(MIDDLE))
            self.constant("middle.byte", np.uint8(MIDDLE))

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, name: str, *values: int) -> str:
        return self.constant(name, np.array(values, dtype=np.int64))

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def layer_norm(self, tensor: str, prefix: str, output: str) -> str:
        gain = self.constant(f"{output}.gain", self.weights[f"{prefix}.weight"])
        bias = self.constant(f"{output}.bias", self.weights[f"{prefix}.bias"])
        return self.node("LayerNormalization", [tensor, gain, bias], output, axis=-1, epsilon=EPSILON)

    def dense(self, tensor: str, weight: Floats, bias: Floats, output: str) -> str:
        """tensor @ weight + bias, for weight[input channel, output channel]."""
        if self.spread is not None:
            product = self.in_whole_numbers(tensor, weight, self.spread[output], output)
            return self.node("Add", [product, self.constant(f"{output}.bias", bias)], output)
        if self.eight_bits:
            small, scale = _in_eight_bits(weight.reshape(-1, GROUP, weight.shape[1]), axis=1)
            small_name = self.constant(f"{output}.weight.int8", small)
            scale_name = self.constant(f"{output}.weight.scale", scale)
            shape = self.integers(f"{output}.weight.shape", *weight.shape)
            # All are constants, so onnxruntime computes the float32 weight once, when it loads the model.
            wide = self.node("Cast", [small_name], f"{output}.weight.wide", to=TensorProto.FLOAT)
            groups = self.node("Mul", [wide, scale_name], f"{output}.weight.groups")
            weight_name = self.node("Reshape", [groups, shape], f"{output}.weight")
        else:
            weight_name = self.constant(f"{output}.weight", weight)
        product = self.node("MatMul", [tensor, weight_name], f"{output}.product")
        return self.node("Add", [product, self.constant(f"{output}.bias", bias)], output)

    def in_whole_numbers(self, tensor: str, weight: Floats, spread: Floats, output: str) -> str:
        """tensor @ weight, each row of both rounded to whole numbers of a byte and multiplied back.

        Before, the channels are evened out between the two: what is large in one is made smaller there and larger in
        the other. The weights use seven bits, so that on no processor a sum of two products overflows 16 bits.
        """
        of_weight = np.maximum(np.abs(weight).max(axis=1), 1e-6)
        evened = np.sqrt(of_weight / np.maximum(spread, 1e-6))
        evened = (evened / np.exp(np.log(evened).mean())).astype(np.float32)
        wide = weight / evened[:, None]
        scale = (np.abs(wide).max(axis=0) / MOST_OF_WEIGHT).astype(np.float32)
        small_name = self.constant(f"{output}.weight.int8", np.rint(wide / scale).astype(np.int8))
        scale_name = self.constant(f"{output}.weight.scale", scale)
        even = self.node("Mul", [tensor, self.constant(f"{output}.weight.evened", evened)], f"{output}.even")
        sizes = self.node("Abs", [even], f"{output}.sizes")
        largest = self.node("ReduceMax", [sizes], f"{output}.largest", axes=[-1], keepdims=1)
        largest = self.node("Max", [largest, "least.of.row"], f"{output}.row")
        step = self.node("Mul", [largest, "step"], f"{output}.step")
        whole = self.node("Round", [self.node("Div", [even, step], f"{output}.steps")], f"{output}.whole")
        byte = self.node("Cast", [self.node("Add", [whole, "middle"], f"{output}.shifted")], f"{output}.byte", to=BYTE)
        sums = self.node("MatMulInteger", [byte, small_name, "middle.byte"], f"{output}.sums")
        product = self.node("Cast", [sums], f"{output}.wide", to=TensorProto.FLOAT)
        product = self.node("Mul", [product, step], f"{output}.of.row")
        return self.node("Mul", [product, scale_name], f"{output}.product")

    def published_dense(self, tensor: str, prefix: str, output: str) -> str:
        return self.dense(tensor, self.weights[f"{prefix}.weight"].T, self.weights[f"{prefix}.bias"], output)

    def embeddings(self) -> str:
        table = self.weights["embeddings.word_embeddings.weight"]
        if self.eight_bits:
            small, scales = _in_eight_bits(table, axis=1)
            byte = self.node("Gather", [self.constant("words.int8", small), "input_ids"], "word.int8")
            scale = self.node("Gather", [self.constant("words.scale", scales), "input_ids"], "word.scale")
            wide = self.node("Cast", [byte], "word.wide", to=TensorProto.FLOAT)
            word = self.node("Mul", [wide, scale], "word")
        else:
            word = self.node("Gather", [self.constant("words", table), "input_ids"], "word")
        # All pieces are of sentence type 0, so its vector is added to the positions once and for all.
        table = self.weights["embeddings.position_embeddings.weight"]
        positions = self.constant("positions", table + self.weights["embeddings.token_type_embeddings.weight"][0])
        length = self.node("Shape", ["input_ids"], "length", start=1, end=2)
        position = self.node("Slice", [positions, self.integers("start", 0), length], "position")
        return self.layer_norm(self.node("Add", [word, position], "embedding"), "embeddings.LayerNorm", "hidden")

    def masks(self) -> None:
        """`mask` (batch, length) is 1 for a piece and 0 for padding; `hide` silences padding in attention."""
        self.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        wide = self.node("Unsqueeze", ["mask", self.integers("axes.heads", 1, 2)], "mask.heads")
        absent = self.node("Sub", [self.constant("one", np.float32(1)), wide], "absent")
        self.node("Mul", [absent, self.constant("far", np.float32(-10_000))], "hide")
        self.integers("split.heads", 0, 0, HEADS, HEAD_SIZE)
        self.integers("join.heads", 0, 0, DIMENSIONS)
        self.integers("thirds", DIMENSIONS, DIMENSIONS, DIMENSIONS)
        self.constant("root.of.two", np.float32(np.sqrt(2)))
        self.constant("half", np.float32(0.5))

    def attention(self, hidden: str, layer: int) -> str:
        prefix, to = f"encoder.layer.{layer}.attention", f"{layer}."
        # The scores' division by the root of the head size is done here once, on the query's weights.
        factors = {"query": np.float32(1 / np.sqrt(HEAD_SIZE)), "key": np.float32(1), "value": np.float32(1)}
        weight, bias = (
            np.concatenate([self.weights[f"{prefix}.self.{part}.{kind}"] * by for part, by in factors.items()])
            for kind in ("weight", "bias")
        )
        merged = self.dense(hidden, weight.T, bias, f"{to}query.key.value")
        parts = [f"{to}{part}" for part in factors]
        self.nodes.append(helper.make_node("Split", [merged, "thirds"], parts, name=f"{to}split", axis=2))
        orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        query, key, value = (
            self.node(
                "Transpose",
                [self.node("Reshape", [part, "split.heads"], f"{part}.split")],
                f"{part}.heads",
                perm=order,
            )
            for part, order in zip(parts, orders, strict=True)
        )
        scores = self.node("Add", [self.node("MatMul", [query, key], f"{to}scores.all"), "hide"], f"{to}scores")
        shares = self.node("Softmax", [scores], f"{to}shares", axis=-1)
        mixed = self.node("MatMul", [shares, value], f"{to}mixed.heads")
        mixed = self.node("Transpose", [mixed], f"{to}mixed", perm=[0, 2, 1, 3])
        context = self.node("Reshape", [mixed, "join.heads"], f"{to}context")
        attended = self.published_dense(context, f"{prefix}.output.dense", f"{to}attended")
        both = self.node("Add", [attended, hidden], f"{to}attended.sum")
        return self.layer_norm(both, f"{prefix}.output.LayerNorm", f"{to}attended.norm")

    def feed_forward(self, hidden: str, layer: int) -> str:
        prefix, to = f"encoder.layer.{layer}", f"{layer}."
        wide = self.published_dense(hidden, f"{prefix}.intermediate.dense", f"{to}wide")
        # gelu(x) = x (1 + erf(x / root 2)) / 2
        error = self.node("Erf", [self.node("Div", [wide, "root.of.two"], f"{to}gelu.scaled")], f"{to}gelu.erf")
        gate = self.node("Add", [error, "one"], f"{to}gelu.gate")
        gelu = self.node("Mul", [self.node("Mul", [wide, gate], f"{to}gelu.doubled"), "half"], f"{to}gelu")
        narrow = self.published_dense(gelu, f"{prefix}.output.dense", f"{to}narrow")
        both = self.node("Add", [narrow, hidden], f"{to}narrow.sum")
        return self.layer_norm(both, f"{prefix}.output.LayerNorm", f"{to}hidden")

    def pooled(self, hidden: str) -> str:
        """The mean over the pieces at unit length; dividing by their number first would change nothing."""
        mask = self.node("Unsqueeze", ["mask", self.integers("axes.channels", 2)], "mask.channels")
        present = self.node("Mul", [hidden, mask], "present")
        total = self.node("ReduceSum", [present, self.integers("axes.length", 1)], "total", keepdims=0)
        return self.node("LpNormalization", [total], "sentence", axis=-1, p=2)


def _in_eight_bits(values: Floats, axis: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """`values` as int8 and the scale to multiply them by; one scale for all values along `axis`."""
    scale = (np.abs(values).max(axis=axis, keepdims=True) / 127).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale
