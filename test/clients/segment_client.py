"""segment-analytics-python against a running server."""

import datetime
import sys

from segment.analytics.client import Client

url, user = sys.argv[1:]
problems = []
ago = lambda seconds: datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
client = Client("any key", host=url, gzip=True, upload_interval=0.05, on_error=lambda e, items: problems.append(e))

client.identify(user, {"plan": "free", "visits": 1, "address": {"city": "Köln"}}, timestamp=ago(50))
client.track(user, "Play Finished", {"contentId": "c1", "length": {"seconds": 30.5}}, timestamp=ago(40))
client.track(user, "Play Finished", {"content_id": "c2 🎧", "length": {"seconds": 12}, "score": float("nan")}, timestamp=ago(30))
client.page(user, "Tabs", "Home", {"title": "x"}, context={"locale": "de-DE"}, timestamp=ago(28))
client.screen(user, "Tabs", "Player", timestamp=ago(26))
client.group(user, "team 7", {"employees": 12}, timestamp=ago(24))
client.alias("before", user, timestamp=ago(22))
client.identify(user, {"plan": "plus"}, timestamp=ago(20))
client.track(user, "Not in the project", timestamp=ago(10))
client.shutdown()

assert not problems, problems
print("ok")
