"""botocore and boto3: the operation's name."""

from __future__ import annotations

from . import Row

ROWS = (Row("botocore.client", "BaseClient._make_api_call", "rpc", "operation_name", "name"),)
