"""boto3's Feature Store runtime client against a running server."""

import json
import sys
import urllib.request

import boto3
from botocore.exceptions import ClientError

url = sys.argv[1]
client = boto3.client("sagemaker-featurestore-runtime", endpoint_url=url)
ID = "RecordIdentifierValueAsString"


def same(got, want, what):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def record(**values):
    return [{"FeatureName": k, "ValueAsStringList" if isinstance(v, list) else "ValueAsString": v} for k, v in values.items()]


def get(group="mood", user="u 1/é", **more):
    return client.get_record(FeatureGroupName=group, RecordIdentifierValueAsString=user, **more)


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        same((e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]), (code, status), str(arguments))
        assert e.response["Error"]["Message"], "no message"
        assert e.response["ResponseMetadata"]["RequestId"], "no request id"
        same(e.response["ResponseMetadata"]["RetryAttempts"], 0, "attempts at a mistake")
        return
    raise AssertionError(f"not refused: {arguments}")


def send(event):
    request = urllib.request.Request(url + "/v1/events", json.dumps(event).encode(), {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request).read())["position"]


assert "Record" not in get(), "a record of nobody"

# Put, get, overwrite.
values = record(user_id="u 1/é", event_time="2026-03-01T12:00:00Z", stress="0.50", level="4", calm="true", note="hm", tags=["a", "é"])
answer = client.put_record(FeatureGroupName="mood", Record=values, TargetStores=["OnlineStore"], TtlDuration={"Unit": "Weeks", "Value": 4000})
same(answer["ResponseMetadata"]["HTTPStatusCode"], 200, "put_record")
want = record(user_id="u 1/é", event_time="2026-03-01T12:00:00Z", stress="0.5", level="4", calm="true", note="hm", tags=["a", "é"])
same(get()["Record"], want, "get_record")
arn = "arn:aws:sagemaker:us-east-1:123456789012:feature-group/mood"
answer = get(group=arn, FeatureNames=["stress", "since", "event_time"], ExpirationTimeResponse="Enabled")
same(answer["Record"], record(stress="0.5", event_time="2026-03-01T12:00:00Z"), "get_record of some features by ARN")
assert answer["ExpiresAt"].startswith("2102-"), answer["ExpiresAt"]
client.put_record(FeatureGroupName="mood", Record=record(user_id="u 1/é", event_time="2026-03-01T11:59:59Z", stress="9"))
same(get()["Record"], want, "after an older put_record")

# Delete: a tombstone.
delete = dict(FeatureGroupName="mood", RecordIdentifierValueAsString="u 1/é")
client.delete_record(**delete, EventTime="2026-03-01T12:00:00Z")
same(get()["Record"], want, "after a deletion that is not later")
refused("ValidationError", 400, client.delete_record, **delete, EventTime="2026-03-01T12:00:00Z", DeletionMode="HardDelete")
client.delete_record(**delete, EventTime="2026-03-01T12:00:01Z", TargetStores=["OnlineStore"], DeletionMode="SoftDelete")
assert "Record" not in get(), "a deleted record"
client.put_record(FeatureGroupName="mood", Record=record(user_id="u 1/é", event_time="1772366402.25", stress="1"))
same(get()["Record"], record(user_id="u 1/é", event_time="2026-03-01T12:00:02.250Z", stress="1"), "after a later put_record")

# A view: read only.
position = send({"event_id": "e1", "type": "play", "user_id": "u1", "seconds": 30.5, "title": "Rain", "event_time": "2026-03-01T12:00:00Z"})
urllib.request.urlopen(f"{url}/v1/features/activity?user_id=u1&after={position}&wait=10s").read()
same(get(group="activity", user="u1")["Record"], record(user_id="u1", event_time="2026-03-01T12:00:00Z", plays="1", seconds="30.5", recent=["Rain"]), "a view")
refused("ValidationError", 400, client.put_record, FeatureGroupName="activity", Record=values)

# Batches.
answer = client.batch_get_record(Identifiers=[
    {"FeatureGroupName": "mood", "RecordIdentifiersValueAsString": ["u 1/é", "nobody"], "FeatureNames": ["stress"]},
    {"FeatureGroupName": "activity", "RecordIdentifiersValueAsString": ["u1"]},
    {"FeatureGroupName": "unknown", "RecordIdentifiersValueAsString": ["u1"]},
])
same([(r["FeatureGroupName"], r[ID], len(r["Record"])) for r in answer["Records"]], [("mood", "u 1/é", 1), ("activity", "u1", 5)], "batch_get_record")
same([(e["FeatureGroupName"], e[ID], e["ErrorCode"]) for e in answer["Errors"]], [("unknown", "u1", "ResourceNotFound")], "its errors")
same(answer["UnprocessedIdentifiers"], [], "its unprocessed identifiers")

# Composite keys.
client.put_record(FeatureGroupName="seats", Record=record(hall="a,b", row="7", event_time="2026-03-01T12:00:00Z", taken="True"))
same(get(group="seats", user="a%2Cb,7", FeatureNames=["hall", "taken"])["Record"], record(hall="a,b", taken="true"), "a composite key")

# Mistakes have the service's names and are not sent again.
refused("ResourceNotFound", 404, get, group="unknown")
refused("ResourceNotFound", 404, client.put_record, FeatureGroupName="unknown", Record=values)
refused("ValidationError", 400, get, FeatureNames=["unknown"])
for name, wrong in {"unknown column": dict(unknown="1"), "no number": dict(stress="much"), "no time": dict(event_time="noon")}.items():
    refused("ValidationError", 400, client.put_record, FeatureGroupName="mood", Record=record(**{"user_id": "u1", "event_time": "1", **wrong}))
refused("ValidationError", 400, client.put_record, FeatureGroupName="mood", Record=record(user_id="u1"))

# Endpoints: models.
runtime = boto3.client("sagemaker-runtime", endpoint_url=url)
release = None
for body, content, accept, want in [
    ("1,2\n3,\n", "text/csv", None, {"predictions": [[21, -1], [3, -3]]}),
    ("b,a\n2,1\n", "text/csv", "application/json", {"predictions": [[21, -1]]}),
    ('{"instances":[{"a":1,"b":2}]}', "application/json", None, {"predictions": [[21, -1]]}),
    (b"1,2", None, None, {"predictions": [[21, -1]]}),
]:
    more = {k: v for k, v in dict(ContentType=content, Accept=accept).items() if v}
    answer = runtime.invoke_endpoint(EndpointName="scorer", Body=body, **more)
    same(json.loads(answer["Body"].read()), want, f"invoke_endpoint with {body}")
    release = answer["InvokedProductionVariant"]
    assert release, "no production variant"
answer = runtime.invoke_endpoint(EndpointName="scorer", Body="1,2", ContentType="text/csv", Accept="text/csv", TargetVariant=release)
same((answer["Body"].read(), answer["ContentType"].split(";")[0]), (b"21,-1\n", "text/csv"), "invoke_endpoint that asks for CSV")
refused("ValidationError", 400, runtime.invoke_endpoint, EndpointName="unknown", Body="1,2")
refused("ValidationError", 400, runtime.invoke_endpoint, EndpointName="scorer", Body="1,2", TargetVariant="unknown")
try:
    runtime.invoke_endpoint(EndpointName="scorer", Body="1,2,3", ContentType="text/csv")
    raise AssertionError("three columns were taken")
except runtime.exceptions.ModelError as e:
    same((e.response["OriginalStatusCode"], e.response["ResponseMetadata"]["HTTPStatusCode"]), (400, 424), "ModelError")
    assert "columns" in e.response["OriginalMessage"], e.response

print("ok")
