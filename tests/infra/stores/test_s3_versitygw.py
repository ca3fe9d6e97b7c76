"""S3 against the real server on real files."""

import pytest

from modelcast.infra.stores import open_store
from modelcast.schemas.ports import ObjectStore
from tests.infra.stores.conformance import ObjectStoreConformance
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.real


class TestS3StoreOnVersitygw(ObjectStoreConformance):
    rounds = 50

    @pytest.fixture(params=["", "/some/prefix"])
    def store(self, versitygw: S3ForTests, request: pytest.FixtureRequest) -> ObjectStore:
        return open_store(
            f"s3://{versitygw.bucket()}{request.param}",
            endpoint_url=versitygw.endpoint_url,
            region=versitygw.region,
            access_key_id=versitygw.access_key_id,
            secret_access_key=versitygw.secret_access_key,
        )
