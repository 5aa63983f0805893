"""Logs models to a real MLflow server, for freshet publish to fetch: mlflow_registry.py TRACKING_URI MODEL_DIR PICKLE_DIR.

ranker 1 and 2 are model directories, with alias champion on 1; pickled 1 holds a pickle. Prints the run that made them.
"""

import sys

from mlflow import MlflowClient

uri, model, pickle = sys.argv[1:]
client = MlflowClient(tracking_uri=uri)
run = client.create_run(client.create_experiment("calm"))
client.log_metric(run.info.run_id, "recall", 0.4)
client.log_artifacts(run.info.run_id, model, "model")
client.log_artifacts(run.info.run_id, pickle, "pickle")
client.set_terminated(run.info.run_id)
for name, folder in (("ranker", "model"), ("pickled", "pickle")):
    client.create_registered_model(name)
    client.create_model_version(name, f"{run.info.artifact_uri}/{folder}", run.info.run_id)
client.set_registered_model_alias("ranker", "champion", "1")
print(run.info.run_id)
