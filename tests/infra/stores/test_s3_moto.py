"""S3 against the embedded server."""

import pytest

from modelcast.infra.stores import open_store
from modelcast.schemas.ports import ObjectStore
from tests.infra.stores.conformance import ObjectStoreConformance
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration


class TestS3StoreOnMoto(ObjectStoreConformance):
    rounds = 30

    @pytest.fixture
    def store(self, s3: S3ForTests) -> ObjectStore:
        return open_store(
            f"s3://{s3.bucket()}/some/prefix",
            endpoint_url=s3.endpoint_url,
            region=s3.region,
            access_key_id=s3.access_key_id,
            secret_access_key=s3.secret_access_key,
        )
