"""What one would write in an afternoon, the region's half: consume, download, hash, tell the pods, acknowledge.

python -m tests.bench.afternoon_consumer '{"bootstrap": …, "endpoint": …, "group": …, "cache": …, "pods": […]}'
"""

import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

import boto3
from confluent_kafka import Consumer, Producer

NEWS, ACKS, BUCKET = "afternoon-news", "afternoon-acks", "afternoon"


def load(url: str, token: str, parameters: dict[str, object]) -> None:
    """The same request that a region agent sends to the same pod."""
    request = urllib.request.Request(  # the pod's own address
        f"{url}/v2/repository/models/{parameters.pop('model')}/load",
        data=json.dumps({"parameters": parameters}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()


def main() -> None:
    """Consume until ended."""
    told = json.loads(sys.argv[1])
    store = boto3.client("s3", endpoint_url=told["endpoint"])
    consumer = Consumer(
        {"bootstrap.servers": told["bootstrap"], "group.id": told["group"], "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([NEWS])
    producer = Producer({"bootstrap.servers": told["bootstrap"], "acks": "all"})
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        news = json.loads(message.value() or b"")
        folder = Path(told["cache"]) / news["hex"]
        (folder / "files").mkdir(parents=True, exist_ok=True)
        target = folder / "files" / "model.onnx"
        store.download_file(BUCKET, news["key"], str(target))
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != news["sha256"]:
                raise SystemExit("damaged")
        (folder / "manifest.json").write_bytes(news["manifest"].encode())
        for url in told["pods"]:
            load(url, os.environ["AFTERNOON_TOKEN"], dict(news["order"]))
        producer.produce(ACKS, key=told["group"], value=json.dumps({"version": news["version"]}))
        producer.flush(10)


if __name__ == "__main__":
    main()
