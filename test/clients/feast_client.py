"""Feast's SDK against a running server: the remote online store, the HTTP routes and the gRPC service."""

import datetime
import json
import os
import sys
import tempfile
import time
import urllib.request

import grpc
import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.errors import FeatureViewNotFoundException
from feast.protos.feast.serving import ServingService_pb2, ServingService_pb2_grpc
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

url = sys.argv[1]
UTC = datetime.timezone.utc


def post(path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.loads(answer.read() or "null")


def same(got, want, what):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


for n, title in enumerate(["Rain", "Waves", "Wind"]):
    _, accepted = post("/v1/events", {"event_id": f"e{n}", "type": "play", "user_id": "u1", "seconds": 30.5, "title": title})
urllib.request.urlopen(f"{url}/v1/features/activity?user_id=u1&after={accepted['position']}&wait=10s").read()

folder = tempfile.TemporaryDirectory()
now = datetime.datetime.now(UTC).replace(microsecond=250000)
rows = pd.DataFrame({
    "user_id": ["u1", "u2"], "event_timestamp": [now, now], "created": [now, now], "stress": [0.5, None], "level": [4, 5],
    "calm": [True, False], "note": ["hm", "é"], "since": [now, now], "tags": [["a", "b"], []],
})
path = os.path.join(folder.name, "mood.parquet")
rows.to_parquet(path)
source = FileSource(name="mood_file", path=path, timestamp_field="event_timestamp", created_timestamp_column="created")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
mood = FeatureView(
    name="mood", entities=[user], source=PushSource(name="mood_push", batch_source=source), ttl=datetime.timedelta(days=365),
    schema=[Field(name="user_id", dtype=String), Field(name="stress", dtype=Float64), Field(name="level", dtype=Int64), Field(name="calm", dtype=Bool),
            Field(name="note", dtype=String), Field(name="since", dtype=UnixTimestamp), Field(name="tags", dtype=Array(String))],
)
activity = FeatureView(
    name="activity", entities=[user], source=source, ttl=datetime.timedelta(days=365),
    schema=[Field(name="user_id", dtype=String), Field(name="plays", dtype=Int64), Field(name="seconds", dtype=Float64),
            Field(name="recent", dtype=Array(String)), Field(name="nothing", dtype=Float64)],
)
store = FeatureStore(config=RepoConfig(
    project="clients", provider="local", registry=os.path.join(folder.name, "registry.db"), entity_key_serialization_version=3,
    online_store={"type": "remote", "path": url}, offline_store={"type": "dask"},
))
store.apply([user, activity, mood])

# Push and read through the SDK.
store.push("mood_push", rows)
users = [{"user_id": u} for u in ["u1", "u2", "nobody"]]
refs = ["activity:plays", "activity:seconds", "activity:recent", "activity:nothing", "mood:stress", "mood:level", "mood:calm", "mood:note", "mood:tags"]
got = store.get_online_features(refs, users).to_dict()
same(got, {
    "user_id": ["u1", "u2", "nobody"],
    "plays": [3, None, None], "seconds": [91.5, None, None], "recent": [["Wind", "Waves", "Rain"], None, None], "nothing": [None, None, None],
    "stress": [0.5, None, None], "level": [4, 5, None], "calm": [True, False, None], "note": ["hm", "é", None], "tags": [["a", "b"], None, None],
}, "get_online_features")
same(sorted(store.get_online_features(["mood:level"], users[:1], full_feature_names=True).to_dict()), ["mood__level", "user_id"], "full names")

# An older row never replaces a newer one; a newer one does.
for seconds, level, want in [(-1, 7, 4), (1, 8, 8)]:
    changed = rows.assign(event_timestamp=now + datetime.timedelta(seconds=seconds), level=level)
    store.write_to_online_store("mood", df=changed)
    same(store.get_online_features(["mood:level"], users[:1]).to_dict()["level"], [want], f"a row {seconds} s later")

# The older path of the SDK, which reads one view with the registry's types.
provider = store._get_provider()
from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402

key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val="u1")])
(at, values), = provider.online_read(store.config, store.get_feature_view("mood"), [key], ["level", "since"])
same((values["level"].int64_val, values["since"].unix_timestamp_val), (8, int(now.timestamp())), "online_read")
same(at.replace(tzinfo=UTC), now + datetime.timedelta(seconds=1), "online_read's time")

# Errors arrive as the SDK's own exceptions, at once: nothing is sent again.
unknown = FeatureView(name="unknown", entities=[user], source=source, schema=[Field(name="user_id", dtype=String), Field(name="a", dtype=Int64)])
store.apply([unknown])
began = time.monotonic()
try:
    store.get_online_features(["unknown:a"], users)
    raise AssertionError("an unknown view was read")
except FeatureViewNotFoundException as e:
    assert "unknown" in str(e), e
assert time.monotonic() - began < 5, "a mistake was sent again and again"

# The HTTP routes as curl uses them.
same(post("/push", {"push_source_name": "mood", "df": {
    "user_id": ["u3"], "event_timestamp": ["2026-03-01T12:00:00"], "stress": [1], "level": [1], "calm": [True], "note": ["x"], "since": [0], "tags": [[]],
}, "to": "online"}), (200, None), "push")

# gRPC on the same port.
with grpc.insecure_channel(url.removeprefix("http://")) as channel:
    stub = ServingService_pb2_grpc.ServingServiceStub(channel)
    assert stub.GetFeastServingInfo(ServingService_pb2.GetFeastServingInfoRequest()).version
    request = ServingService_pb2.GetOnlineFeaturesRequest(
        features=ServingService_pb2.FeatureList(val=["activity:plays", "activity:seconds", "activity:recent", "mood:level", "mood:since", "mood:calm"]),
        entities={"user_id": RepeatedValue(val=[Value(string_val="u1"), Value(string_val="nobody")])}, full_feature_names=True)
    answer = stub.GetOnlineFeatures(request)
    columns = dict(zip(answer.metadata.feature_names.val, answer.results))
    PRESENT, NOT_FOUND = ServingService_pb2.FieldStatus.PRESENT, ServingService_pb2.FieldStatus.NOT_FOUND
    same(columns["activity__plays"].values[0].int64_val, 3, "gRPC int64")
    same(columns["activity__seconds"].values[0].double_val, 91.5, "gRPC double")
    same(list(columns["activity__recent"].values[0].string_list_val.val), ["Wind", "Waves", "Rain"], "gRPC list")
    same(columns["mood__since"].values[0].unix_timestamp_val, int(now.timestamp()), "gRPC time")
    same(columns["mood__calm"].values[0].bool_val, True, "gRPC bool")
    same(list(columns["mood__level"].statuses), [PRESENT, NOT_FOUND], "gRPC statuses")
    same(columns["mood__level"].values[1].WhichOneof("val"), None, "gRPC null")
    same(columns["mood__level"].event_timestamps[0].ToMicroseconds(), int(round((now.timestamp() + 1) * 1e6)), "gRPC time of a row")
    same([v.string_val for v in columns["user_id"].values], ["u1", "nobody"], "gRPC keys")
    request.features.val[0] = "zz:a"
    try:
        stub.GetOnlineFeatures(request)
        raise AssertionError("an unknown view was read over gRPC")
    except grpc.RpcError as e:
        same(e.code(), grpc.StatusCode.NOT_FOUND, "gRPC error")

print("ok")
