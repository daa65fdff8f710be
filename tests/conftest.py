"""For every suite: no real AWS account can be reached, and in-process moto gets along with boto3."""

import os

os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_REGION="eu-west-1",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
)
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)
