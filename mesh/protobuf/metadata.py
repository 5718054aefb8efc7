"""Keys of the metadata that travels beside the client plane's messages. Values are ASCII."""

ERROR_CODE = "mesh-error-code"
REQUEST_ID = "mesh-request-id"
RETRY_AFTER_S = "mesh-retry-after-s"
NODE_ID = "mesh-node-id"
TRACEPARENT = "traceparent"
