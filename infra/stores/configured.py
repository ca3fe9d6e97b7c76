"""The stores that the settings name."""

from modelcast.infra.settings import ORIGIN, Settings, StoreSettings
from modelcast.infra.stores.s3 import S3Store, open_store
from modelcast.schemas.errors import NotFound


def store_of(settings: StoreSettings) -> S3Store:
    """The store that one section of the settings describes. Opens no connection yet."""
    secret = settings.secret_access_key
    return open_store(
        settings.url,
        endpoint_url=settings.endpoint_url,
        region=settings.aws_region,
        access_key_id=settings.access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
    )


def origin_store(settings: Settings) -> S3Store:
    """The origin, where the registry lies.

    Raises:
        NotFound: the settings name none.
    """
    return store_of(settings.store(ORIGIN))


def region_store(settings: Settings, region: str) -> S3Store:
    """A region's own bucket.

    Raises:
        NotFound: the settings name no such region, or no bucket for it.
    """
    section = settings.region(region).store
    if section is None:
        raise NotFound(
            f"region {region!r} has no bucket of its own", hint=f"set [regions.{region}.store] url = 's3://…'"
        )
    return store_of(section)
