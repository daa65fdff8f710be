"""DynamoDB: our records come in, items and transactions go out; one module per table."""
