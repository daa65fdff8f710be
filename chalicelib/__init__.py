"""All that runs in Lambda: events come in from API Gateway, SQS and EventBridge; records, messages and frames go out."""
