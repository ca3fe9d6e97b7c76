"""KServe's ModelServer without our model class: ``REPOSITORY HTTP_PORT``."""

import sys

import kserve

kserve.ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([])
