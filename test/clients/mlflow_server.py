"""`mlflow models serve` with a model that answers as scorer.json does: the folder and the port are the arguments."""

import os
import sys

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema


class Scorer(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        a, b = model_input["a"].to_numpy(), np.nan_to_num(model_input["b"].to_numpy())
        return np.stack([a + 10 * b, -a], axis=1)


folder = os.path.join(sys.argv[1], "model")
signature = ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("double", "b", required=False)]))
mlflow.pyfunc.save_model(folder, python_model=Scorer(), signature=signature, pip_requirements=[])
os.execvp("mlflow", ["mlflow", "models", "serve", "--env-manager", "local", "-m", folder, "-h", "127.0.0.1", "-p", sys.argv[2], "-w", "1"])
