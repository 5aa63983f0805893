"""Triton's HTTP client against a running server: the Open Inference Protocol, in JSON and in binary."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1].removeprefix("http://"))


def same(got, want, what):
    assert got.tolist() == want if isinstance(got, np.ndarray) else got == want, f"{what}: got {got!r}, want {want!r}"


def tensor(name, values, datatype, binary):
    t = triton.InferInput(name, list(values.shape), datatype)
    t.set_data_from_numpy(values, binary_data=binary)
    return t


def refused(status, text, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except InferenceServerException as e:
        assert e.status() == status and text in e.message(), f"got {e}, want {status} with {text!r}"
        return
    raise AssertionError(f"not refused: {arguments} {more}")


assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("scorer")
assert not client.is_model_ready("unknown")
same("binary_tensor_data" in client.get_server_metadata()["extensions"], True, "extensions")
metadata = client.get_model_metadata("scorer")
same([(i["name"], i["datatype"], i["shape"]) for i in metadata["inputs"]], [("a", "FP64", [-1]), ("b", "FP64", [-1])], "inputs")
version = metadata["versions"][0]
same([(m["name"], m["version"], m["state"]) for m in client.get_model_repository_index()], [("scorer", version, "READY")], "index")
same(client.is_model_ready("scorer", version), True, "the version is ready")

a, b = np.array([1.0, 3.0]), np.array([2.0, np.nan])
for binary in True, False:
    for compression in None, "gzip", "deflate":
        answer = client.infer("scorer", [tensor("b", b, "FP64", binary), tensor("a", a.astype(np.float32), "FP32", True)], model_version=version,
                              outputs=[triton.InferRequestedOutput("z", binary_data=not binary), triton.InferRequestedOutput("y", binary_data=binary)],
                              request_id="r1", request_compression_algorithm=compression)
        same(answer.as_numpy("y"), [21.0, 3.0], f"y, binary {binary}, {compression}")
        same(answer.as_numpy("z"), [-1.0, -3.0], f"z, binary {binary}, {compression}")
        same((answer.get_response()["id"], answer.get_response()["model_version"]), ("r1", version), "the answer's id and version")
        assert answer.get_response()["parameters"]["release"], "no release"
answer = client.infer("scorer", [tensor("input-0", np.array([[1, 2], [3, 4]], np.int64), "INT64", True)], timeout=5_000_000)
same(answer.as_numpy("y"), [21.0, 43.0], "a matrix")
same(client.infer("scorer", [tensor("x", np.array([[True, False]]), "BOOL", False)]).as_numpy("y"), [1.0], "booleans")

refused("404", "unknown", client.infer, "unknown", [tensor("a", a, "FP64", True)])
refused("404", "version", client.infer, "scorer", [tensor("a", a, "FP64", True)], model_version="99")
refused("400", "b: missing", client.infer, "scorer", [tensor("a", a, "FP64", True)])
refused("400", "column a is missing in row 1", client.infer, "scorer", [tensor("x", np.array([[1, 2], [np.nan, 4]]), "FP64", True)])
refused("400", "BYTES", client.infer, "scorer", [tensor("a", np.array([b"x"], object), "BYTES", True)])
refused("400", "pinned", client.load_model, "scorer")
refused("400", "pinned", client.unload_model, "scorer")
refused("400", "not taken", client.load_model, "scorer", config="{}", files={"file:1/model.onnx": b"x"})
print("ok")
