"""MLflow's own client of scoring servers against a running server."""

import sys

import numpy as np
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port = sys.argv[1].removeprefix("http://").split(":")
client = ScoringServerClient(host, int(port))


def same(got, want, what):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


client.ping()
assert client.get_version(), "no version"
frame = pd.DataFrame({"b": [2.0, np.nan], "a": [1, 3], "extra": ["x", "y"]})
want = [[21.0, -1.0], [3.0, -3.0]]
same(client.invoke(frame).get_predictions().values.tolist(), want, "a data frame")
same(client.invoke(frame, params={"unknown": 1}).get_predictions().values.tolist(), want, "params")
for what, (data, part) in {
    "a missing column": (pd.DataFrame({"b": [1.0]}), "Model is missing inputs ['a']"),
    "a text": (pd.DataFrame({"a": ["many"], "b": [1.0]}), "many"),
}.items():
    try:
        client.invoke(data)
    except Exception as e:  # the client raises nothing narrower
        assert "400" in str(e) and part in str(e), f"{what}: got {e}, want {part!r}"
        continue
    raise AssertionError(f"not refused: {what}")
print("ok")
