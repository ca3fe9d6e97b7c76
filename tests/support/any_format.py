"""Most tests publish bytes that mean nothing: the setting that allows files of no known format."""

ANY_FORMAT = {"MODELCAST_PUBLISH__ALLOW_UNKNOWN": '["*"]'}
